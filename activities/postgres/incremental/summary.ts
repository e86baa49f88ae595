// What a pass has brought, read from the ledger and made durable before it is believed.
import type { Client } from 'pg';
import { failure } from '../../errors';
import { ledgerSchema } from '../scope';
import { countOpenTables } from './ledger';

export interface PassSummary {
  tables: number;
  /** Changed or not. */
  tablesDone: number;
  /** Tables of which a row was written or deleted. */
  tablesChanged: number;
  rows: string;
  deleted: string;
  bytes: number;
  /** Of the tables that are done, and of all, as estimated before the copy: what a pass takes depends more on them than on what has changed. */
  bytesDone: number;
  bytesTotal: number;
  /** From the begin of the pass to the end of its last table (or now). */
  durationMs: number;
  startedAt: string;
  /** Left out while tables are left. */
  endedAt?: string;
  /** At most 5, slowest first. */
  slowest: { table: string; ms: number }[];
  /** Every table of the pass is done. */
  done: boolean;
}

const slowestListed = 5;

/** @throws PreconditionFailed when the pass was not begun */
export async function readSummary(target: Client, pass: number): Promise<PassSummary> {
  // Lanes commit without waiting for the disk; this commit comes after theirs and takes them along.
  await target.query('set synchronous_commit = on');
  await target.query(`update ${ledgerSchema}.pass set looked_at = clock_timestamp() where id = $1`, [pass]);
  const open = await countOpenTables(target, pass);
  const { rows } = await target.query<
    Record<
      | 'tables'
      | 'finished'
      | 'weight_done'
      | 'weight'
      | 'changed'
      | 'rows'
      | 'deleted'
      | 'bytes'
      | 'started'
      | 'ended'
      | 'ms',
      string
    >
  >(
    `select count(t.*) as tables, count(*) filter (where t.state = 'done') as finished,
       coalesce(sum(c.bytes_estimated) filter (where t.state = 'done'), 0) as weight_done, coalesce(sum(c.bytes_estimated), 0) as weight,
       count(*) filter (where t.rows + t.deleted > 0) as changed,
       coalesce(sum(t.rows), 0) as rows, coalesce(sum(t.deleted), 0) as deleted, coalesce(sum(t.bytes), 0) as bytes,
       ${iso('p.started_at')} as started, ${iso('coalesce(max(t.finished_at), clock_timestamp())')} as ended,
       round(extract(epoch from case when $2 then coalesce(max(t.finished_at), p.started_at) else clock_timestamp() end - p.started_at) * 1000) as ms
     from ${ledgerSchema}.pass p left join ${ledgerSchema}.pass_table t on t.pass = p.id
     left join ${ledgerSchema}.copied_table c on c.schema_name = t.schema_name and c.table_name = t.table_name
     where p.id = $1 group by p.id`,
    [pass, open === 0],
  );
  const row = rows[0];
  if (!row) {
    throw failure('PreconditionFailed', `Pass ${pass} was not begun on the target. Begin it before it is summed up.`);
  }
  const slowest = await target.query<{ table: string; ms: string }>(
    `select schema_name || '.' || table_name as table, duration_ms as ms from ${ledgerSchema}.pass_table
     where pass = $1 and duration_ms is not null order by duration_ms desc, schema_name, table_name limit ${slowestListed}`,
    [pass],
  );
  return {
    tables: Number(row.tables),
    tablesDone: Number(row.finished),
    tablesChanged: Number(row.changed),
    rows: row.rows,
    deleted: row.deleted,
    bytes: Number(row.bytes),
    bytesDone: Number(row.weight_done),
    bytesTotal: Number(row.weight),
    durationMs: Number(row.ms),
    startedAt: row.started,
    ...(open === 0 ? { endedAt: row.ended } : {}),
    slowest: slowest.rows.map(({ table, ms }) => ({ table, ms: Number(ms) })),
    done: open === 0,
  };
}

function iso(moment: string): string {
  return `to_char(${moment}, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
}
