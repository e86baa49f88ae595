// Schemas, tables, views, sequences, columns and what hangs on tables.
import {
  acl,
  aclWithoutDefault,
  included,
  maskedOptions,
  options,
  ownObject,
  qualified,
  roleName,
  userSchema,
  type Family,
} from './fragments';

const relation = qualified('n.nspname', 'c.relname');
const ofRelation = `join pg_class c on c.oid = %s join pg_namespace n on n.oid = c.relnamespace`;
const onRelation = (column: string): string => ofRelation.replace('%s', column);
/** Of a table that is ours and selected. */
const ours = `${userSchema('n')} and ${ownObject('pg_class', 'c.oid')} and ${included('c.oid')}`;

const schemas: Family = {
  family: 'schema',
  sql: () => `
select quote_ident(n.nspname) as name, ${roleName('n.nspowner')} as owner, ${acl('n.nspacl', 'n', 'n.nspowner')} as privileges,
  obj_description(n.oid, 'pg_namespace') as comment
from pg_namespace n where ${userSchema('n')} and ${ownObject('pg_namespace', 'n.oid')}`,
};

const relations: Family = {
  family: 'relation',
  sql: () => `
select ${relation} as name,
  case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view' when 'm' then 'materialized view'
    when 'S' then 'sequence' when 'f' then 'foreign table' when 'c' then 'composite type' end as kind,
  ${roleName('c.relowner')} as owner,
  case c.relkind when 'c' then null when 'S' then ${acl('c.relacl', 's', 'c.relowner')} else ${acl('c.relacl', 'r', 'c.relowner')} end as privileges,
  c.relpersistence as persistence, ${options('c.reloptions')} as options,
  (select ${options('t.reloptions')} from pg_class t where t.oid = c.reltoastrelid) as "toast options",
  case when c.relkind in ('r', 'p') then c.relreplident end as "replica identity",
  case when c.relkind in ('r', 'p') then c.relrowsecurity end as "row security",
  case when c.relkind in ('r', 'p') then c.relforcerowsecurity end as "row security forced",
  (select spcname from pg_tablespace t where t.oid = c.reltablespace) as tablespace,
  (select amname from pg_am a where a.oid = c.relam) as "access method",
  case when c.relkind = 'p' then pg_get_partkeydef(c.oid) end as "partition key",
  pg_get_expr(c.relpartbound, c.oid) as "partition bound",
  (select string_agg(${qualified('pn.nspname', 'p.relname')}, ', ' order by i.inhseqno)
   from pg_inherits i join pg_class p on p.oid = i.inhparent join pg_namespace pn on pn.oid = p.relnamespace where i.inhrelid = c.oid) as parents,
  case when c.reloftype <> 0 then c.reloftype::regtype end as "of type",
  case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end as definition,
  case when c.relkind = 'm' then c.relispopulated end as populated,
  (select format('server %I, options %s', s.srvname, ${maskedOptions('f.ftoptions')})
   from pg_foreign_table f join pg_foreign_server s on s.oid = f.ftserver where f.ftrelid = c.oid) as foreign,
  obj_description(c.oid, 'pg_class') as comment
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c') and ${ours}`,
};

/** Since version 17 partitions show the identity of the table that they are part of; it says nothing of their own. */
const columns: Family = {
  family: 'column',
  sql: (major) => `
select format('%s.%I', ${relation}, a.attname) as name, ${relation} as relation,
  (row_number() over (partition by c.oid order by a.attnum))::text as position,
  format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as "not null",
  case when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid) end as "default",
  case when a.attgenerated <> '' then pg_get_expr(d.adbin, d.adrelid) end as generated,
  nullif(a.attgenerated, '') as "generated kind", case when not c.relispartition then nullif(a.attidentity, '') end as identity,
  case when a.attcollation <> t.typcollation then ${qualified('ln.nspname', 'l.collname')} end as collation,
  nullif(coalesce(a.attstattarget, -1), -1)::text as "statistics target",
  ${options('a.attoptions')} as options, ${maskedOptions('a.attfdwoptions')} as "foreign options",
  case when a.attstorage <> t.typstorage then a.attstorage end as storage,
  ${major >= 14 ? `nullif(a.attcompression, '')` : 'null'} as compression,
  case when not c.relispartition and a.attinhcount > 0 then case when a.attislocal then 'and local' else 'only' end end as inherited,
  ${aclWithoutDefault('a.attacl')} as privileges, col_description(c.oid, a.attnum) as comment
from pg_attribute a ${onRelation('a.attrelid')}
join pg_type t on t.oid = a.atttypid
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
left join pg_collation l on l.oid = a.attcollation left join pg_namespace ln on ln.oid = l.collnamespace
where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'v', 'm', 'f', 'c') and ${ours}`,
};

const sequences: Family = {
  family: 'sequence',
  sql: () => `
select ${relation} as name, s.seqtypid::regtype as type, s.seqstart as start, s.seqincrement as increment,
  s.seqmin as minimum, s.seqmax as maximum, s.seqcache as cache, s.seqcycle as cycles,
  (select format('%I.%I.%I', rn.nspname, r.relname, a.attname) from pg_depend d
   join pg_class r on r.oid = d.refobjid join pg_namespace rn on rn.oid = r.relnamespace
   join pg_attribute a on a.attrelid = r.oid and a.attnum = d.refobjsubid
   where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')) as "owned by"
from pg_sequence s ${onRelation('s.seqrelid')} where ${ours}`,
};

/** Foreign keys that PostgreSQL makes for partitions by itself have names of its choosing and say nothing of their own. */
const constraints: Family = {
  family: 'constraint',
  sql: () => `
select format('%I on %s', o.conname, ${relation}) as name, ${relation} as relation,
  pg_get_constraintdef(o.oid) as definition,
  case when o.contype = 'c' then o.conislocal end as local, case when o.contype = 'c' then o.coninhcount > 0 end as inherited,
  case when o.contype = 'f' then (select nullif(string_agg(distinct g.tgenabled::text, ''), 'O') from pg_trigger g where g.tgconstraint = o.oid) end as "triggers enabled",
  obj_description(o.oid, 'pg_constraint') as comment
from pg_constraint o ${onRelation('o.conrelid')}
where o.contype in ('c', 'f', 'p', 'u', 'x') and not (o.contype = 'f' and o.conparentid <> 0) and ${included('o.confrelid')} and ${ours}`,
};

/** Since version 18 they are constraints with a name; before, only a mark on the column, which the columns compare. */
const notNullConstraints: Family = {
  family: 'not-null constraint',
  sql: (major) => `
select format('%I on %s', o.conname, ${relation}) as name, ${relation} as relation, pg_get_constraintdef(o.oid) as definition,
  obj_description(o.oid, 'pg_constraint') as comment
from pg_constraint o ${onRelation('o.conrelid')} where o.contype = 'n' and ${major >= 18} and ${ours}`,
};

const indexes: Family = {
  family: 'index',
  sql: () => `
select ${qualified('n.nspname', 'x.relname')} as name, ${relation} as relation, pg_get_indexdef(i.indexrelid) as definition,
  i.indisvalid as valid, i.indisclustered as clustered, i.indisreplident as "replica identity",
  (select spcname from pg_tablespace t where t.oid = x.reltablespace) as tablespace,
  (select string_agg(format('%s: %s', a.attnum, a.attstattarget), ', ' order by a.attnum) from pg_attribute a
   where a.attrelid = x.oid and coalesce(a.attstattarget, -1) <> -1) as "statistics targets",
  (select ${qualified('pn.nspname', 'p.relname')} from pg_inherits h join pg_class p on p.oid = h.inhparent
   join pg_namespace pn on pn.oid = p.relnamespace where h.inhrelid = x.oid) as "attached to",
  obj_description(x.oid, 'pg_class') as comment
from pg_index i join pg_class x on x.oid = i.indexrelid ${onRelation('i.indrelid')} where ${ours}`,
};

const triggers: Family = {
  family: 'trigger',
  sql: () => `
select format('%I on %s', g.tgname, ${relation}) as name, ${relation} as relation, pg_get_triggerdef(g.oid) as definition,
  g.tgenabled as enabled, obj_description(g.oid, 'pg_trigger') as comment
from pg_trigger g ${onRelation('g.tgrelid')} where not g.tgisinternal and ${ours}`,
};

const rules: Family = {
  family: 'rule',
  sql: () => `
select format('%I on %s', r.rulename, ${relation}) as name, ${relation} as relation, pg_get_ruledef(r.oid) as definition,
  r.ev_enabled as enabled, obj_description(r.oid, 'pg_rewrite') as comment
from pg_rewrite r ${onRelation('r.ev_class')} where r.rulename <> '_RETURN' and ${ours}`,
};

const policies: Family = {
  family: 'policy',
  sql: () => `
select format('%I on %s', p.polname, ${relation}) as name, ${relation} as relation, p.polcmd as command, p.polpermissive as permissive,
  (select string_agg(${roleName('r')}, ', ' order by ${roleName('r')} collate "C") from unnest(p.polroles) r) as roles,
  pg_get_expr(p.polqual, p.polrelid) as using, pg_get_expr(p.polwithcheck, p.polrelid) as "with check",
  obj_description(p.oid, 'pg_policy') as comment
from pg_policy p ${onRelation('p.polrelid')} where ${ours}`,
};

const statistics: Family = {
  family: 'statistics',
  sql: () => `
select ${qualified('sn.nspname', 's.stxname')} as name, ${relation} as relation, pg_get_statisticsobjdef(s.oid) as definition,
  ${roleName('s.stxowner')} as owner, nullif(coalesce(s.stxstattarget, -1), -1)::text as target,
  obj_description(s.oid, 'pg_statistic_ext') as comment
from pg_statistic_ext s join pg_namespace sn on sn.oid = s.stxnamespace ${onRelation('s.stxrelid')} where ${ours}`,
};

export const relationFamilies: Family[] = [
  schemas,
  relations,
  columns,
  sequences,
  constraints,
  notNullConstraints,
  indexes,
  triggers,
  rules,
  policies,
  statistics,
];
