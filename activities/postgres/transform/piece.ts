// One piece of a transformed table under proof: the source's rows are read once more into the target, their expressions evaluated there, and
// what comes out is laid beside what the target holds, row by row by key, column by column as text. Everything in a transaction that is rolled
// back.
import type { Client } from 'pg';
import { copyOutSql } from '../copy/copy-format';
import { streamRows } from '../copy/copy-stream';
import { shortened } from '../digest/bisect';
import { quoteIdentifier, quoteLiteral, quoteQualified } from '../identifier';
import { isOfRows, ofRows } from './row-errors';
import { isRejectedSql, keyText, sameKeySql, staging, stageTransformed, takeSql, type TransformedTable } from './table';

export const linesShown = 20;
const expected = 'pg_temp.cutover_expected';

export interface PieceResult {
  /** Read from the source. */
  rows: number;
  /** Of these, among the rejects. */
  rejects: number;
  /** Rows whose expressions cannot be evaluated, though they are not among the rejects: nothing of the piece was compared then. */
  refused: number;
  /** Among the rejects, though the target could take them. */
  takeable: number;
  missing: number;
  /** Column of the source -> rows in which the target holds something else. */
  differing: Record<string, number>;
  /** The first twenty. */
  lines: string[];
  /** Why it could not be compared. */
  failure?: string;
}

export interface Pages {
  lower: string | null;
  upper: string | null;
}

/** @throws StreamError, or what the target's driver throws; both sessions are unusable then */
export async function comparePiece(
  source: Client,
  target: Client,
  table: TransformedTable,
  pages: Pages,
): Promise<PieceResult> {
  const { schema, name } = table;
  const columns = table.staged.map((column) => column.name);
  await target.query('begin');
  try {
    const into = await stageTransformed(target, table, columns, 'text');
    const plan = { oid: '0', schema, name, columns, format: 'text', condition: null, filenode: null } as const;
    const kind = pages.lower === null && pages.upper === null ? 'table' : 'ctid';
    const out = copyOutSql({ id: '0', kind, ...pages, bytesEstimated: 0, table: { ...plan, columns } });
    const { rowsOut, rowsIn } = await streamRows({ source, target, out, into });
    const result: PieceResult = {
      rows: rowsOut,
      rejects: 0,
      refused: 0,
      takeable: 0,
      missing: 0,
      differing: {},
      lines: [],
    };
    if (rowsOut !== rowsIn) return { ...result, failure: `${rowsOut} rows were sent, ${rowsIn} have arrived` };
    await setRejectsAside(target, table, result);
    if (await evaluate(target, table, result)) await layBeside(target, table, result);
    return result;
  } finally {
    await target.query('rollback').catch(() => undefined);
  }
}

/** A reject must still be one: each is tried again, and none may be taken. */
async function setRejectsAside(target: Client, table: TransformedTable, result: PieceResult): Promise<void> {
  const { schema, name } = table;
  const isRejected = isRejectedSql(table);
  const { rows } = await target.query<{ count: string }>(
    `select count(*) as count from ${staging} where ${isRejected}`,
  );
  result.rejects = Number(rows[0]?.count);
  if (result.rejects === 0) return;
  const probe = 'pg_temp.cutover_probe';
  await target.query(
    `create temporary table cutover_probe (like ${quoteQualified(schema, name)} including constraints including generated) on commit drop`,
  );
  await target.query(
    `do language plpgsql ${quoteLiteral(`
declare one tid;
begin
  for one in select ctid from ${staging} where ${isRejected} loop
    begin
      execute ${quoteLiteral(`${takeSql(table, probe)} where ctid = $1`)} using one;
    exception when ${ofRows} then
      null;
    end;
  end loop;
end`)}`,
  );
  const key = `row(${table.key.map(quoteIdentifier).join(', ')})::text`;
  const taken = await target.query<{ key: string; count: string }>(
    `select ${key} as key, count(*) over () as count from ${probe} limit ${linesShown}`,
  );
  result.takeable = Number(taken.rows[0]?.count ?? 0);
  say(table, result, taken.rows, 'is among the rejects, but its expressions can be evaluated');
  await target.query(`delete from ${staging} where ${isRejected}`);
}

/** @returns whether every row could be evaluated */
async function evaluate(target: Client, table: TransformedTable, result: PieceResult): Promise<boolean> {
  const { schema, name } = table;
  await target.query(
    `create temporary table cutover_expected (like ${quoteQualified(schema, name)} including generated) on commit drop`,
  );
  await target.query('savepoint cutover_evaluate');
  try {
    await target.query(takeSql(table, expected));
    return true;
  } catch (error) {
    if (!isOfRows(error)) throw error;
  }
  await target.query('rollback to savepoint cutover_evaluate');
  await target.query(`create temporary table cutover_refused (key text) on commit drop`);
  await target.query(
    `do language plpgsql ${quoteLiteral(`
declare one tid; refused int := 0;
begin
  for one in select ctid from ${staging} loop
    begin
      execute ${quoteLiteral(`${takeSql(table, expected)} where ctid = $1`)} using one;
    exception when ${ofRows} then
      execute ${quoteLiteral(`insert into pg_temp.cutover_refused select ${keyText(table)} from ${staging} where ctid = $1`)} using one;
      refused := refused + 1;
      exit when refused >= ${linesShown};
    end;
  end loop;
end`)}`,
  );
  const { rows } = await target.query<{ key: string }>('select key from pg_temp.cutover_refused');
  result.refused = Math.max(1, rows.length);
  say(table, result, rows, 'is refused by its expressions, but not among the rejects');
  return false;
}

async function layBeside(target: Client, table: TransformedTable, result: PieceResult): Promise<void> {
  const { schema, name, key } = table;
  const { rows: columns } = await target.query<{ name: string }>(
    `select attname as name from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped order by attnum`,
    [quoteQualified(schema, name)],
  );
  const compared = columns.map((column) => column.name).filter((column) => !table.transformation.columns[column]?.drop);
  // As text, byte for byte: some types cannot be compared, and a collation may take different texts for equal ones.
  const differs = (column: string): string => {
    const text = (side: string): string => `${side}.${quoteIdentifier(column)}::text collate "C"`;
    return `t.ctid is not null and (${text('e')}) is distinct from (${text('t')})`;
  };
  const both = `from ${expected} as e left join only ${quoteQualified(schema, name)} as t on ${sameKeySql(table, 'e', 't')}`;
  const counts = await target.query<(string | null)[]>({
    text: `select count(*) filter (where t.ctid is null)${compared.map((column) => `, count(*) filter (where ${differs(column)})`).join('')} ${both}`,
    rowMode: 'array',
  });
  const [missing, ...differing] = (counts.rows[0] ?? []).map(Number);
  result.missing = missing ?? Number.NaN;
  compared.forEach((column, index) => {
    if (differing[index] !== 0) result.differing[column] = differing[index] ?? Number.NaN;
  });
  const wrong = Object.keys(result.differing);
  if (result.missing === 0 && wrong.length === 0) return;
  const names = wrong.map(
    (column) => `case when ${differs(column)} then ${quoteLiteral(shownName(table, column))} end`,
  );
  const keys = key.map((column) => `e.${quoteIdentifier(column)}`).join(', ');
  const { rows } = await target.query<{ key: string; missing: string; columns: string }>(
    `select row(${keys})::text as key, t.ctid is null as missing, array_to_string(array[${names.join(', ')}]::text[], ', ') as columns
     ${both} where t.ctid is null${wrong.map((column) => ` or (${differs(column)})`).join('')} limit ${linesShown}`,
  );
  for (const row of rows) {
    const what = row.missing === 't' ? 'missing on the target' : `${row.columns}: not what the source's row gives`;
    say(table, result, [row], what);
  }
}

/** Columns by the names that they will have. */
export function shownName({ transformation }: TransformedTable, column: string): string {
  return transformation.columns[column]?.rename ?? column;
}

function say({ transformation }: TransformedTable, result: PieceResult, rows: { key: string }[], what: string): void {
  const lines = rows.map(({ key }) => `${transformation.table} key=${shortened(key)}: ${what}`);
  result.lines = [...result.lines, ...lines].slice(0, linesShown);
}
