// Planning the copy: every selected table, cut into chunks, biggest first, written to the ledger in one transaction. Looks at the
// target before: each table must be there, with the same columns, empty, and with nothing that would fire while rows come in.
import type { Client, ClientBase } from 'pg';
import type { Transformation } from '../../../plan/transformations';
import { failure } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import type { PostgresDependencies } from '../../dependencies';
import { quoteQualified } from '../identifier';
import { openLedger, requireLedger } from '../ledger';
import { ledgerSchema, type PostgresScope } from '../scope';
import { groupLedgerDdl } from '../stream/group-ledger';
import { isStreamed } from '../stream/streamed-tables';
import { listTables, type SelectedTable } from '../tables';
import { rejectsDdl } from '../transform/rejects';
import { copyLedgerDdl } from './chunk-ledger';
import { BinaryTypes } from './copy-format';
import { cut, tidRangeScanVersion } from './cut';
import { readSetting, removeSetting, writeSetting } from './settings';

const megabyte = 1_048_576;
const namesShown = 10;

export interface CopyPlanSummary {
  tables: number;
  chunks: number;
  /** Of the source's tables with TOAST, without indexes. */
  bytesTotal: number;
  rowsEstimated: string;
}

export function createPlanActivities({ connections }: PostgresDependencies) {
  return {
    /**
     * Cuts the selected tables into chunks of about `chunkMegabytes` and notes them in the ledger. Planned already: gives what was planned.
     * @throws PreconditionFailed when the target lacks a table or a column; TargetConflict when a table holds rows already, or the ledger is gone (none retryable)
     */
    async planChunks({
      scope,
      chunkMegabytes,
      strategy,
      transformations = [],
    }: {
      scope: PostgresScope;
      chunkMegabytes: number;
      /** Of the plan: rows of these tables are staged as the source has them. */
      transformations?: Transformation[];
      /** Streams carry no unlogged tables: with 'cdc' they get no chunks and are copied under the fence. */
      strategy?: 'cdc';
    }): Promise<CopyPlanSummary> {
      return withHeartbeat({ step: 'reading tables' }, (beat) =>
        connections.withSession(
          scope.target,
          { side: 'target', purpose: 'plan copy', signal: beat.signal },
          async (target) => {
            await requireLedger(target, scope.migration);
            const before = await summary(target);
            if (before) {
              await removeSetting(target, 'stopped');
              return before;
            }
            const { tables, types, version } = await connections.withSession(
              scope.source,
              { side: 'source', purpose: 'plan copy', signal: beat.signal },
              async (source) => ({
                tables: await listTables(source, scope.tables),
                types: await readCopiedColumns(source),
                version: Number(
                  (await source.query<{ v: string }>(`select current_setting('server_version_num') as v`)).rows[0]?.v,
                ),
              }),
            );
            beat.report({ step: `${tables.length} tables` });
            const targetColumns = await readCopiedColumns(target);
            const staged = new Set(transformations.map(({ table }) => table));
            const plans = tables.map((table) =>
              planTable(table, types, targetColumns, staged.has(`${table.schema}.${table.name}`)),
            );
            requireColumns(plans);
            await requireQuiet(target, tables);
            await requireEmpty(target, tables);
            await target.query('begin');
            await target.query(`lock table ${ledgerSchema}.chunk in exclusive mode`);
            if (!(await summary(target)))
              await writePlan(target, plans, { chunkBytes: chunkMegabytes * megabyte, version, strategy });
            await removeSetting(target, 'stopped');
            await target.query('commit');
            const planned = await summary(target);
            if (!planned)
              throw failure(
                'NotReadyYet',
                'The plan of the copy is not in the ledger yet. It is tried again by itself.',
              );
            return planned;
          },
        ),
      );
    },
  };
}

/** Makes the ledger with the copy's tables, or finds it. @throws TargetConflict as `openLedger` */
export async function openCopyLedger(target: Client, migration: string): Promise<void> {
  await openLedger(target, migration);
  await target.query(`select pg_advisory_lock(hashtextextended('${ledgerSchema} ledger', 0))`);
  try {
    await target.query(copyLedgerDdl + groupLedgerDdl + rejectsDdl);
  } finally {
    await target.query(`select pg_advisory_unlock(hashtextextended('${ledgerSchema} ledger', 0))`);
  }
}

async function summary(target: ClientBase): Promise<CopyPlanSummary | undefined> {
  if (!(await readSetting(target, 'planned'))) return undefined;
  const { rows } = await target.query<{ tables: string; rows: string; bytes: string; chunks: string }>(`
    select count(*) as tables, coalesce(sum(rows_estimated), 0) as rows, coalesce(sum(bytes_estimated), 0) as bytes,
      (select count(*) from ${ledgerSchema}.chunk) as chunks
    from ${ledgerSchema}.copied_table`);
  const row = rows[0];
  if (!row) return undefined;
  return {
    tables: Number(row.tables),
    chunks: Number(row.chunks),
    bytesTotal: Number(row.bytes),
    rowsEstimated: row.rows,
  };
}

interface CopiedColumn {
  generated: boolean;
  /** The built-in type as which it may travel in binary. */
  form?: string;
}

interface CopiedColumns {
  /** `"schema"."table"` -> column -> how it travels. */
  byTable: Map<string, Map<string, CopiedColumn>>;
  filenodes: Map<string, string>;
}

async function readCopiedColumns(client: ClientBase): Promise<CopiedColumns> {
  const types = await BinaryTypes.read(client);
  const { rows } = await client.query<{
    schema: string;
    table: string;
    column: string | null;
    type: string;
    generated: string;
    filenode: string | null;
  }>(`
    select n.nspname as schema, c.relname as table, a.attname as column, a.atttypid as type, a.attgenerated <> '' as generated,
      pg_relation_filenode(c.oid) as filenode
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'`);
  const byTable = new Map<string, Map<string, CopiedColumn>>();
  const filenodes = new Map<string, string>();
  for (const { schema, table, column, type, generated, filenode } of rows) {
    const name = quoteQualified(schema, table);
    const columns = byTable.get(name) ?? new Map<string, CopiedColumn>();
    byTable.set(name, columns);
    if (filenode) filenodes.set(name, filenode);
    if (column !== null) columns.set(column, { generated: generated === 't', form: types.binaryForm(type) });
  }
  return { byTable, filenodes };
}

interface PlannedTable {
  table: SelectedTable;
  columns: string[];
  format: 'binary' | 'text';
  filenode?: string;
  /** What the target lacks. */
  missing: string[];
}

/** @param staged the target's columns may have other types: what arrives there first are rows as the source has them */
function planTable(table: SelectedTable, source: CopiedColumns, target: CopiedColumns, staged: boolean): PlannedTable {
  const name = quoteQualified(table.schema, table.name);
  const shown = `${table.schema}.${table.name}`;
  const there = target.byTable.get(name);
  const here = source.byTable.get(name);
  const columns = table.columns.filter(({ generated }) => !generated).map((column) => column.name);
  const missing = !there
    ? [shown]
    : columns.filter((column) => there.get(column)?.generated !== false).map((column) => `${shown}.${column}`);
  const binary = columns.every((column) => {
    const form = here?.get(column)?.form;
    return form !== undefined && (staged || form === there?.get(column)?.form);
  });
  return { table, columns, format: binary ? 'binary' : 'text', filenode: source.filenodes.get(name), missing };
}

function requireColumns(plans: PlannedTable[]): void {
  const missing = plans.flatMap((plan) => plan.missing);
  if (missing.length === 0) return;
  throw failure(
    'PreconditionFailed',
    `The target has no ${list(missing)}. Load the schema (pre-data) into the target first, from a dump of the source as it is now, and retry.`,
  );
}

/** With session_replication_role = replica only triggers made for it fire; pre-data has none, so somebody else made them. */
async function requireQuiet(target: ClientBase, tables: SelectedTable[]): Promise<void> {
  const { rows } = await target.query<{ name: string }>(
    `select n.nspname || '.' || c.relname || ' (' || t.tgname || ')' as name
     from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
     join unnest($1::text[], $2::text[]) as wanted(schema, name) on wanted.schema = n.nspname and wanted.name = c.relname
     where not t.tgisinternal and t.tgenabled in ('A', 'R')`,
    [tables.map(({ schema }) => schema), tables.map(({ name }) => name)],
  );
  if (rows.length === 0) return;
  throw failure(
    'TargetConflict',
    `Triggers on the target would fire while rows are copied: ${list(rows.map(({ name }) => name))}. Disable them for the copy (ALTER TABLE … DISABLE TRIGGER …) and retry.`,
  );
}

/** Rows of an extension's configuration table may have come with the extension. */
async function requireEmpty(target: ClientBase, tables: SelectedTable[]): Promise<void> {
  const filled: string[] = [];
  const own = tables.filter(({ extension }) => extension === undefined);
  for (let at = 0; at < own.length; at += 100) {
    const batch = own.slice(at, at + 100);
    const sql = batch.map(
      ({ schema, name }, index) =>
        `select ${index} as index where exists (select from only ${quoteQualified(schema, name)})`,
    );
    const { rows } = await target.query<{ index: string }>(sql.join(' union all '));
    for (const { index } of rows) {
      const table = batch[Number(index)];
      if (table) filled.push(`${table.schema}.${table.name}`);
    }
  }
  if (filled.length === 0) return;
  throw failure(
    'TargetConflict',
    `Tables on the target hold rows that this migration did not copy: ${list(filled)}. Empty them if nobody needs those rows, or take another target, and retry.`,
  );
}

interface Cutting {
  chunkBytes: number;
  /** Of the source, as a number. */
  version: number;
  strategy?: 'cdc';
}

async function writePlan(
  target: ClientBase,
  plans: PlannedTable[],
  { chunkBytes, version, strategy }: Cutting,
): Promise<void> {
  const ordered = [...plans].sort((left, right) => right.table.bytes - left.table.bytes);
  const tables = ordered.map(({ table, columns, format, filenode }, index) => ({
    id: index + 1,
    source_oid: table.oid,
    schema_name: table.schema,
    table_name: table.name,
    columns,
    format,
    persistence: table.persistence,
    condition: table.extensionCondition || null,
    filenode: filenode ?? null,
    bytes_estimated: table.bytes,
    rows_estimated: Math.max(0, Math.round(table.rowsEstimated)),
  }));
  const later = ({ persistence }: SelectedTable): boolean => strategy === 'cdc' && persistence === 'u';
  const chunks = ordered
    .flatMap(({ table }, index) =>
      later(table)
        ? []
        : cut(table, chunkBytes, version >= tidRangeScanVersion && !table.extensionCondition).map((range) => ({
            table_id: index + 1,
            ...range,
          })),
    )
    .map(({ table_id, kind, lower, upper, bytes }, index) => ({
      id: index + 1,
      table_id,
      kind,
      lower: lower ?? null,
      upper: upper ?? null,
      bytes_estimated: bytes,
    }));
  await target.query(
    `insert into ${ledgerSchema}.copied_table (id, source_oid, schema_name, table_name, columns, format, persistence, condition, filenode, bytes_estimated, rows_estimated)
     select id, source_oid, schema_name, table_name, array(select jsonb_array_elements_text(columns)), format, persistence, condition, filenode, bytes_estimated, rows_estimated
     from jsonb_to_recordset($1::jsonb) as t(id int, source_oid oid, schema_name text, table_name text, columns jsonb, format text, persistence text, condition text, filenode oid, bytes_estimated bigint, rows_estimated bigint)`,
    [JSON.stringify(tables)],
  );
  await target.query(
    `insert into ${ledgerSchema}.chunk (id, table_id, kind, lower, upper, bytes_estimated)
     select id, table_id, kind, lower, upper, bytes_estimated
     from jsonb_to_recordset($1::jsonb) as c(id int, table_id int, kind text, lower bigint, upper bigint, bytes_estimated bigint)`,
    [JSON.stringify(chunks)],
  );
  if (strategy === 'cdc') {
    const apart = ordered.flatMap(({ table }, index) => (isStreamed(table) ? [] : [index + 1]));
    await target.query(`update ${ledgerSchema}.copied_table set streamed = false where id = any($1::int[])`, [apart]);
  }
  // Only here: later, its absence is what tells of a crash.
  await target.query(`insert into ${ledgerSchema}.unlogged_alive default values on conflict do nothing`);
  await writeSetting(target, 'planned', 'yes');
}

function list(names: string[]): string {
  const more = names.length - namesShown;
  return `${names.slice(0, namesShown).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
