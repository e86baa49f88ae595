// Both sides compared while the application writes to both: every table at two moments close together, and what differs then looked at again,
// row by row, after the time that a repeated write may take. A row that stood still on the judge's side all that time and is not the same on
// the other differs; a row that merely moves does not.
import type { WritingSide } from '../../../journal/sides';
import type { TableRecord } from '../../../journal/types';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import { withHeartbeat } from '../../heartbeat';
import { versionOf } from '../digest';
import { tableRecordOf, type Verdict } from '../digest/compare';
import { keysShown } from '../digest/bisect';
import { nameOf } from '../digest/relations';
import { usableHash } from '../digest/row-digest';
import { requireLedger } from '../ledger';
import { batchesOf, compareBatch, type MovingResult } from '../moving/batch';
import { movingProgress, type MovingProgress } from '../moving/progress';
import { MovingSessions } from '../moving/sessions';
import type { Wrong } from '../moving/settle';
import { listSubjects, type Subject } from '../moving/subjects';
import type { PostgresScope } from '../scope';
import { writeDifferences } from './differences';

const tablesListed = 100;
const problemsListed = 10;
/** Keys handed to one repair; what is beyond is found by the next round. */
const keysAtMost = 100_000;

export interface CompareLiveInput {
  scope: PostgresScope;
  /** The side that is right: the one that the application uses. */
  judge: WritingSide;
  /** Sessions on each side. */
  lanes: number;
  /** How long a repeated write may take to arrive. */
  settleMs: number;
}

/** Rows of one table that differ and stand still, by what makes the other side like the judge's. */
export interface TableDifferences {
  /** `schema.table`. */
  table: string;
  insert: number;
  update: number;
  delete: number;
}

export interface ComparedLive {
  tables: number;
  /** Of the judge. */
  rows: string;
  /** Rows that differ and stand still; of a table with many, at least so many. */
  differing: number;
  /** Rows that were being written while they were compared. */
  moving: number;
  /** The first hundred with differences. */
  byTable: TableDifferences[];
  /** `schema.table key=(…): missing on the target`, the first twenty and a count. */
  lines: string[];
  /** What could not be compared, at most ten: nothing is proved then. */
  problems: string[];
  /** The hundred biggest tables. */
  records: TableRecord[];
  /** `differences.json`, where something differs: for `repairRows`. */
  differences?: ArtifactReference;
  durationMs: number;
}

export function createCompareLiveActivities({ connections, artifacts }: PostgresDependencies) {
  return {
    /**
     * Compares every row of every selected table on both sides while both are written to. What differs, moves or could not be read is in the
     * result; that is a result, not an error. Changes nothing.
     * @throws SourceUnavailable, TargetUnavailable (retryable: reads everything anew); TargetConflict when the ledger is gone
     */
    async compareLive({ scope, judge, lanes, settleMs }: CompareLiveInput): Promise<ComparedLive> {
      const started = Date.now();
      const nothing: MovingProgress = { tablesDone: 0, tablesTotal: 0, bytesDone: 0, bytesTotal: 0 };
      return withHeartbeat(nothing, (beat) =>
        MovingSessions.with(
          {
            connections,
            scope,
            lanes,
            writing: judge,
            signal: beat.signal,
            streamsOf: () => Promise.resolve([]),
            settleMs,
          },
          async (sessions) => {
            const { source, target } = sessions.control;
            await requireLedger(target, scope.migration);
            const { subjects, judged } = await listSubjects(sessions.control, scope, judge, 'all', 'compared');
            const keyed = subjects.filter((subject) => subject.keyed);
            const progress = movingProgress(keyed, keyed, beat.report);
            const wrong = new Map<Subject, Map<string, Wrong>>();
            const options = {
              hash: (await usableHash(source)) === 'md5' ? await usableHash(target) : ('sha256' as const),
              versions: { source: await versionOf(source), target: await versionOf(target) },
              writing: judge,
              signal: beat.signal,
              onBytes: progress.bytes,
              onOpen: progress.looking,
              onWrong: (subject: Subject, rows: Wrong[]) => {
                const known = wrong.get(subject) ?? new Map<string, Wrong>();
                for (const row of rows) known.set(row.id, row);
                wrong.set(subject, known);
              },
            };
            const results = new Map<Subject, MovingResult>();
            for (const batch of batchesOf(keyed)) {
              if (batch[0]) progress.begin(nameOf(batch[0]));
              for (const [subject, result] of await compareBatch(sessions, batch, options))
                results.set(subject, result);
              progress.done(batch.length);
            }
            const keyless = subjects.filter((subject) => !subject.keyed);
            const found = summarize(judge, results, wrong);
            const problems = [...judged.map(whyNot), ...keyless.map(noKey), ...found.problems];
            return {
              ...found,
              tables: subjects.length + judged.length,
              problems: [
                ...problems.slice(0, problemsListed),
                ...(problems.length > problemsListed ? [`and ${problems.length - problemsListed} more`] : []),
              ],
              ...(found.differing > 0
                ? { differences: await writeDifferences(artifacts, scope.migration, keysOf(wrong)) }
                : {}),
              durationMs: Date.now() - started,
            };
          },
        ),
      );
    },
  };
}

/** Pure. */
export function summarize(
  judge: WritingSide,
  results: ReadonlyMap<Subject, MovingResult>,
  wrong: ReadonlyMap<Subject, ReadonlyMap<string, Wrong>>,
): Omit<ComparedLive, 'tables' | 'durationMs' | 'differences'> {
  const all = [...results.values()];
  const byTable = [...wrong].map(([subject, rows]): TableDifferences => {
    const count = (kind: Wrong['kind']): number => [...rows.values()].filter((row) => row.kind === kind).length;
    return { table: nameOf(subject), insert: count('missing'), update: count('different'), delete: count('extra') };
  });
  const differing = [...wrong.values()].reduce((sum, rows) => sum + rows.size, 0);
  const lines = inTurn(all.map((result) => result.lines)).slice(0, keysShown);
  if (differing > lines.length) lines.push(`${differing} rows differ in all`);
  const rows = all.reduce(
    (sum, { verdict }) => sum + BigInt((judge === 'source' ? verdict.sourceRows : verdict.targetRows) ?? 0),
    0n,
  );
  return {
    rows: String(rows),
    differing,
    moving: all.reduce((sum, { moved }) => sum + moved, 0),
    byTable: byTable.slice(0, tablesListed),
    lines,
    problems: all.flatMap(({ verdict, whole }) => {
      if (verdict.outcome === 'unverifiable') return [whyNot(verdict)];
      return whole ? [`${verdict.table} changed too much, or was rewritten, while it was read`] : [];
    }),
    records: all
      .map(({ verdict }) => tableRecordOf(verdict))
      .sort((one, other) => other.bytes - one.bytes)
      .slice(0, tablesListed),
  };
}

/** The first of each, then the second of each: of many tables that differ each is to be seen. */
function inTurn(lists: string[][]): string[] {
  const longest = Math.max(0, ...lists.map((list) => list.length));
  return Array.from({ length: longest }, (_, at) => lists.flatMap((list) => list.slice(at, at + 1))).flat();
}

function whyNot({ table, why }: Verdict): string {
  return `${table} ${why ?? 'could not be compared'}`;
}

function noKey(subject: Subject): string {
  return `${nameOf(subject)} has no key, so its rows cannot be told apart`;
}

function keysOf(wrong: ReadonlyMap<Subject, ReadonlyMap<string, Wrong>>) {
  let left = keysAtMost;
  return [...wrong].flatMap(([{ schema, name }, rows]) => {
    const keys = [...rows.keys()].slice(0, left);
    left -= keys.length;
    return keys.length > 0 ? [{ schema, name, keys }] : [];
  });
}
