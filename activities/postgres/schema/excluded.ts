// Relations that the plan's selection leaves out: tables, and with them what cannot exist without them (their sequences, the
// views over them). One list for the dump, the comparison of the schemas and the refusal of what would break.
import type { Client } from 'pg';
import type { TableSelection } from '../../../plan/postgres';
import { ledgerSchema } from '../scope';
import { matchesPattern } from '../tables';

export interface ExcludedRelation {
  oid: string;
  schema: string;
  name: string;
  /** `pg_class.relkind`. */
  kind: string;
}

interface TableRow extends ExcludedRelation {
  /** JSON list of `{schema, name}`: the table itself, then the tables that it is a partition of. */
  names: string;
}

const tablesSql = `
with recursive up as (
  select c.oid as leaf, c.oid as relation from pg_class c where c.relkind in ('r', 'p', 'f')
  union all
  select up.leaf, i.inhparent from up join pg_class c on c.oid = up.relation and c.relispartition join pg_inherits i on i.inhrelid = c.oid
)
select c.oid, n.nspname as schema, c.relname as name, c.relkind as kind,
  (select json_agg(json_build_object('schema', un.nspname, 'name', uc.relname))
   from up join pg_class uc on uc.oid = up.relation join pg_namespace un on un.oid = uc.relnamespace where up.leaf = c.oid) as names
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'f') and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', '${ledgerSchema}')
  and not exists (select from pg_depend e where e.classid = 'pg_class'::regclass and e.objid = c.oid and e.deptype = 'e')
order by n.nspname collate "C", c.relname collate "C"`;

const dependentsSql = `
with recursive needing as (
  select oid from unnest($1::oid[]) as oid
  union
  select r.ev_class from needing
  join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = needing.oid and d.classid = 'pg_rewrite'::regclass
  join pg_rewrite r on r.oid = d.objid
  join pg_class v on v.oid = r.ev_class and v.relkind in ('v', 'm')
)
select c.oid, n.nspname as schema, c.relname as name, c.relkind as kind
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where not c.oid = any($1::oid[]) and (c.oid in (select oid from needing) or c.relkind = 'S' and exists (
  select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refclassid = 'pg_class'::regclass
    and d.refobjid = any($1::oid[]) and d.deptype in ('a', 'i')))
order by n.nspname collate "C", c.relname collate "C"`;

/** Everything that stays behind, in order of schema and name; nothing when the selection takes all. */
export async function readExcluded(client: Client, selection: TableSelection): Promise<ExcludedRelation[]> {
  if (selection.exclude.length === 0 && selection.include.includes('*.*')) return [];
  const { rows } = await client.query<TableRow>(tablesSql);
  const tables = rows.filter(({ names }) => !isSelected(selection, JSON.parse(names) as Named[]));
  if (tables.length === 0) return [];
  const dependents = await client.query<ExcludedRelation>(dependentsSql, [tables.map(({ oid }) => oid)]);
  return [...tables.map(({ oid, schema, name, kind }) => ({ oid, schema, name, kind })), ...dependents.rows];
}

interface Named {
  schema: string;
  name: string;
}

/** A partition goes with the table it belongs to. */
function isSelected(selection: TableSelection, names: Named[]): boolean {
  const any = (patterns: string[]): boolean =>
    patterns.some((pattern) => names.some(({ schema, name }) => matchesPattern(pattern, schema, name)));
  return any(selection.include) && !any(selection.exclude);
}
