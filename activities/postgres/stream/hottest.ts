// Which tables are compared once more while nobody writes: those written most, as far as the budget goes. A choice by statistics, so it
// may be made before the freeze; what it decides is only where the last look goes.
import type { Client } from 'pg';
import { identityOf, listRelations, type Relation } from '../digest/relations';
import { ledgerSchema, type PostgresScope } from '../scope';

const writtenSql = `
select n.nspname as schema, c.relname as name
from pg_class c join pg_namespace n on n.oid = c.relnamespace
cross join lateral (select pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid) as rows) w
where c.relkind = 'r' and c.relpersistence = 'p' and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', $1) and w.rows > 0
order by w.rows desc, n.nspname, c.relname
limit 1000`;

/**
 * Tables that streams carry and that were written since the statistics of this server began, most written first, while their sizes (heap and
 * TOAST) together stay within the budget. One that does not fit is passed over.
 */
export async function hottestTables(writing: Client, scope: PostgresScope, budgetBytes: number): Promise<Relation[]> {
  const { rows } = await writing.query<{ schema: string; name: string }>(writtenSql, [ledgerSchema]);
  if (rows.length === 0 || budgetBytes <= 0) return [];
  const relations = new Map((await listRelations(writing, scope)).map((relation) => [identityOf(relation), relation]));
  let left = budgetBytes;
  return rows.flatMap((row) => {
    const relation = relations.get(identityOf(row));
    if (!relation || relation.bytes > left) return [];
    left -= relation.bytes;
    return [relation];
  });
}
