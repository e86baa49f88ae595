// The copy's part of the ledger: which tables, cut into which chunks, and which of them are in. A chunk turns `done` in the
// transaction that brings its rows, so the two can never disagree, whatever dies when.
//
// Lanes commit with synchronous_commit = off. That is safe here: rows and their mark are in the same commit record, so a crash of
// the target loses both or neither, and a chunk that lost both is simply copied again. `summarizeCopy` commits synchronously
// before it believes the ledger, and thereby makes every earlier commit durable.
import type { ClientBase } from 'pg';
import { ledgerSchema } from '../scope';
import { rejectsDdl } from '../transform/rejects';

export const copyLedgerDdl = `
create table if not exists ${ledgerSchema}.setting (
  key text primary key,
  value text not null
);
create table if not exists ${ledgerSchema}.copied_table (
  id int primary key,
  source_oid oid not null,
  schema_name text not null,
  table_name text not null,
  columns text[] not null,
  format text not null check (format in ('binary', 'text')),
  persistence text not null,
  condition text,
  filenode oid,
  bytes_estimated bigint not null,
  rows_estimated bigint not null,
  streamed boolean not null default true,
  group_id int,
  unique (schema_name, table_name)
);
create table if not exists ${ledgerSchema}.chunk (
  id int primary key,
  table_id int not null references ${ledgerSchema}.copied_table,
  kind text not null check (kind in ('table', 'ctid')),
  lower bigint,
  upper bigint,
  bytes_estimated bigint not null,
  state text not null default 'todo' check (state in ('todo', 'done')),
  rows bigint,
  bytes bigint,
  lane int,
  started_at timestamptz,
  finished_at timestamptz,
  duration_ms bigint
);
create index if not exists chunk_todo on ${ledgerSchema}.chunk (bytes_estimated desc, id) where state = 'todo';
create unlogged table if not exists ${ledgerSchema}.unlogged_alive (
  only_row boolean primary key default true check (only_row)
);
`;

/** A table as the copy reads and writes it. */
export interface TablePlan {
  oid: string;
  schema: string;
  name: string;
  /** Copied ones, in one order for both sides; empty for a table without any. */
  columns: string[];
  format: 'binary' | 'text';
  /** `WHERE …` of an extension's configuration table; null for every row. */
  condition: string | null;
  /** Of the source's heap when the chunks were cut; undefined where it could not be known. */
  filenode: string | null;
}

/** A whole table, or its pages from `lower` to before `upper` (null: to the end). */
export interface Chunk {
  id: string;
  kind: 'table' | 'ctid';
  lower: string | null;
  upper: string | null;
  bytesEstimated: number;
  table: TablePlan;
}

interface ChunkRow {
  id: string;
  kind: 'table' | 'ctid';
  lower: string | null;
  upper: string | null;
  bytes_estimated: string;
  source_oid: string;
  schema_name: string;
  table_name: string;
  columns: string;
  format: 'binary' | 'text';
  condition: string | null;
  filenode: string | null;
}

const nextSql = (condition: string): string => `
select c.id, c.kind, c.lower, c.upper, c.bytes_estimated,
  t.source_oid, t.schema_name, t.table_name, to_json(t.columns) as columns, t.format, t.condition, t.filenode
from ${ledgerSchema}.chunk c
join ${ledgerSchema}.copied_table t on t.id = c.table_id
where c.state = 'todo'${condition}
order by c.bytes_estimated desc, c.id
limit 1
for update of c skip locked`;

/** Inside a transaction: the biggest chunk (of the group) that nobody has or holds, held until the transaction ends; undefined when there is none. */
export async function takeChunk(target: ClientBase, group?: number): Promise<Chunk | undefined> {
  const { rows } =
    group === undefined
      ? await target.query<ChunkRow>(nextSql(''))
      : await target.query<ChunkRow>(nextSql(' and t.group_id = $1'), [group]);
  const row = rows[0];
  if (!row) return undefined;
  return {
    id: row.id,
    kind: row.kind,
    lower: row.lower,
    upper: row.upper,
    bytesEstimated: Number(row.bytes_estimated),
    table: {
      oid: row.source_oid,
      schema: row.schema_name,
      name: row.table_name,
      columns: JSON.parse(row.columns) as string[],
      format: row.format,
      condition: row.condition,
      filenode: row.filenode,
    },
  };
}

/** In the same transaction as the rows. */
export async function markDone(
  target: ClientBase,
  chunk: Chunk,
  done: { rows: number; bytes: number; lane: number },
): Promise<void> {
  await target.query(
    `update ${ledgerSchema}.chunk
     set state = 'done', rows = $2, bytes = $3, lane = $4, started_at = now(), finished_at = clock_timestamp(),
       duration_ms = extract(epoch from clock_timestamp() - now()) * 1000
     where id = $1`,
    [chunk.id, done.rows, done.bytes, done.lane],
  );
}

/**
 * A crash empties unlogged tables but not the ledger. A row of an unlogged table of our own tells: when it is gone, chunks of unlogged
 * tables are to be done again. Called before a lane takes its first chunk; no session outlives a crash, so no lane misses it.
 */
export async function forgetUnloggedAfterCrash(target: ClientBase): Promise<void> {
  const { rowCount } = await target.query(`select from ${ledgerSchema}.unlogged_alive`);
  if (rowCount) return;
  await target.query('begin');
  await target.query(`lock table ${ledgerSchema}.unlogged_alive in exclusive mode`);
  const again = await target.query(`select from ${ledgerSchema}.unlogged_alive`);
  if (!again.rowCount) {
    // Rejects are logged, and would be written again. A ledger of an earlier version has no table for them.
    await target.query(rejectsDdl);
    await target.query(
      `delete from ${ledgerSchema}.rejects r using ${ledgerSchema}.copied_table t
       where t.schema_name = r.schema_name and t.table_name = r.table_name and t.persistence = 'u'`,
    );
    await target.query(
      `update ${ledgerSchema}.chunk c set state = 'todo', rows = null, bytes = null
       from ${ledgerSchema}.copied_table t where t.id = c.table_id and t.persistence = 'u' and c.state = 'done'`,
    );
    await target.query(`insert into ${ledgerSchema}.unlogged_alive default values`);
  }
  await target.query('commit');
}

/** Whether the copy's tables are in the ledger: an undo may come before anything was made. */
export async function copyLedgerExists(target: ClientBase): Promise<boolean> {
  const { rows } = await target.query<{ there: string | null }>(
    `select to_regclass('${ledgerSchema}.copied_table')::text as there`,
  );
  return Boolean(rows[0]?.there);
}
