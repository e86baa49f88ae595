// The repair: rows that differ and stand still are written on the other side as the judge has them. Nothing is proved by it: the next
// round compares anew.
import type { Client } from 'pg';
import { otherSide, type WritingSide } from '../../../journal/sides';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import { failure } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import { valueSettings } from '../copy/copy-format';
import { StreamError } from '../copy/copy-stream';
import { identityOf, nameOf } from '../digest/relations';
import { postgresFailure } from '../errors';
import { portionsOf } from '../moving/settle';
import { listSubjects, type Subject } from '../moving/subjects';
import type { PostgresScope } from '../scope';
import { listTables, type SelectedTable } from '../tables';
import { readDifferences } from './differences';
import { isHeld, repairBatch, type BatchResult, type RepairedTable } from './repair-batch';

/** The application waits for rows that are being repaired: few at a time, and never longer than this for one that somebody holds. */
const rowsAtOnce = 200;
const rowsAtOnceWhereHeld = 10;
const settings = { ...valueSettings, lock_timeout: '1s' };

export interface RepairedRows {
  inserted: number;
  updated: number;
  deleted: number;
  /** Rows that somebody held: the next round looks at them again. */
  left: number;
}

export function createRepairActivities({ connections, artifacts }: PostgresDependencies) {
  return {
    /**
     * Makes rows of the other side like the judge's, whose rows are locked while they are written. Repeatable: rows that are the same by now
     * are written once more.
     * @throws SourceUnavailable, TargetUnavailable (retryable); AuthDenied where triggers cannot be kept from firing, or a privilege is missing
     */
    async repairRows({
      scope,
      judge: judging,
      differences,
    }: {
      scope: PostgresScope;
      judge: WritingSide;
      differences: ArtifactReference;
    }): Promise<RepairedRows> {
      const repaired = { inserted: 0, updated: 0, deleted: 0, left: 0 };
      return withHeartbeat(repaired, async ({ signal, report }) => {
        const wanted = await readDifferences(artifacts, differences);
        const session = { purpose: 'repair rows', signal, settings };
        const repairing = otherSide(judging);
        return connections.withSession(scope[judging], { ...session, side: judging }, (judge) =>
          connections.withSession(scope[repairing], { ...session, side: repairing }, async (other) => {
            await keepQuiet(other, repairing);
            const tables = await describeTables(scope, judging, judge, other);
            for (const { schema, name, keys } of wanted) {
              const table = tables.get(identityOf({ schema, name }));
              if (!table) {
                repaired.left += keys.length;
                continue;
              }
              const work = (ids: string[]): Promise<BatchResult> =>
                repairBatch(judge, other, table, ids).catch((error: unknown) => {
                  signal.throwIfAborted();
                  throw error;
                });
              for (const ids of portionsOf(keys, rowsAtOnce)) {
                add(
                  repaired,
                  await inPortions(ids, work).catch((error: unknown) => {
                    throw told(error, judging, repairing, `Repairing ${nameOf(table)}`);
                  }),
                );
                report({ ...repaired });
              }
            }
            return repaired;
          }),
        );
      });
    },
  };
}

/** All at once; where one of them is held, a few at a time, so that only its neighbours wait for another round. */
async function inPortions(ids: string[], work: (ids: string[]) => Promise<BatchResult>): Promise<RepairedRows> {
  const done = { inserted: 0, updated: 0, deleted: 0, left: 0 };
  const tried = async (portion: string[]): Promise<boolean> => {
    try {
      add(done, { ...(await work(portion)), left: 0 });
      return true;
    } catch (error) {
      if (!isHeld(error)) throw error;
      return false;
    }
  };
  if (await tried(ids)) return done;
  for (const portion of portionsOf(ids, rowsAtOnceWhereHeld)) if (!(await tried(portion))) done.left += portion.length;
  return done;
}

function add(sum: RepairedRows, { inserted, updated, deleted, left }: RepairedRows): void {
  sum.inserted += inserted;
  sum.updated += updated;
  sum.deleted += deleted;
  sum.left += left;
}

/** Neither triggers nor foreign keys act: what they would do was done on the judge's side, and is repaired by itself where it is missing. */
async function keepQuiet(other: Client, side: WritingSide): Promise<void> {
  await other.query('set session_replication_role = replica').catch(() => undefined);
  const { rows } = await other.query<{ role: string }>(`select current_setting('session_replication_role') as role`);
  if (rows[0]?.role === 'replica') return;
  throw failure(
    'AuthDenied',
    `Triggers on the ${side} cannot be kept from firing while rows are repaired: session_replication_role was not accepted. Grant it (GRANT SET ON PARAMETER session_replication_role TO the role of the connection) or connect as a superuser.`,
  );
}

async function describeTables(
  scope: PostgresScope,
  judging: WritingSide,
  judge: Client,
  other: Client,
): Promise<Map<string, RepairedTable>> {
  const clients = judging === 'source' ? { source: judge, target: other } : { source: other, target: judge };
  const { subjects } = await listSubjects(clients, scope, judging, 'all', 'compared');
  const written = new Map((await listTables(other, scope.tables)).map((table) => [identityOf(table), table]));
  return new Map(
    subjects.flatMap((subject) => {
      const table = written.get(identityOf(subject));
      return table ? [[identityOf(subject), tableOf(subject, table, judging)] as const] : [];
    }),
  );
}

function tableOf(subject: Subject, { columns }: SelectedTable, judging: WritingSide): RepairedTable {
  const { key = [] } = subject[judging].relation;
  const real = columns.filter(({ generated }) => !generated);
  return {
    schema: subject.schema,
    name: subject.name,
    key,
    columns: real.map(({ name }) => name),
    settable: real.filter(({ name, identity }) => identity !== 'always' && !key.includes(name)).map(({ name }) => name),
    judge: subject[judging],
    other: subject[otherSide(judging)],
  };
}

/** A failure in the stream says on which side: its first session is the judge's. */
function told(error: unknown, judging: WritingSide, repairing: WritingSide, doing: string): unknown {
  if (!(error instanceof StreamError)) return postgresFailure(error, repairing, doing);
  return postgresFailure(error.error, error.side === 'source' ? judging : repairing, doing);
}
