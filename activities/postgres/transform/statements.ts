// The SQL that gives the target's tables their other shape. Pure. Names and drops wait until everything else is done: indexes, constraints and
// the comparison of the schemas speak of the source's names.
import { tableOf, type Transformation } from '../../../plan/transformations';
import { quoteIdentifier, quoteLiteral, quoteQualified } from '../identifier';

/**
 * Types, defaults and NOT NULL, on tables without rows: at once after pre-data. All types of a table in one statement: a check that compares two
 * columns takes neither alone.
 */
export function shapeSql(transformation: Transformation): string[] {
  const table = nameOf(transformation);
  const columns = Object.entries(transformation.columns);
  const alter = (name: string, what: string): string => `alter column ${quoteIdentifier(name)} ${what}`;
  const one = (name: string, what: string): string => `alter table only ${table} ${alter(name, what)}`;
  const typed = columns.flatMap(([name, { type }]) => (type === undefined ? [] : [{ name, type }]));
  // Any cast will do, there is nothing to cast; without USING only those that need no word would.
  const types = typed.map(({ name, type }) => alter(name, `type ${type} using null::${type}`));
  return [
    ...columns.flatMap(([name, asked]) =>
      asked.default !== undefined || asked.drop ? [one(name, 'drop default')] : [],
    ),
    ...(types.length > 0 ? [`alter table only ${table} ${types.join(', ')}`] : []),
    ...typed.flatMap(({ name, type }) => (whole.test(type) ? [sequenceSql(transformation, name, type)] : [])),
    ...columns.flatMap(([name, asked]) => [
      ...(typeof asked.default === 'string' ? [one(name, `set default (${asked.default}\n)`)] : []),
      ...(asked.notNull === true ? [one(name, 'set not null')] : []),
      ...(asked.notNull === false || asked.drop ? [one(name, 'drop not null')] : []),
    ]),
  ];
}

const whole = /^(smallint|integer|int|bigint|int2|int4|int8)$/i;

/** The sequence of a serial column keeps its type, and would end where the old type ends; that of an identity column goes with it. */
function sequenceSql(transformation: Transformation, column: string, type: string): string {
  return `do language plpgsql ${quoteLiteral(`
declare owned regclass;
begin
  for owned in
    select d.objid from pg_depend d join pg_class c on c.oid = d.objid and c.relkind = 'S'
    join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype = 'a'
      and d.refobjid = ${quoteLiteral(nameOf(transformation))}::regclass and a.attname = ${quoteLiteral(column)}
  loop
    execute format('alter sequence %s as ${type}', owned);
  end loop;
end`)}`;
}

/** Drops and names, which touch no row; RESTRICT, so that nothing goes with a column that nobody named. */
export function reshapeSql(transformation: Transformation): string[] {
  const table = nameOf(transformation);
  const columns = Object.entries(transformation.columns);
  const rename = (from: string, to: string): string =>
    `alter table only ${table} rename column ${quoteIdentifier(from)} to ${quoteIdentifier(to)}`;
  const drops = columns
    .filter(([, { drop }]) => drop)
    .map(([name]) => `alter table only ${table} drop column ${quoteIdentifier(name)} restrict`);
  const renames = columns.flatMap(([from, { rename: to }]) => (to === undefined ? [] : [{ from, to }]));
  const exchanged = renames.some(({ to }) => renames.some(({ from }) => from === to));
  if (!exchanged) return [...drops, ...renames.map(({ from, to }) => rename(from, to))];
  const between = (index: number): string => `cutover renames ${index}`;
  return [
    ...drops,
    ...renames.map(({ from }, index) => rename(from, between(index))),
    ...renames.map(({ to }, index) => rename(between(index), to)),
  ];
}

export function nameOf(transformation: Transformation): string {
  const { schema, name } = tableOf(transformation);
  return quoteQualified(schema, name);
}
