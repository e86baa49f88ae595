// Rows that their expressions refuse: in a table of the ledger, written in the transaction that brings the others of their chunk, so that a
// row is on the target or among the rejects, once, whatever dies. Of a value only where it came from is told: keys, columns, SQLSTATEs.
import type { ClientBase } from 'pg';
import { tableOf, type Transformation } from '../../../plan/transformations';
import { failure } from '../../errors';
import { ledgerSchema } from '../scope';
import { meaningOf } from './row-errors';

export const rejectsDdl = `
create table if not exists ${ledgerSchema}.rejects (
  chunk_id int not null,
  schema_name text not null,
  table_name text not null,
  key text not null,
  column_name text,
  sqlstate text not null,
  constraint_name text,
  rejected_at timestamptz not null default clock_timestamp()
);
create index if not exists rejects_of_table on ${ledgerSchema}.rejects (schema_name, table_name);
`;

/** One row that is not on the target. */
export interface Reject {
  /** `schema.table` */
  table: string;
  /** Of the source's row, as text: `(42)`. */
  key: string;
  /** By its name on the source; left out where the row as a whole was refused. */
  column?: string;
  sqlState: string;
  reason: string;
}

export interface RejectRow {
  schema_name: string;
  table_name: string;
  key: string;
  column_name: string | null;
  sqlstate: string;
  constraint_name: string | null;
}

const listed = 10;

/** In the order of tables and keys. */
export const rejectsSql = `
select schema_name, table_name, key, column_name, sqlstate, constraint_name from ${ledgerSchema}.rejects
order by schema_name, table_name, length(key), key`;

export async function readRejects(target: ClientBase, limit: number): Promise<Reject[]> {
  const { rows } = await target.query<RejectRow>(`${rejectsSql} limit $1`, [limit]);
  return rows.map(rejectOf);
}

/** How many rows of each table were refused; tables without any are 0. */
export async function countRejects(target: ClientBase, transformations: Transformation[]): Promise<number[]> {
  const { rows } = await target.query<{ schema: string; name: string; rejects: string }>(
    `select schema_name as schema, table_name as name, count(*) as rejects from ${ledgerSchema}.rejects group by 1, 2`,
  );
  return transformations.map((transformation) => {
    const { schema, name } = tableOf(transformation);
    return Number(rows.find((row) => row.schema === schema && row.name === name)?.rejects ?? 0);
  });
}

/**
 * Looks at what is committed, so that of lanes that end together the last one sees what all have refused.
 * @throws TooManyRejects
 */
export async function requireWithinLimits(target: ClientBase, transformations: Transformation[]): Promise<void> {
  const counts = await countRejects(target, transformations);
  for (const [index, transformation] of transformations.entries()) {
    const count = counts[index] ?? 0;
    if (count <= transformation.maxRejects) continue;
    const { schema, name } = tableOf(transformation);
    const { rows } = await target.query<RejectRow>(
      `select schema_name, table_name, key, column_name, sqlstate, constraint_name from ${ledgerSchema}.rejects
       where schema_name = $1 and table_name = $2 order by length(key), key limit ${listed}`,
      [schema, name],
    );
    throw tooManyRejects(transformation, String(count), rows.map(rejectOf));
  }
}

/** @param count for people: "12", "at least 101" */
export function tooManyRejects({ table, maxRejects }: Transformation, count: string, first: Reject[]): Error {
  return failure(
    'TooManyRejects',
    `${count} rows of ${table} were refused by their expressions; the plan takes ${maxRejects}. The first: ${first.map(describeReject).join('; ')}. Correct the rows on the source or the expression in the plan, or raise maxRejects, after rolling back: nothing of it is on the source.`,
    { table, rejects: count, maxRejects },
  );
}

/** `key=(42) created: text that is no date or time (SQLSTATE 22007)` */
export function describeReject({ key, column, reason }: Reject): string {
  return `key=${key.length > 200 ? `${key.slice(0, 200)}…` : key}${column === undefined ? '' : ` ${column}`}: ${reason}`;
}

export function rejectOf(row: RejectRow): Reject {
  const { schema_name, table_name, key, column_name, sqlstate, constraint_name } = row;
  return {
    table: `${schema_name}.${table_name}`,
    key,
    ...(column_name ? { column: column_name } : {}),
    sqlState: sqlstate,
    reason: `${meaningOf(sqlstate, constraint_name ?? '')} (SQLSTATE ${sqlstate})`,
  };
}
