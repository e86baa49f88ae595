// Materialized views hold rows that no stream carries. On the side that follows they are made anew from the tables, each after those it is
// made of, through any number of plain views between.
import type { Client } from 'pg';
import { identityOf, listMaterializedViews } from '../digest/relations';
import { quoteQualified } from '../identifier';
import type { PostgresScope } from '../scope';

/** Which view reads which other one, materialized or not. */
const readsSql = `
select distinct v.oid as view, r.oid as read
from pg_class v
join pg_rewrite w on w.ev_class = v.oid
join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass
join pg_class r on r.oid = d.refobjid and r.oid <> v.oid
where v.relkind in ('v', 'm') and r.relkind in ('v', 'm')`;

const namedSql = `
select c.oid, n.nspname as schema, c.relname as name
from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'm'`;

/** Every materialized view of the database, each after those that it reads; `schema` and `name` unquoted. */
export async function inDependencyOrder(client: Client): Promise<{ schema: string; name: string }[]> {
  const { rows: reads } = await client.query<{ view: string; read: string }>(readsSql);
  const { rows: named } = await client.query<{ oid: string; schema: string; name: string }>(namedSql);
  const readBy = new Map<string, string[]>();
  for (const { view, read } of reads) readBy.set(view, [...(readBy.get(view) ?? []), read]);
  const views = new Map(named.map(({ oid, schema, name }) => [oid, { schema, name }]));
  const seen = new Set<string>();
  const ordered: { schema: string; name: string }[] = [];
  const visit = (oid: string): void => {
    if (seen.has(oid)) return;
    seen.add(oid);
    for (const read of readBy.get(oid) ?? []) visit(read);
    const view = views.get(oid);
    if (view) ordered.push(view);
  };
  for (const oid of [...views.keys()].sort((left, right) => Number(left) - Number(right))) visit(oid);
  return ordered;
}

/**
 * Refreshes those of `following` that travel and are populated on `writing`. Names them, `schema.view`.
 * Each is one transaction of its own, so that an attempt after a killed one begins anew without harm.
 */
export async function refreshViews(writing: Client, following: Client, scope: PostgresScope): Promise<string[]> {
  const populated = new Set(
    (await listMaterializedViews(writing, scope)).filter((view) => view.populated).map(identityOf),
  );
  if (populated.size === 0) return [];
  const refreshed: string[] = [];
  for (const view of await inDependencyOrder(following)) {
    if (!populated.has(identityOf(view))) continue;
    await following.query(`refresh materialized view ${quoteQualified(view.schema, view.name)}`);
    refreshed.push(`${view.schema}.${view.name}`);
  }
  return refreshed;
}
