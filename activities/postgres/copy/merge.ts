// A chunk into a table that the application writes to as well: staged first, and then only those rows are taken whose key is not there yet.
// What the application has written since is newer, and stays. A row that it has deleted since may come back that way: whoever compares both
// sides afterwards finds it.
import type { ClientBase } from 'pg';
import { failure } from '../../errors';
import { quoteIdentifier, quoteQualified } from '../identifier';
import type { TablePlan } from './chunk-ledger';

const staging = 'pg_temp.cutover_staging';

/** Makes the staging table, for as long as the transaction lasts. @returns `copy … from stdin` into it */
export async function stageSql(target: ClientBase, table: TablePlan): Promise<string> {
  const columns = columnsOf(table);
  await target.query(
    `create temporary table cutover_staging on commit drop as select ${columns} from only ${nameOf(table)} with no data`,
  );
  return `copy ${staging} (${columns}) from stdin (format ${table.format})`;
}

/** How many of the staged rows were new. */
export async function mergeStaged(target: ClientBase, table: TablePlan): Promise<number> {
  const columns = columnsOf(table);
  const { rowCount } = await target.query(
    `insert into ${nameOf(table)} (${columns}) overriding system value select ${columns} from ${staging}
     on conflict ${await arbiter(target, table)} do nothing`,
  );
  return rowCount ?? 0;
}

/**
 * Any conflict, so that a row whose other unique values have gone to another key meanwhile is left out too. Constraints that may be checked
 * later cannot be asked: then it is the key alone, and what they refuse is read again at the next try.
 */
async function arbiter(target: ClientBase, table: TablePlan): Promise<string> {
  const { rows } = await target.query<{ deferrable: string; key: string | null }>(
    `select exists (select from pg_index where indrelid = t.oid and (indisunique or indisexclusion) and not indimmediate) as deferrable,
       (select json_agg(a.attname order by k.position)
        from (select i.* from pg_index i
          where i.indrelid = t.oid and i.indisunique and i.indimmediate and i.indisvalid and i.indpred is null and i.indexprs is null
          order by i.indisprimary desc, i.indnkeyatts, i.indexrelid limit 1) as i
        cross join lateral unnest(i.indkey::int2[]) with ordinality as k(attnum, position)
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
        where k.position <= i.indnkeyatts) as key
     from (select $1::regclass::oid as oid) as t`,
    [nameOf(table)],
  );
  const key = JSON.parse(rows[0]?.key ?? 'null') as string[] | null;
  if (!key) {
    throw failure(
      'PreconditionFailed',
      `${table.schema}.${table.name} on the target has no primary key and no unique index, so rows that are there already cannot be told. Give it one on both sides, roll back and begin anew.`,
    );
  }
  return rows[0]?.deferrable === 't' ? `(${key.map(quoteIdentifier).join(', ')})` : '';
}

function nameOf({ schema, name }: TablePlan): string {
  return quoteQualified(schema, name);
}

function columnsOf({ columns }: TablePlan): string {
  return columns.map(quoteIdentifier).join(', ');
}
