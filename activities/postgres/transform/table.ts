// A table whose columns are other ones on the target, as both databases have it: what its rows are read as, and the SQL that makes rows of the
// target of them. Until the very end columns have the source's names on both sides.
import type { ClientBase } from 'pg';
import type { Transformation } from '../../../plan/transformations';
import { tableOf } from '../../../plan/transformations';
import { failure } from '../../errors';
import { on } from '../copy/copy-errors';
import { quoteIdentifier, quoteLiteral, quoteQualified } from '../identifier';
import { ledgerSchema } from '../scope';

/** Holds the source's rows on the target for as long as a transaction lasts. */
export const staging = 'pg_temp.cutover_staging';

export interface TransformedTable {
  transformation: Transformation;
  schema: string;
  name: string;
  /** Of the source's rows, generated ones left out: `"created" timestamp without time zone`. */
  staged: { name: string; definition: string }[];
  /** Columns of the primary key. */
  key: string[];
  /** Of the key's columns the operators by which the target's primary key tells them apart: not every type's is in pg_catalog. */
  equality: string[];
  /** What the target takes, in its order: column, the SQL of its value over the staged row, and the type in which it is stored, null for a composite one. */
  taken: { name: string; value: string; stored: string | null; changed: boolean }[];
}

/** @throws PreconditionFailed when the table has no primary key, or the target lacks a column that the plan speaks of */
export async function readTransformedTable(
  source: ClientBase,
  target: ClientBase,
  transformation: Transformation,
): Promise<TransformedTable> {
  const { schema, name } = tableOf(transformation);
  const qualified = quoteQualified(schema, name);
  const staged = await on('source', source.query<{ name: string; definition: string }>(stagedSql, [qualified]));
  const key = await on('source', source.query<{ name: string }>(keySql, [qualified]));
  if (key.rows.length === 0) {
    throw failure(
      'PreconditionFailed',
      `${transformation.table} on the source has no primary key, so rows that its expressions refuse could not be named. Give it one, roll back and begin anew.`,
    );
  }
  const there = await target.query<{ name: string; form: string; stored: string | null }>(takenSql, [qualified]);
  const operators = await target.query<{ name: string; operator: string }>(equalitySql, [qualified]);
  const names = key.rows.map((row) => row.name);
  return {
    transformation,
    schema,
    name,
    staged: staged.rows,
    key: names,
    equality: names.map((column) => operators.rows.find((row) => row.name === column)?.operator ?? '='),
    taken: there.rows
      .filter((row) => !transformation.columns[row.name]?.drop)
      .map((row) => ({ name: row.name, stored: row.stored, ...valueOf(transformation, row.name, row.form) })),
  };
}

/**
 * A cast is to the type without its length: the length is then enforced by storing the value, which refuses what a cast to `varchar(5)` would
 * cut without a word.
 */
function valueOf({ columns }: Transformation, name: string, form: string): { value: string; changed: boolean } {
  const { type, expression } = columns[name] ?? {};
  const value = expression === undefined ? quoteIdentifier(name) : `(${expression}\n)`;
  return {
    value: type === undefined ? value : `cast(${value} as ${form})`,
    changed: type !== undefined || expression !== undefined,
  };
}

const stagedSql = `
select a.attname as name, format('%I %s%s', a.attname, format_type(a.atttypid, a.atttypmod),
  case when a.attcollation <> t.typcollation then format(' collate %I.%I', n.nspname, l.collname) end) as definition
from pg_attribute a join pg_type t on t.oid = a.atttypid
left join pg_collation l on l.oid = a.attcollation left join pg_namespace n on n.oid = l.collnamespace
where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' order by a.attnum`;

const keySql = `
select a.attname as name from pg_index i
cross join lateral unnest(i.indkey::int2[]) with ordinality as k(attnum, position)
join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
where i.indrelid = $1::regclass and i.indisprimary and k.position <= i.indnkeyatts order by k.position`;

/** None before post-data has brought the key. */
const equalitySql = `
select a.attname as name, format('operator(%I.%s)', n.nspname, o.oprname) as operator
from pg_index i cross join lateral unnest(i.indkey::int2[], i.indclass::oid[]) as k(attnum, opclass)
join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
join pg_opclass c on c.oid = k.opclass
join pg_amop p on p.amopfamily = c.opcfamily and p.amopstrategy = 3 and p.amoplefttype = c.opcintype and p.amoprighttype = c.opcintype
join pg_operator o on o.oid = p.amopopr join pg_namespace n on n.oid = o.oprnamespace
where i.indrelid = $1::regclass and i.indisprimary`;

/** Of a domain the type beneath it: the domain's own conditions are looked at when the value is stored. */
const takenSql = `
with recursive base as (
  select a.attnum, a.attname, a.atttypid as type, a.atttypmod as modifier from pg_attribute a
  where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
  union all
  select base.attnum, base.attname, t.typbasetype, t.typtypmod from base join pg_type t on t.oid = base.type where t.typtype = 'd'
)
select base.attname as name, format_type(base.type, -1) as form, case when t.typtype <> 'c' then format_type(base.type, base.modifier) end as stored
from base join pg_type t on t.oid = base.type where t.typtype <> 'd' order by base.attnum`;

/** Makes the staging table, for as long as the transaction lasts. @returns `copy … from stdin` into it */
export async function stageTransformed(
  target: ClientBase,
  { staged }: TransformedTable,
  columns: string[],
  format: 'binary' | 'text',
): Promise<string> {
  const definitions = staged.map(({ definition }) => definition).join(', ');
  await target.query(`create temporary table cutover_staging (${definitions}) on commit drop`);
  return `copy ${staging} (${columns.map(quoteIdentifier).join(', ')}) from stdin (format ${format})`;
}

/** `insert into … select <values> from <staging>`, without a WHERE. */
export function takeSql(table: TransformedTable, into: string): string {
  const columns = table.taken.map(({ name }) => quoteIdentifier(name)).join(', ');
  const values = table.taken.map(({ value }) => value).join(', ');
  return `insert into ${into} (${columns}) overriding system value select ${values} from ${staging}`;
}

/** The key of a staged row, as reports print it. */
export function keyText({ key }: TransformedTable): string {
  return `row(${key.map(quoteIdentifier).join(', ')})::text`;
}

/** Whether a staged row is among the rejects. */
export function isRejectedSql(table: TransformedTable): string {
  const { schema, name } = table;
  const rejected = `select key from ${ledgerSchema}.rejects where schema_name = ${quoteLiteral(schema)} and table_name = ${quoteLiteral(name)}`;
  return `${keyText(table)} in (${rejected})`;
}

/** Whether rows of two relations have the same key. */
export function sameKeySql({ key, equality }: TransformedTable, one: string, other: string): string {
  return key
    .map((column, index) => `${one}.${quoteIdentifier(column)} ${equality[index]} ${other}.${quoteIdentifier(column)}`)
    .join(' and ');
}
