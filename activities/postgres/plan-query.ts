// SQL that the author of a plan wrote: one statement, in a read-only transaction with a time limit, its answer as text.
// Errors of the statement are told without the values in them; a lost server is not an answer, and is thrown.
import type { Client } from 'pg';
import type { SessionOptions } from './connection';
import { singleStatement } from './single-statement';

/** Plans write `from orders`: their statements get PostgreSQL's usual path, where our own sessions have none. */
export const planSession = {
  search_path: '"$user", public',
  statement_timeout: '300s',
} satisfies SessionOptions['settings'];

const booleanType = 16;
const shownCharacters = 200;

export type Answer = { value: string } | { error: string };

/** The one value that the statement gives, or why there is none. `null` reads "NULL", booleans "true" and "false". Throws when the server is lost. */
export async function askOne(session: Client, sql: string): Promise<Answer> {
  try {
    await session.query('begin transaction read only');
    const { rows, fields } = await session.query<(string | null)[]>({ ...singleStatement(sql), rowMode: 'array' });
    const [row] = rows;
    if (!row || rows.length > 1 || fields.length !== 1)
      return { error: `gave ${rows.length} rows of ${fields.length} columns, expected one value` };
    return { value: textOf(row[0] ?? null, fields[0]?.dataTypeID) };
  } catch (error) {
    return { error: reasonOf(error) };
  } finally {
    await session.query('rollback');
  }
}

/** Runs the statement to its end, whatever it gives: its first value, or why it failed. */
export async function askAny(session: Client, sql: string): Promise<Answer> {
  try {
    await session.query('begin transaction read only');
    const { rows, fields } = await session.query<(string | null)[]>({ ...singleStatement(sql), rowMode: 'array' });
    return { value: textOf(rows[0]?.[0] ?? null, fields[0]?.dataTypeID) };
  } catch (error) {
    return { error: reasonOf(error) };
  } finally {
    await session.query('rollback');
  }
}

/** Equal as text; `t` and `f` may be written for booleans. */
export function sameAnswer(found: string, expected: string): boolean {
  return found === expected || (['true', 'false'].includes(found) && found[0] === expected);
}

/** A value as it is shown to people. */
export function shown(value: string): string {
  return value.length > shownCharacters ? `${value.slice(0, shownCharacters)}…` : value;
}

function textOf(value: string | null, type: number | undefined): string {
  if (value === null) return 'NULL';
  return type === booleanType ? (value === 't' ? 'true' : 'false') : value;
}

/** Messages of other classes than these may quote a value of a row. */
const speakable = /^(42|25|0A|57014|54)/;

function reasonOf(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
  const lost = !/^[0-9A-Z]{5}$/.test(code) || /^(08|57P|53|58)/.test(code);
  if (lost) throw error;
  return error instanceof Error && speakable.test(code)
    ? `${error.message} (SQLSTATE ${code})`
    : `failed with SQLSTATE ${code}`;
}
