// Tables leave their group: emptied, with all their chunks to be done again, so that the next group takes them whole. Each in one
// transaction with the ledger's rows that say so.
import type { ClientBase } from 'pg';
import { quoteLiteral, quoteQualified } from '../identifier';
import { ledgerSchema } from '../scope';
import { inTransaction } from './group-ledger';
import type { TableRef } from './streamed-tables';

/** Which tables leave. */
export type Leaving = { unfinishedOf: number } | { allOf: number } | { ids: string[] };

interface Row extends TableRef {
  id: string;
  condition: string | null;
  filled: string;
}

const todo = `exists (select from ${ledgerSchema}.chunk c where c.table_id = t.id and c.state = 'todo')`;

/** Gives how many left; `onEmptied` is told how many of those that held rows are empty. @throws AuthDenied when triggers cannot be kept from firing */
export async function releaseTables(
  target: ClientBase,
  leaving: Leaving,
  onEmptied: (count: number) => void,
): Promise<number> {
  const [condition, value] =
    'ids' in leaving
      ? ['t.id = any($1::int[])', leaving.ids]
      : 'allOf' in leaving
        ? ['t.group_id = $1', leaving.allOf]
        : [`t.group_id = $1 and ${todo}`, leaving.unfinishedOf];
  const { rows } = await target.query<Row>(
    `select t.id, t.schema_name as schema, t.table_name as name, t.condition,
       exists (select from ${ledgerSchema}.chunk c where c.table_id = t.id and c.state = 'done') as filled
     from ${ledgerSchema}.copied_table t where ${condition} and t.group_id is not null order by t.id`,
    [value],
  );
  const filled = rows.filter((row) => row.filled === 't');
  if (filled.length > 0) await target.query('set session_replication_role = replica');
  for (const [index, table] of filled.entries()) {
    await inTransaction(target, async () => {
      await emptyTable(target, table, table.condition);
      await target.query(
        `update ${ledgerSchema}.chunk set state = 'todo', rows = null, bytes = null, lane = null, started_at = null, finished_at = null, duration_ms = null
         where table_id = $1`,
        [table.id],
      );
      await leave(target, [table.id]);
    });
    onEmptied(index + 1);
  }
  // A chunk is in with its mark or not at all: where none is marked there is nothing to empty.
  const untouched = rows.filter((row) => row.filled !== 't');
  await leave(
    target,
    untouched.map(({ id }) => id),
  );
  return rows.length;
}

async function leave(target: ClientBase, ids: string[]): Promise<void> {
  await target.query(`update ${ledgerSchema}.copied_table set group_id = null where id = any($1::int[])`, [ids]);
}

/**
 * Inside a transaction, with triggers kept from firing: no row is left, children and partitions apart.
 * @param condition `WHERE …` of an extension's table: only such rows go
 */
export async function emptyTable(client: ClientBase, table: TableRef, condition: string | null = null): Promise<void> {
  const name = quoteQualified(table.schema, table.name);
  if (condition === null && !(await isReferenced(client, name))) await client.query(`truncate only ${name}`);
  else await client.query(`delete from only ${name} ${condition ?? ''}`);
}

/** TRUNCATE refuses a table that others refer to, whatever they hold. */
async function isReferenced(client: ClientBase, name: string): Promise<boolean> {
  const { rowCount } = await client.query(
    `select from pg_constraint where contype = 'f' and confrelid = ${quoteLiteral(name)}::regclass and conrelid <> confrelid limit 1`,
  );
  return Boolean(rowCount);
}
