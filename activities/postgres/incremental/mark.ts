// The moment from which a table is to be read again. A mark is older than every row version that the reading before it did not see:
// such a version was written by a transaction that was running then or began later, so its number is not below the oldest running one.
import type { Client } from 'pg';
import { applicationNamePrefix } from '../connection';
import { on } from '../copy/copy-errors';

export interface Mark {
  /** Transactions below this had ended; 64 bits, as text. */
  xmin: string;
  /** Begin of the oldest transaction that was open, by the clock of the source; left out where it cannot be known. */
  since?: string;
}

/** A quarter of the ring of transaction numbers: far from where older and younger change places. */
const oldestUsable = 2n ** 30n;

/**
 * Who does not show when it began makes the moment unknown: sessions that hide from this role or do not track, prepared transactions, and on a
 * standby all that the primary does. Our own sessions write nothing.
 */
const sinceSql = `
select case when not pg_is_in_recovery()
    and not exists (select from pg_prepared_xacts where database = current_database())
    and not coalesce(bool_or(backend_start is null or state = 'disabled'), false)
  then least(clock_timestamp(), min(xact_start)) end as since
from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
  and not (usename = current_user and application_name like '${applicationNamePrefix} %')`;

/** Begin of the oldest open transaction; to be asked before the snapshot, so that none is missed that the snapshot does not see. */
export async function readSince(source: Client): Promise<string | undefined> {
  const { rows } = await on('source', source.query<{ since: string | null }>(sinceSql));
  return rows[0]?.since ?? undefined;
}

/**
 * The mark of the snapshot that the session's transaction has, or takes by this, and how far back `former` lies. `age` is left out when
 * it lies too far back, or ahead: then it says nothing about row versions.
 */
export async function readMark(source: Client, former?: Mark): Promise<{ xmin: string; age?: number }> {
  const { rows } = await on(
    'source',
    source.query<{ xmin: string; next: string; age: string }>(
      `select txid_snapshot_xmin(s) as xmin, txid_snapshot_xmax(s) as next, age($1::xid) as age from txid_current_snapshot() as s`,
      [lowerHalf(former?.xmin ?? '0')],
    ),
  );
  const row = rows[0];
  if (!row) throw new Error('the source gave no snapshot');
  const behind = former ? BigInt(row.next) - BigInt(former.xmin) : -1n;
  return { xmin: row.xmin, ...(behind >= 0n && behind < oldestUsable ? { age: Number(row.age) } : {}) };
}

/** A transaction number as rows carry it. */
function lowerHalf(xmin: string): string {
  return String(BigInt(xmin) & 0xffff_ffffn);
}
