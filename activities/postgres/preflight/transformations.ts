// What transformations ask of the source: tables and columns that are there, rows that can be named, names that are free, SQL that can be
// planned. Whether the types go with indexes and constraints is tried on the target, once the schema is there.
import { tableOf, type ColumnTransformation, type Transformation } from '../../../plan/transformations';
import { quoteQualified } from '../identifier';
import { singleStatement } from '../single-statement';
import type { SelectedTable } from '../tables';
import { counted, listed, pass, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';

/** Whether the plan asks for any. */
export function transforms({ input }: CheckContext): boolean {
  return (input.transformations ?? []).length > 0;
}

export const transformationChecks: PreflightCheck[] = [
  {
    name: 'transformed-tables',
    title: 'Tables and columns that are to be transformed can be',
    side: 'source',
    waivable: false,
    look: tables,
  },
  {
    name: 'transformed-expressions',
    title: 'Types and expressions of transformations can be planned',
    side: 'source',
    look: expressions,
  },
  {
    name: 'transformed-dependents',
    title: 'What hangs on columns that change or go',
    side: 'source',
    look: dependents,
  },
];

async function tables(context: CheckContext): Promise<Finding> {
  const selected = await context.tables();
  const keys = await primaryKeys(context);
  const wrong = asked(context).flatMap((transformation) => {
    const { table } = transformation;
    const found = selected.find((one) => `${one.schema}.${one.name}` === table);
    if (!found) return [`${table} is no selected ordinary table`];
    if (found.partitionOf !== undefined) return [`${table} is a partition of ${found.partitionOf}`];
    if (found.extension !== undefined) return [`${table} belongs to the extension ${found.extension}`];
    const key = keys.get(found.oid);
    if (!key) return [`${table} has no primary key, so rows that are refused could not be named`];
    return columnsOf(transformation, found, key);
  });
  const inherited = await context.rows<{ name: string }>(
    'source',
    `select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname || '.' || c.relname = any($1::text[])
       and exists (select from pg_inherits where inhparent = c.oid or inhrelid = c.oid) order by 1`,
    [asked(context).map(({ table }) => table)],
  );
  wrong.push(...inherited.map(({ name }) => `${name} has parents or children`));
  if (wrong.length === 0) return pass(`${counted(asked(context).length, 'table')}, each with a primary key`);
  return {
    outcome: 'fail',
    found: listed([...new Set(wrong)], '; '),
    expected: 'ordinary tables with a primary key, columns that are not generated, names that are free',
    fix: 'correct plan.transformations; what is not possible there can be changed on the target after the migration',
  };
}

function columnsOf({ table, columns }: Transformation, found: SelectedTable, key: string[]): string[] {
  const gone = (name: string): boolean => columns[name]?.drop === true || columns[name]?.rename !== undefined;
  return Object.entries(columns).flatMap(([name, change]) => {
    const column = found.columns.find((one) => one.name === name);
    const shown = `${table}.${name}`;
    if (!column) return [`${shown} does not exist`];
    if (column.generated) return [`${shown} is generated: change the columns that it is made of`];
    const taken = found.columns.some((one) => one.name === change.rename && !gone(one.name));
    return [
      ...(taken ? [`${shown} cannot be renamed to ${change.rename}: there is such a column`] : []),
      ...(column.identity && change.drop ? [`${shown} is an identity column and cannot be dropped on the way`] : []),
      ...(key.includes(name) ? refusedOfKey(shown, change) : []),
    ];
  });
}

/** A cast of a key, `int` to `bigint`, is what many migrations are for; another value would name another row. */
function refusedOfKey(shown: string, { drop, expression, notNull }: ColumnTransformation): string[] {
  const what = drop
    ? 'dropped'
    : expression !== undefined
      ? 'given an expression'
      : notNull === false
        ? 'nullable'
        : '';
  return what ? [`${shown} is part of the primary key and cannot be ${what}`] : [];
}

async function primaryKeys(context: CheckContext): Promise<Map<string, string[]>> {
  const rows = await context.rows<{ table: string; columns: string }>(
    'source',
    `select i.indrelid as table, json_agg(a.attname)::text as columns
     from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey::int2[])
     where i.indisprimary group by 1`,
  );
  return new Map(rows.map(({ table, columns }) => [table, JSON.parse(columns) as string[]]));
}

/** Types that change by the session's time zone, which is pinned to UTC. */
const zoneless =
  /^(timestamp|timestamp without time zone|timestamptz|timestamp with time zone|timetz|time with time zone)(\(\d\))?$/i;

async function expressions(context: CheckContext): Promise<Finding> {
  const selected = await context.tables();
  const wrong: string[] = [];
  const remarks: string[] = [];
  for (const transformation of asked(context)) {
    const { schema, name } = tableOf(transformation);
    const from = `from only ${quoteQualified(schema, name)}`;
    for (const [column, { type, expression, default: value }] of Object.entries(transformation.columns)) {
      const shown = `${transformation.table}.${column}`;
      const is = selected.find((one) => `${one.schema}.${one.name}` === transformation.table);
      const before = is?.columns.find((one) => one.name === column)?.type ?? '';
      if (type !== undefined && expression === undefined && zoneless.test(type) && zoneless.test(before))
        remarks.push(`${shown} is cast from ${before} to ${type} as UTC; an expression would say which zone is meant`);
      // In a WHERE neither aggregates nor functions that give several rows are allowed.
      if (expression !== undefined) await plan(context, `select ${from} where (${expression}\n) is null`, shown, wrong);
      if (typeof value === 'string') await plan(context, `select (${value}\n)`, `default of ${shown}`, wrong);
      if (type !== undefined) await plan(context, `select null::${type}`, `type of ${shown}`, wrong);
    }
  }
  if (wrong.length > 0) {
    return {
      outcome: 'fail',
      found: listed([...wrong, ...remarks], '; '),
      expected: 'SQL over the columns of the source; functions and types that are not built in with their schema',
      fix: 'correct plan.transformations; a type that is new is made on the source, from where it travels with the schema',
    };
  }
  if (remarks.length > 0)
    return { outcome: 'warn', found: listed(remarks, '; '), expected: `an expression with "at time zone '…'"` };
  return pass('each can be planned on the source');
}

/** Planned as the copy will: without a search_path, in UTC. */
async function plan(context: CheckContext, sql: string, what: string, wrong: string[]): Promise<void> {
  const session = context.session('source');
  try {
    await session.query('begin transaction read only');
    await session.query(singleStatement(`explain ${sql}`));
  } catch (error) {
    context.signal.throwIfAborted();
    wrong.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    await session.query('rollback');
  }
}

/** Indexes and constraints of the table go with a dropped column without a word; views keep it from being changed at all. */
const dependentsSql = `
select distinct a.attname as column, d.classid::regclass::text as catalog, pg_describe_object(d.classid, d.objid, 0) as what,
  case when d.classid = 'pg_rewrite'::regclass then 'view' else 'own' end as kind
from pg_depend d join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
where d.refclassid = 'pg_class'::regclass and d.refobjid = to_regclass($1)::oid and d.refobjsubid > 0 and a.attname = any($2::text[])
  and (d.classid in ('pg_rewrite'::regclass, 'pg_constraint'::regclass, 'pg_statistic_ext'::regclass)
    or (d.classid = 'pg_class'::regclass and exists (select from pg_index i where i.indexrelid = d.objid)))
order by 1, 3`;

async function dependents(context: CheckContext): Promise<Finding> {
  const barred: string[] = [];
  const lost: string[] = [];
  for (const transformation of asked(context)) {
    const { table, columns } = transformation;
    const { schema, name } = tableOf(transformation);
    const touched = Object.entries(columns).filter(([, { drop, type }]) => drop || type !== undefined);
    const rows = await context.rows<{ column: string; what: string; kind: string }>('source', dependentsSql, [
      quoteQualified(schema, name),
      touched.map(([column]) => column),
    ]);
    for (const { column, what, kind } of rows) {
      if (kind === 'view') barred.push(`${what} needs ${table}.${column}`);
      else if (columns[column]?.drop) lost.push(`${what}, with ${table}.${column}`);
    }
  }
  if (barred.length > 0) {
    return {
      outcome: 'fail',
      found: listed(barred, '; '),
      expected: 'no view over a column whose type changes or that is dropped',
      fix: 'drop the views on the source and make them on the target after the migration, or leave the columns as they are',
    };
  }
  if (lost.length > 0)
    return { outcome: 'warn', found: `dropped as well: ${listed(lost, '; ')}`, expected: 'that nobody needs them' };
  return pass('nothing that would go unnoticed');
}

function asked({ input }: CheckContext): Transformation[] {
  return input.transformations ?? [];
}
