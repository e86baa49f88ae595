// How far the copy is, read from the ledger: committed chunks only. Totals and rate are in bytes on the source's disk, so that
// they reach 100 %; what a table put through the pipe is in its record.
import type { ClientBase } from 'pg';
import type { CopyProgress, TableRecord } from '../../../journal/types';
import type { ArtifactReference } from '../../artifacts/store';
import { failure } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import type { PostgresDependencies } from '../../dependencies';
import { ledgerSchema, type PostgresScope } from '../scope';
import { copyLedgerExists } from './chunk-ledger';
import { writeSetting } from './settings';

const tablesListed = 100;

export interface CopySummary {
  /** The 100 biggest by bytes copied. */
  tables: TableRecord[];
  tablesNotListed: number;
  rows: string;
  /** Through the pipe. */
  bytes: number;
  /** `copied-tables.json`: every table. */
  artifact: ArtifactReference;
}

export function createProgressActivities({ connections, artifacts }: PostgresDependencies) {
  return {
    /** What is committed so far. Nothing planned gives zeros. */
    async measureCopy({ scope }: { scope: PostgresScope }): Promise<CopyProgress> {
      return withHeartbeat({}, ({ signal }) =>
        connections.withSession(scope.target, { side: 'target', purpose: 'measure copy', signal }, measure),
      );
    },

    /**
     * Makes everything copied durable and adds it up, table by table.
     * @throws NotReadyYet (retryable) when a chunk is still to be done, for instance after the target lost its last commits in a crash
     */
    async summarizeCopy({ scope }: { scope: PostgresScope }): Promise<CopySummary> {
      return withHeartbeat({}, ({ signal }) =>
        connections.withSession(scope.target, { side: 'target', purpose: 'summarize copy', signal }, async (target) => {
          await target.query('set synchronous_commit = on');
          await writeSetting(target, 'summarizedAt', new Date().toISOString());
          await requireDone(target);
          const tables = await readTables(target);
          const artifact = await artifacts.put(
            scope.migration,
            'copied-tables.json',
            `${JSON.stringify(tables, undefined, 1)}\n`,
          );
          return {
            tables: tables.slice(0, tablesListed),
            tablesNotListed: Math.max(0, tables.length - tablesListed),
            rows: String(tables.reduce((sum, { rows }) => sum + BigInt(rows), 0n)),
            bytes: tables.reduce((sum, { bytes }) => sum + bytes, 0),
            artifact,
          };
        }),
      );
    },
  };
}

interface ProgressRow {
  rows: string;
  rows_estimated: string;
  bytes_copied: string;
  bytes_total: string;
  chunks_done: string;
  chunks_total: string;
  tables_done: string;
  tables_total: string;
  recent_bytes: string;
  recent_ms: string | null;
}

/** The rate is that of the last minute, or of all there is when nothing was finished in it. */
const progressSql = `
with chunk as (
  select c.*, c.state = 'done' as done from ${ledgerSchema}.chunk c
), span as (
  select greatest(min(started_at), case when max(finished_at) > clock_timestamp() - interval '1 minute' then clock_timestamp() - interval '1 minute' end) as since
  from chunk where done
)
select coalesce(sum(rows) filter (where done), 0) as rows,
  coalesce(sum(bytes_estimated) filter (where done), 0) as bytes_copied, coalesce(sum(bytes_estimated), 0) as bytes_total,
  count(*) filter (where done) as chunks_done, count(*) as chunks_total,
  count(distinct table_id) - count(distinct table_id) filter (where not done) as tables_done, count(distinct table_id) as tables_total,
  (select coalesce(sum(rows_estimated), 0) from ${ledgerSchema}.copied_table) as rows_estimated,
  coalesce(sum(bytes_estimated) filter (where done and finished_at >= (select since from span)), 0) as recent_bytes,
  (select extract(epoch from (select max(finished_at) from chunk where done) - since) * 1000 from span) as recent_ms
from chunk`;

async function measure(target: ClientBase): Promise<CopyProgress> {
  const row = (await copyLedgerExists(target)) ? (await target.query<ProgressRow>(progressSql)).rows[0] : undefined;
  const number = (text: string | null | undefined): number => Number(text ?? 0);
  const bytesCopied = number(row?.bytes_copied);
  const bytesTotal = number(row?.bytes_total);
  const recentMs = number(row?.recent_ms);
  const bytesPerSecond = recentMs > 0 ? Math.round((number(row?.recent_bytes) * 1_000) / recentMs) : 0;
  const rows = BigInt(row?.rows ?? 0);
  const estimated = BigInt(row?.rows_estimated ?? 0);
  return {
    rows: String(rows),
    rowsEstimated: String(estimated > rows ? estimated : rows),
    bytesCopied,
    bytesTotal,
    chunksDone: number(row?.chunks_done),
    chunksTotal: number(row?.chunks_total),
    tablesDone: number(row?.tables_done),
    tablesTotal: number(row?.tables_total),
    ...(bytesPerSecond > 0
      ? { bytesPerSecond, etaMs: Math.round(((bytesTotal - bytesCopied) * 1_000) / bytesPerSecond) }
      : {}),
    measuredAt: new Date().toISOString(),
  };
}

async function requireDone(target: ClientBase): Promise<void> {
  const { rows } = await target.query<{ todo: string; lost: string }>(`
    select count(*) filter (where c.state = 'todo') as todo,
      count(*) filter (where t.persistence = 'u' and not exists (select from ${ledgerSchema}.unlogged_alive)) as lost
    from ${ledgerSchema}.chunk c join ${ledgerSchema}.copied_table t on t.id = c.table_id`);
  const todo = Number(rows[0]?.todo ?? 0) + Number(rows[0]?.lost ?? 0);
  if (todo === 0) return;
  throw failure(
    'NotReadyYet',
    `${todo} chunks of the copy are not in. Run the lanes again: they copy what is missing and nothing else.`,
    { todo },
  );
}

async function readTables(target: ClientBase): Promise<TableRecord[]> {
  const { rows } = await target.query<{ table: string; rows: string; bytes: string; ms: string }>(`
    select t.schema_name || '.' || t.table_name as table, sum(c.rows) as rows, sum(c.bytes) as bytes,
      round(extract(epoch from max(c.finished_at) - min(c.started_at)) * 1000) as ms
    from ${ledgerSchema}.copied_table t join ${ledgerSchema}.chunk c on c.table_id = t.id
    group by t.id order by sum(c.bytes) desc, t.id`);
  return rows.map(({ table, rows: count, bytes, ms }) => ({
    table,
    rows: count,
    bytes: Number(bytes),
    copyMs: Number(ms),
  }));
}
