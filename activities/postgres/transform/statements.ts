// The SQL that gives the target's tables their other shape. Pure. Names and drops wait until everything else is done: indexes, constraints and
// the comparison of the schemas speak of the source's names.
import { tableOf, type Transformation } from '../../../plan/transformations';
import { quoteIdentifier, quoteQualified } from '../identifier';

/** Types, defaults and NOT NULL, on tables without rows: at once after pre-data. */
export function shapeSql(transformation: Transformation): string[] {
  const table = nameOf(transformation);
  return Object.entries(transformation.columns).flatMap(([name, asked]) => {
    const alter = (what: string): string => `alter table only ${table} alter column ${quoteIdentifier(name)} ${what}`;
    const { type } = asked;
    return [
      ...(asked.default !== undefined || asked.drop ? [alter('drop default')] : []),
      // Any cast will do, there is nothing to cast; without USING only those that need no word would.
      ...(type !== undefined ? [alter(`type ${type} using null::${type}`)] : []),
      ...(typeof asked.default === 'string' ? [alter(`set default (${asked.default}\n)`)] : []),
      ...(asked.notNull === true ? [alter('set not null')] : []),
      ...(asked.notNull === false || asked.drop ? [alter('drop not null')] : []),
    ];
  });
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
