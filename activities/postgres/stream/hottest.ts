// Which tables are compared once more while nobody writes: those written most, as far as the budget goes. One query, since it is asked
// in the outage: what it says of a table is just enough to add up its rows.
import type { Client } from 'pg';
import { z } from 'zod';
import type { Relation } from '../digest/relations';
import { readExcluded } from '../schema/excluded';
import { ledgerSchema, type PostgresScope } from '../scope';

/** Sizes are asked of so many; a table behind them is not among the hottest of anybody. */
const looked = 200;

const writtenSql = `
select h.oid, h.schema, h.name, h.bytes::text as bytes,
  (select json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod)) order by a.attname collate "C")
     from pg_attribute a where a.attrelid = h.oid and a.attnum > 0 and not a.attisdropped) as columns
from (
  select w.*, pg_relation_size(w.oid) + coalesce(pg_relation_size(nullif(w.toast, 0)), 0) as bytes
  from (
    select c.oid, n.nspname as schema, c.relname as name, c.reltoastrelid as toast,
      pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid) as rows
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and c.relpersistence = 'p' and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', $1)
      and c.oid <> all ($2::oid[])
      and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
    order by rows desc, n.nspname, c.relname
    limit ${looked}
  ) w
  where w.rows > 0
) h
order by h.rows desc, h.schema, h.name`;

const columnsSchema = z.array(z.object({ name: z.string(), type: z.string() }));

/**
 * Tables that streams carry and that were written since the statistics of this server began, most written first, while their sizes (heap and
 * TOAST) together stay within the budget. One that does not fit is passed over. Without their keys.
 */
export async function hottestTables(writing: Client, scope: PostgresScope, budgetBytes: number): Promise<Relation[]> {
  if (budgetBytes <= 0) return [];
  const { tables } = scope;
  const isWhole = tables.exclude.length === 0 && tables.include.includes('*.*');
  const excluded = isWhole ? [] : (await readExcluded(writing, tables)).map(({ oid }) => oid);
  const { rows } = await writing.query<Record<'schema' | 'name' | 'bytes' | 'columns', string>>(writtenSql, [
    ledgerSchema,
    excluded,
  ]);
  let left = budgetBytes;
  return rows.flatMap(({ schema, name, bytes, columns }) => {
    if (Number(bytes) > left) return [];
    left -= Number(bytes);
    return [{ schema, name, bytes: Number(bytes), pages: 0, columns: columnsSchema.parse(JSON.parse(columns)) }];
  });
}
