// The tables that hold rows, as the plan selects them: the one list that checks, copy, counts and digests work from.
// Two to four catalog queries whatever the number of tables. A table is always read with ONLY: inheritance children stand by themselves.
import type { ClientBase } from 'pg';
import type { TableSelection } from '../../plan/postgres';
import { ledgerSchema } from './scope';

export interface TableColumn {
  name: string;
  /** As `format_type` prints it, type modifier included: `character varying(20)`. */
  type: string;
  /** Stored or virtual: never copied, compared all the same. */
  generated: boolean;
  identity?: 'always' | 'by default';
  notNull: boolean;
  /** `pg_type.typtype`: b base, c composite, d domain, e enum, r range, m multirange. */
  typeKind: string;
  /** A type that comes with PostgreSQL itself, so its oid means the same on every server. */
  builtin: boolean;
}

export interface SelectedTable {
  oid: string;
  schema: string;
  name: string;
  /** Heap and TOAST, without indexes. */
  bytes: number;
  /** Of the heap, now (not as of the last ANALYZE). */
  pages: number;
  /** From the last ANALYZE, scaled to the present size; a guess from the size where there was none. */
  rowsEstimated: number;
  persistence: 'p' | 'u';
  /** In the order of the table, dropped ones left out. */
  columns: TableColumn[];
  /** Columns of the primary key, or of a unique index fit to be the replica identity (valid, immediate, whole, NOT NULL). */
  key?: string[];
  /** `schema.table` of the partitioned table at the top, where this is a leaf. */
  partitionOf?: string;
  /** The extension that owns the table; only tables registered by pg_extension_config_dump are listed. */
  extension?: string;
  /** For such a table the rows to be copied: empty for all, or `WHERE …` as registered. */
  extensionCondition?: string;
}

export interface TableName {
  oid: string;
  schema: string;
  name: string;
  bytes: number;
}

/** The selected tables and partition leaves, in order of schema and name. */
export async function listTables(client: ClientBase, selection: TableSelection): Promise<SelectedTable[]> {
  const relations = (await readRelations(client)).filter((relation) => isSelected(selection, relation));
  const oids = relations.map(({ oid }) => oid);
  const columns = await readColumns(client, oids);
  const keys = await readKeys(client, oids);
  return relations.map((relation) => {
    const root = relation.ancestors.at(-1);
    return {
      oid: relation.oid,
      schema: relation.schema,
      name: relation.name,
      bytes: Number(relation.bytes),
      pages: Number(relation.pages),
      rowsEstimated: Number(relation.rows),
      persistence: relation.persistence,
      columns: columns.get(relation.oid) ?? [],
      ...(keys.has(relation.oid) ? { key: keys.get(relation.oid) } : {}),
      ...(root ? { partitionOf: `${root.schema}.${root.name}` } : {}),
      ...(relation.extension ? { extension: relation.extension, extensionCondition: relation.condition ?? '' } : {}),
    };
  });
}

/** Tables with rows that the selection leaves out, in order of schema and name. */
export async function listExcluded(client: ClientBase, selection: TableSelection): Promise<TableName[]> {
  const relations = (await readRelations(client)).filter((relation) => !isSelected(selection, relation));
  return relations.map(({ oid, schema, name, bytes }) => ({ oid, schema, name, bytes: Number(bytes) }));
}

/** Whether one name is included and not excluded; `*` stands for any characters, `?` for one. Exact case, unquoted names. */
export function matchesSelection(selection: TableSelection, schema: string, name: string): boolean {
  const matches = (pattern: string): boolean => matchesPattern(pattern, schema, name);
  return selection.include.some(matches) && !selection.exclude.some(matches);
}

/** `public.ord*` against a schema and a name. */
export function matchesPattern(pattern: string, schema: string, name: string): boolean {
  const dot = pattern.indexOf('.');
  return wildcard(pattern.slice(0, dot)).test(schema) && wildcard(pattern.slice(dot + 1)).test(name);
}

const compiled = new Map<string, RegExp>();

function wildcard(text: string): RegExp {
  const known = compiled.get(text);
  if (known) return known;
  const source = text
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  const made = new RegExp(`^${source}$`, 'su');
  compiled.set(text, made);
  return made;
}

interface Named {
  schema: string;
  name: string;
}

interface Relation extends Named {
  oid: string;
  persistence: 'p' | 'u';
  bytes: string;
  pages: string;
  rows: string;
  extension: string | null;
  condition: string | null;
  /** Of a partition: its parent first, the root last. */
  ancestors: Named[];
}

/** A partition goes with the table it belongs to: naming the parent selects or excludes all of its leaves. */
function isSelected(selection: TableSelection, { schema, name, ancestors }: Relation): boolean {
  const names = [{ schema, name }, ...ancestors];
  const any = (patterns: string[]): boolean =>
    patterns.some((pattern) => names.some((named) => matchesPattern(pattern, named.schema, named.name)));
  return any(selection.include) && !any(selection.exclude);
}

/** A page of 8 kB holds some 60 rows of 120 bytes: only for tables that were never analysed. */
const relationsSql = `
with config as (
  select e.oid as extension, e.extname, c.oid as relation, c.condition
  from pg_extension e
  cross join lateral unnest(e.extconfig, e.extcondition) as c(oid, condition)
), size as (
  select c.oid, coalesce(pg_relation_size(c.oid), 0) as heap, coalesce(pg_relation_size(nullif(c.reltoastrelid, 0)), 0) as toast
  from pg_class c
  where c.relkind = 'r' and c.relpersistence in ('p', 'u')
)
select c.oid, n.nspname as schema, c.relname as name, c.relpersistence as persistence,
  s.heap + s.toast as bytes,
  s.heap / current_setting('block_size')::int as pages,
  round(case
    when c.reltuples >= 0 and c.relpages > 0 then c.reltuples::float8 / c.relpages * (s.heap / current_setting('block_size')::int)
    else s.heap / 8192.0 * 60
  end)::bigint as rows,
  config.extname as extension, config.condition
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join size s on s.oid = c.oid
left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.objsubid = 0 and d.deptype = 'e'
left join config on config.relation = c.oid and config.extension = d.refobjid
where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', $1)
  and (d.objid is null or config.relation is not null)
order by n.nspname collate "C", c.relname collate "C"`;

const ancestorsSql = `
with recursive up as (
  select c.oid as leaf, i.inhparent as parent, 1 as depth
  from pg_class c join pg_inherits i on i.inhrelid = c.oid
  where c.relispartition and c.relkind = 'r'
  union all
  select up.leaf, i.inhparent, up.depth + 1
  from up join pg_class c on c.oid = up.parent and c.relispartition join pg_inherits i on i.inhrelid = up.parent
)
select up.leaf, n.nspname as schema, c.relname as name
from up join pg_class c on c.oid = up.parent join pg_namespace n on n.oid = c.relnamespace
order by up.leaf, up.depth`;

async function readRelations(client: ClientBase): Promise<Relation[]> {
  const relations = await client.query<Omit<Relation, 'ancestors'>>(relationsSql, [ledgerSchema]);
  const parents = await client.query<Named & { leaf: string }>(ancestorsSql);
  const ancestors = new Map<string, Named[]>();
  for (const { leaf, schema, name } of parents.rows) {
    ancestors.set(leaf, [...(ancestors.get(leaf) ?? []), { schema, name }]);
  }
  return relations.rows.map((row) => ({ ...row, ancestors: ancestors.get(row.oid) ?? [] }));
}

const columnsSql = `
select a.attrelid as table, a.attname as name, format_type(a.atttypid, a.atttypmod) as type,
  a.attgenerated <> '' as generated, a.attidentity as identity, a.attnotnull as "notNull",
  t.typtype as "typeKind", (t.typnamespace = 'pg_catalog'::regnamespace and t.oid < 16384) as builtin
from pg_attribute a join pg_type t on t.oid = a.atttypid
where a.attrelid = any($1::oid[]) and a.attnum > 0 and not a.attisdropped
order by a.attrelid, a.attnum`;

interface ColumnRow {
  table: string;
  name: string;
  type: string;
  generated: string;
  identity: string;
  notNull: string;
  typeKind: string;
  builtin: string;
}

async function readColumns(client: ClientBase, oids: string[]): Promise<Map<string, TableColumn[]>> {
  const { rows } = await client.query<ColumnRow>(columnsSql, [oids]);
  const columns = new Map<string, TableColumn[]>();
  for (const { table, name, type, generated, identity, notNull, typeKind, builtin } of rows) {
    const column: TableColumn = {
      name,
      type,
      generated: generated === 't',
      ...(identity ? { identity: identity === 'a' ? 'always' : 'by default' } : {}),
      notNull: notNull === 't',
      typeKind,
      builtin: builtin === 't',
    };
    const list = columns.get(table);
    if (list) list.push(column);
    else columns.set(table, [column]);
  }
  return columns;
}

/** The primary key before the chosen replica identity before the narrowest unique index. */
const keysSql = `
select distinct on (i.indrelid) i.indrelid as table,
  (select json_agg(a.attname order by k.position)
   from unnest(i.indkey::int2[]) with ordinality as k(attnum, position)
   join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
   where k.position <= i.indnkeyatts) as columns
from pg_index i
where i.indrelid = any($1::oid[]) and i.indisunique and i.indimmediate and i.indisvalid
  and i.indpred is null and i.indexprs is null
  and not exists (
    select from unnest(i.indkey::int2[]) with ordinality as k(attnum, position)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where k.position <= i.indnkeyatts and not a.attnotnull)
order by i.indrelid, i.indisprimary desc, i.indisreplident desc, i.indnkeyatts, i.indexrelid`;

async function readKeys(client: ClientBase, oids: string[]): Promise<Map<string, string[]>> {
  const { rows } = await client.query<{ table: string; columns: string }>(keysSql, [oids]);
  return new Map(rows.map(({ table, columns }) => [table, JSON.parse(columns) as string[]]));
}
