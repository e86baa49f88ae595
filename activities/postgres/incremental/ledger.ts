// The passes' part of the ledger: up to which moment of the source each table is there, and which tables of which pass are done. A table
// turns `done` and gets its new mark in the transaction that brings its rows.
import type { ClientBase } from 'pg';
import type { TablePlan } from '../copy/chunk-ledger';
import { ledgerSchema } from '../scope';
import { inTransaction } from '../stream/group-ledger';
import type { Mark } from './mark';

/** The mark without a name is that from before the first copy, for every table that has none of its own. */
const passLedgerDdl = `
create table if not exists ${ledgerSchema}.pass_mark (
  schema_name text not null,
  table_name text not null,
  oldest_xid bigint not null,
  since timestamptz,
  primary key (schema_name, table_name)
);
create table if not exists ${ledgerSchema}.pass (
  id int primary key,
  digest boolean not null,
  one_snapshot boolean not null,
  started_at timestamptz not null default clock_timestamp(),
  looked_at timestamptz
);
create table if not exists ${ledgerSchema}.pass_table (
  pass int not null,
  schema_name text not null,
  table_name text not null,
  state text not null default 'todo' check (state in ('todo', 'done')),
  changes text,
  rows bigint not null default 0,
  deleted bigint not null default 0,
  bytes bigint not null default 0,
  finished_at timestamptz,
  duration_ms bigint,
  primary key (pass, schema_name, table_name)
)`;

/** For what forgets the copy: without marks and passes, everything is compared. */
export const forgetPassesSql = `drop table if exists ${ledgerSchema}.pass_mark, ${ledgerSchema}.pass, ${ledgerSchema}.pass_table`;

/** How changed rows are found. */
export type Changes = 'row-version' | 'update-column' | 'digest';

/** A table of a pass, as it is to be read. */
export interface PassTable extends TablePlan {
  /** The whole pass compares by digest. */
  digest: boolean;
  mark?: Mark;
}

export interface Brought {
  changes: Changes;
  rows: number;
  deleted: number;
  bytes: number;
}

/** Makes the tables, or finds them. */
export async function openPassLedger(target: ClientBase): Promise<void> {
  await inTransaction(target, async () => {
    await target.query(`select pg_advisory_xact_lock(hashtextextended('${ledgerSchema} ledger', 0))`);
    await target.query(passLedgerDdl);
  });
}

/** Keeps the mark that is there: an older one only makes more be read. */
export async function noteFirstMark(target: ClientBase, { xmin, since }: Mark): Promise<void> {
  await target.query(
    `insert into ${ledgerSchema}.pass_mark values ('', '', $1, $2) on conflict (schema_name, table_name) do nothing`,
    [xmin, since ?? null],
  );
}

/** What holds for every table of a pass. */
export interface PassKind {
  /** Compared whatever the plan says. */
  digest: boolean;
  /** All read as of the same moment. */
  oneSnapshot: boolean;
}

/** Opens the pass with these tables unless it is there. */
export async function openPass(
  target: ClientBase,
  pass: number,
  { digest, oneSnapshot }: PassKind,
  tables: { schema: string; name: string }[],
): Promise<void> {
  await inTransaction(target, async () => {
    const made = await target.query(
      `insert into ${ledgerSchema}.pass (id, digest, one_snapshot) values ($1, $2, $3) on conflict (id) do nothing`,
      [pass, digest, oneSnapshot],
    );
    if (!made.rowCount) return;
    await target.query(
      `insert into ${ledgerSchema}.pass_table (pass, schema_name, table_name) select $1::int, t.* from unnest($2::text[], $3::text[]) as t`,
      [pass, tables.map(({ schema }) => schema), tables.map(({ name }) => name)],
    );
  });
}

/** Tables of the pass; undefined when it was not begun. */
export async function countPassTables(target: ClientBase, pass: number): Promise<number | undefined> {
  const { rows } = await target.query<{ tables: string }>(
    `select (select count(*) from ${ledgerSchema}.pass_table t where t.pass = p.id) as tables from ${ledgerSchema}.pass p where p.id = $1`,
    [pass],
  );
  return rows[0] && Number(rows[0].tables);
}

export async function readsOneSnapshot(target: ClientBase, pass: number): Promise<boolean> {
  const { rows } = await target.query<{ one: string }>(
    `select one_snapshot as one from ${ledgerSchema}.pass where id = $1`,
    [pass],
  );
  return rows[0]?.one === 't';
}

/** For a pass of one snapshot: what was read under a snapshot that is gone is to be read again, with what was not. */
export async function beginAnew(target: ClientBase, pass: number): Promise<void> {
  await target.query(
    `update ${ledgerSchema}.pass_table set state = 'todo'
     where pass = $1 and exists (select from ${ledgerSchema}.pass_table t where t.pass = $1 and t.state = 'todo')`,
    [pass],
  );
}

/** Whether no other session makes the pass; it is this one's until it ends. */
export async function claimPass(target: ClientBase, pass: number): Promise<boolean> {
  const { rows } = await target.query<{ mine: string }>(
    `select pg_try_advisory_lock(hashtextextended('${ledgerSchema} pass ' || $1::int, 0)) as mine`,
    [pass],
  );
  return rows[0]?.mine === 't';
}

export async function listCopied(target: ClientBase): Promise<{ schema: string; name: string }[]> {
  const { rows } = await target.query<{ schema: string; name: string }>(
    `select schema_name as schema, table_name as name from ${ledgerSchema}.copied_table order by id`,
  );
  return rows;
}

/** Chunks of the first copy that are not in. */
export async function countOpenChunks(target: ClientBase): Promise<number> {
  const { rows } = await target.query<{ todo: string }>(
    `select count(*) as todo from ${ledgerSchema}.chunk where state = 'todo'`,
  );
  return Number(rows[0]?.todo ?? 0);
}

interface PassTableRow {
  source_oid: string;
  schema_name: string;
  table_name: string;
  columns: string;
  format: 'binary' | 'text';
  condition: string | null;
  digest: string;
  xmin: string | null;
  since: string | null;
}

const nextSql = `
select t.source_oid, t.schema_name, t.table_name, to_json(t.columns) as columns, t.format, t.condition, p.digest,
  case when own.oldest_xid is null then first.oldest_xid else own.oldest_xid end as xmin,
  case when own.oldest_xid is null then first.since else own.since end as since
from ${ledgerSchema}.pass_table pt
join ${ledgerSchema}.pass p on p.id = pt.pass
join ${ledgerSchema}.copied_table t on t.schema_name = pt.schema_name and t.table_name = pt.table_name
left join ${ledgerSchema}.pass_mark own on own.schema_name = pt.schema_name and own.table_name = pt.table_name
left join ${ledgerSchema}.pass_mark first on first.schema_name = '' and first.table_name = ''
where pt.pass = $1 and pt.state = 'todo'
order by t.bytes_estimated desc, t.id
limit 1
for update of pt skip locked`;

/** Inside a transaction: the biggest table that nobody has or holds, held until the transaction ends; undefined when there is none. */
export async function takePassTable(target: ClientBase, pass: number): Promise<PassTable | undefined> {
  const { rows } = await target.query<PassTableRow>(nextSql, [pass]);
  const row = rows[0];
  if (!row) return undefined;
  return {
    oid: row.source_oid,
    schema: row.schema_name,
    name: row.table_name,
    columns: JSON.parse(row.columns) as string[],
    format: row.format,
    condition: row.condition,
    filenode: null,
    digest: row.digest === 't',
    ...(row.xmin === null ? {} : { mark: { xmin: row.xmin, ...(row.since === null ? {} : { since: row.since }) } }),
  };
}

/** In the same transaction as the rows. */
export async function markBrought(
  target: ClientBase,
  pass: number,
  { schema, name }: { schema: string; name: string },
  mark: Mark,
  brought: Brought,
): Promise<void> {
  await target.query(
    `update ${ledgerSchema}.pass_table
     set state = 'done', changes = $4, rows = $5, deleted = $6, bytes = $7, finished_at = clock_timestamp(),
       duration_ms = extract(epoch from clock_timestamp() - now()) * 1000
     where pass = $1 and schema_name = $2 and table_name = $3`,
    [pass, schema, name, brought.changes, brought.rows, brought.deleted, brought.bytes],
  );
  await target.query(
    `insert into ${ledgerSchema}.pass_mark values ($1, $2, $3, $4)
     on conflict (schema_name, table_name) do update set oldest_xid = excluded.oldest_xid, since = excluded.since`,
    [schema, name, mark.xmin, mark.since ?? null],
  );
}

const lostSql = `from ${ledgerSchema}.copied_table t
  where t.schema_name = pt.schema_name and t.table_name = pt.table_name and t.persistence = 'u'
    and not exists (select from ${ledgerSchema}.unlogged_alive)`;

/** As for chunks: a crash of the target empties unlogged tables and leaves the ledger, so they are to be done again. */
export async function forgetUnloggedOfPass(target: ClientBase, pass: number): Promise<void> {
  const { rowCount } = await target.query(`select from ${ledgerSchema}.unlogged_alive`);
  if (rowCount) return;
  await inTransaction(target, async () => {
    await target.query(`lock table ${ledgerSchema}.unlogged_alive in exclusive mode`);
    await target.query(
      `update ${ledgerSchema}.pass_table pt set state = 'todo' where pt.pass = $1 and pt.state = 'done' and exists (select ${lostSql})`,
      [pass],
    );
    await target.query(`insert into ${ledgerSchema}.unlogged_alive default values on conflict do nothing`);
  });
}

/** Tables of the pass that are not done, or were lost. */
export async function countOpenTables(target: ClientBase, pass: number): Promise<number> {
  const { rows } = await target.query<{ open: string }>(
    `select count(*) as open from ${ledgerSchema}.pass_table pt where pt.pass = $1 and (pt.state = 'todo' or exists (select ${lostSql}))`,
    [pass],
  );
  return Number(rows[0]?.open ?? 0);
}
