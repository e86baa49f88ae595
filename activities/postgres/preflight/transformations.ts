// What transformations ask of the source: tables and columns that are there, rows that can be named, names that are free, SQL that can be
// planned and gives the same twice. Whether the types go with indexes and constraints is tried on the target, once the schema is there.
import type { ColumnTransformation, Transformation } from '../../../plan/transformations';
import type { SelectedTable } from '../tables';
import { counted, listed, pass, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';
import { dependents } from './transformed-dependents';
import { expressions } from './transformed-expressions';

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
    title: 'Types and expressions of transformations can be planned, and give the same each time',
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
    const generated = found.columns.find((column) => column.generated && key?.includes(column.name));
    if (generated)
      return [`${table}.${generated.name} is generated and part of the primary key, so rows could not be named by it`];
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

function asked({ input }: CheckContext): Transformation[] {
  return input.transformations ?? [];
}
