// The proof that the data is equal while changes stream: every table is read on both sides at two moments that lie close together in
// the stream; what differs then is looked at again, key by key, with a marker passed in between. A row that is wrong and stands still
// is named; a row that merely moves is never called different, and one that never stops moving is left to the freeze.
import type { ArtifactReference } from '../../artifacts/store';
import { withHeartbeat } from '../../heartbeat';
import type { PostgresDependencies } from '../../dependencies';
import { unmatched, versionOf, type ComparedTables } from '../digest';
import { tableRecordOf, type Verdict } from '../digest/compare';
import { identityOf, nameOf } from '../digest/relations';
import { usableHash } from '../digest/row-digest';
import { postgresFailure } from '../errors';
import { requireLedger } from '../ledger';
import type { PostgresScope } from '../scope';
import { writingSide, type Leg } from '../stream/names';
import { streamsOf } from '../stream/streams-of';
import { batchesOf, compareBatch, type MovingResult } from './batch';
import { planPending } from './pending';
import { movingProgress, type MovingProgress } from './progress';
import { recordsOf } from './records';
import { movingDdl, noteResults, resumeResults } from './result-ledger';
import { MovingSessions } from './sessions';
import { listSubjects, type Subject } from './subjects';

const tablesListed = 100;
const hotListed = 20;

export interface CompareMovingInput {
  scope: PostgresScope;
  leg: Leg;
  /** Tables whose every column is compared; of the others only the keys. */
  checksum: 'all' | string[];
  /** Sessions on each side. */
  lanes: number;
  /** One validation: the same attempt goes on with the tables not yet done, another one reads everything anew. */
  attempt: string;
}

export interface ComparedMoving extends ComparedTables {
  /** Keys (and small tables as a whole) that moved all the time: neither equal nor different, to be compared under the fence. */
  undecided: number;
  /** `pending.json`, where something is undecided: for `readPending` and `comparePending`. */
  pending?: ArtifactReference;
  /** Tables that were written to while they were compared, most of it first, at most 20. */
  hot: string[];
}

export function createMovingActivities({ connections, artifacts }: PostgresDependencies) {
  return {
    /**
     * Compares every selected table that a stream of the leg keeps up, on both sides, while it is written to. What differs, what could
     * not be read and what is left to the freeze is in the records; that is a result, not an error.
     * @throws SourceUnavailable, TargetUnavailable, NotReadyYet when no marker comes through (all retryable; goes on with the tables
     * not yet done); TargetConflict when the ledger is gone
     */
    async compareMoving({ scope, leg, checksum, lanes, attempt }: CompareMovingInput): Promise<ComparedMoving> {
      const started = Date.now();
      const writing = writingSide(leg);
      const nothing: MovingProgress = { tablesDone: 0, tablesTotal: 0, bytesDone: 0, bytesTotal: 0 };
      return withHeartbeat(nothing, (beat) =>
        MovingSessions.with(
          {
            connections,
            scope,
            lanes,
            writing,
            signal: beat.signal,
            streamsOf: (target) => streamsOf(target, scope, leg),
          },
          async (sessions) => {
            const { source, target } = sessions.control;
            await requireLedger(target, scope.migration);
            await target.query(movingDdl);
            const { subjects, judged, unlogged } = await listSubjects(sessions.control, scope, writing, checksum);
            const done = await resumeResults(target, attempt);
            const open = notIn(subjects, done);
            const progress = movingProgress(subjects, open, beat.report);
            const hash = (await usableHash(source)) === 'md5' ? await usableHash(target) : 'sha256';
            const versions = { source: await versionOf(source), target: await versionOf(target) };
            for (const batch of batchesOf(open)) {
              if (batch[0]) progress.begin(nameOf(batch[0]));
              const found = await compareBatch(sessions, batch, {
                hash,
                versions,
                writing,
                signal: beat.signal,
                onBytes: progress.bytes,
                onOpen: progress.looking,
              });
              await noteResults(target, attempt, [...found.values()]);
              done.push(...found.values());
              progress.done(batch.length);
            }
            const { pending, results, undecided } = planPending(done, subjects, hash);
            const all = [...results, ...judged.map(withoutRows)].sort(byTable);
            const records = recordsOf({
              results: all,
              unlogged,
              pending: pending.tables.map((table) => ({
                table: nameOf(table),
                ...(table.whole ? {} : { keys: table.keys.length }),
              })),
              durationMs: Date.now() - started,
            });
            const left = new Set(pending.tables.map(identityOf));
            const tables = all
              .map(({ verdict }) => {
                const { equal, ...record } = tableRecordOf(verdict);
                return equal === undefined || (equal && left.has(identityOf(verdict))) ? record : { ...record, equal };
              })
              .sort((one, other) => other.bytes - one.bytes);
            const verdicts = all.map(({ verdict }) => verdict);
            const content = { tables, verdicts, differences: all.flatMap(({ lines }) => lines) };
            const put = (name: string, json: unknown): Promise<ArtifactReference> =>
              artifacts.put(scope.migration, name, `${JSON.stringify(json, undefined, 1)}\n`);
            return {
              records: [...records, ...unmatched(checksum, subjects)],
              tables: tables.slice(0, tablesListed),
              tablesNotListed: Math.max(0, tables.length - tablesListed),
              unequal: verdicts.filter(({ outcome }) => outcome === 'unequal').length,
              artifact: await put('compared-tables.json', content),
              undecided,
              ...(undecided > 0 ? { pending: await put('pending.json', pending) } : {}),
              hot: hottest(results),
            };
          },
        ).catch((error: unknown) => {
          throw postgresFailure(error, 'target', 'Comparing tables while they move');
        }),
      );
    },
  };
}

function notIn(subjects: Subject[], done: MovingResult[]): Subject[] {
  const names = new Set(done.map(({ verdict }) => identityOf(verdict)));
  return subjects.filter((subject) => !names.has(identityOf(subject)));
}

function withoutRows(verdict: Verdict): MovingResult {
  return { verdict, lines: [], onOneSideOnly: true, moved: 0, undecided: [], whole: false };
}

function hottest(results: MovingResult[]): string[] {
  return results
    .filter(({ moved }) => moved > 0)
    .sort((one, other) => other.moved - one.moved)
    .slice(0, hotListed)
    .map(({ verdict }) => verdict.table);
}

function byTable({ verdict: one }: MovingResult, { verdict: other }: MovingResult): number {
  return one.table < other.table ? -1 : 1;
}
