// Locks on tables that an application uses: waited for only briefly, since whoever comes after a waiting lock waits too; then let go and
// tried again, a little more patiently each time.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientBase } from 'pg';
import { failure } from '../../errors';
import type { Side } from '../errors';
import { quoteLiteral, quoteQualified } from '../identifier';
import type { TableRef } from './streamed-tables';

const firstWaitMs = 100;
/** Longer than deadlock_timeout usually is: only then does an autovacuum give way. */
const longestWaitMs = 1_500;
const patienceMs = 5 * 60_000;

/** lock_not_available, deadlock_detected */
const notNow = new Set(['55P03', '40P01']);

export interface ShortLock {
  side: Side;
  /** "Changing the replica identity of public.orders" */
  doing: string;
  table: TableRef;
  signal?: AbortSignal;
}

/**
 * Runs `work` in a transaction that waits briefly for locks, as often as it takes.
 * @throws NotReadyYet (retryable), naming who holds the table, after five minutes
 */
export async function withShortLock(
  client: ClientBase,
  { side, doing, table, signal }: ShortLock,
  work: () => Promise<unknown>,
): Promise<void> {
  const deadline = Date.now() + patienceMs;
  for (let waitMs = firstWaitMs; ; waitMs = Math.min(waitMs * 2, longestWaitMs)) {
    signal?.throwIfAborted();
    await client.query('begin');
    try {
      await client.query(`set local lock_timeout = ${waitMs}`);
      await work();
      await client.query('commit');
      return;
    } catch (error) {
      await client.query('rollback').catch(() => undefined);
      const code = error instanceof Error && 'code' in error ? String(error.code) : '';
      if (!notNow.has(code)) throw error;
      if (Date.now() > deadline) throw await heldBy(client, side, doing, table);
    }
    await sleep(waitMs * 2, undefined, { signal });
  }
}

async function heldBy(client: ClientBase, side: Side, doing: string, { schema, name }: TableRef): Promise<Error> {
  const { rows } = await client.query<{ holder: string }>(
    `select distinct format('%s (%s)', coalesce('pid ' || l.pid, 'a prepared transaction'), l.mode) as holder
       from pg_locks l where l.relation = to_regclass(${quoteLiteral(quoteQualified(schema, name))}) and l.granted and l.pid is distinct from pg_backend_pid()
        and l.database = (select oid from pg_database where datname = current_database()) order by 1 limit 5`,
  );
  const holders = rows.map(({ holder }) => holder).join(', ');
  return failure(
    'NotReadyYet',
    `${doing} failed on the ${side}: no lock was had on ${schema}.${name} in ${patienceMs / 60_000} minutes${holders ? `; it is held by ${holders}` : ''}. It is tried again by itself; let those sessions end their transactions when that lasts.`,
  );
}
