// A chunk into a table that the application writes to as well: staged first, and then only those rows are taken whose key is not there yet.
// What the application has written since is newer, and stays. A row that it has deleted since may come back that way: whoever compares both
// sides afterwards finds it.
import { DatabaseError, type ClientBase } from 'pg';
import { failure } from '../../errors';
import { quoteIdentifier, quoteLiteral, quoteQualified } from '../identifier';
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

/** Deadlocks with the writes of the application, and serialization failures: nothing was written, and the next try is another one. */
const passing = /^(40P01|40001)$/;
const attempts = 5;
/** Another row has the same value where there may be only one. */
const taken = /^(23505|23P01)$/;

/**
 * How many of the staged rows were new. A row that cannot be put there because another one has its value meanwhile is left out: whoever compares
 * both sides afterwards finds it if it is still wanted.
 */
export async function mergeStaged(target: ClientBase, table: TablePlan): Promise<number> {
  const columns = columnsOf(table);
  const insert = `insert into ${nameOf(table)} (${columns}) overriding system value select ${columns} from ${staging} as staged`;
  const unlessThere = `on conflict ${await arbiter(target, table)} do nothing`;
  await target.query('savepoint staged');
  for (let left = attempts; ; left -= 1) {
    try {
      return (await target.query(`${insert} ${unlessThere}`)).rowCount ?? 0;
    } catch (error) {
      const state = error instanceof DatabaseError ? (error.code ?? '') : '';
      if (!taken.test(state) && (left === 1 || !passing.test(state))) throw error;
      await target.query('rollback to savepoint staged');
      if (taken.test(state)) return mergeOneByOne(target, `${insert} where staged.ctid = merge.place ${unlessThere}`);
    }
  }
}

/** Slow, and seldom needed. @param insert of the row at `merge.place` */
async function mergeOneByOne(target: ClientBase, insert: string): Promise<number> {
  const block = `
    #variable_conflict use_column
    <<merge>>
    declare place tid; made bigint; total bigint := 0;
    begin
      for merge.place in select staged.ctid from ${staging} as staged loop
        begin
          ${insert};
          get diagnostics merge.made = row_count;
          merge.total := merge.total + merge.made;
        exception when unique_violation or exclusion_violation then
        end;
      end loop;
      perform set_config('cutover.merged', merge.total::text, true);
    end`;
  await target.query(`do ${quoteLiteral(block)}`);
  const { rows } = await target.query<{ merged: string }>(`select current_setting('cutover.merged') as merged`);
  return Number(rows[0]?.merged ?? 0);
}

/**
 * Any conflict, so that a row whose other unique values have gone to another key meanwhile is left out too. Constraints that may be checked
 * later cannot be asked: then it is the key alone. The sessions of the copy do not check those either, so that two rows may have one value until
 * both sides are compared.
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
