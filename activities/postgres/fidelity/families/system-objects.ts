// What PostgreSQL itself brought, with its privileges as they are and as initdb left them. Both in normal form: privileges
// that were taken and given back are spelled out for ever, and mean the same as none recorded.
// plpgsql is not among them: pg_dump knows it as the language of a user. Neither is information_schema: initdb makes it too
// late to note its privileges, and pg_dump passes it by.
import { privileges, type Family } from './fragments';

/** initdb numbers what it makes below this. */
const firstOwnOid = 16_384;

/** One row a system object that may differ, and each language: `name`, `owner`, what GRANT calls it (`on`, `column`), `privileges` and `initial`. */
export const systemObjectsSql = `
select format('%s %s', i.type, i.identity) as name, quote_ident(pg_get_userbyid(o.owner)) as owner,
  o.word || ' ' || coalesce(o.called, i.identity) as on, o.column_name as column,
  ${privileges('coalesce(o.acl, acldefault(o.kind, o.owner))')} as privileges,
  ${privileges('coalesce(b.initprivs, acldefault(o.kind, o.owner))')} as initial
from (
  select 'pg_proc'::regclass as class, p.oid, 0 as part, p.proacl as acl, p.proowner as owner, 'f'::"char" as kind,
    'routine' as word, null as called, null as column_name, p.pronamespace as namespace
  from pg_proc p
  union all select 'pg_class', c.oid, 0, c.relacl, c.relowner, 'r', 'table', null, null, c.relnamespace
  from pg_class c where c.relkind in ('r', 'v')
  union all select 'pg_class', c.oid, a.attnum, a.attacl, c.relowner, 'c', 'table', format('pg_catalog.%I', c.relname), quote_ident(a.attname), c.relnamespace
  from pg_attribute a join pg_class c on c.oid = a.attrelid where c.relkind in ('r', 'v') and not a.attisdropped
  union all select 'pg_type', t.oid, 0, t.typacl, t.typowner, 'T', 'type', format('pg_catalog.%I', t.typname), null, t.typnamespace
  from pg_type t
  union all select 'pg_namespace', n.oid, 0, n.nspacl, n.nspowner, 'n', 'schema', null, null, n.oid
  from pg_namespace n
  union all select 'pg_language', l.oid, 0, l.lanacl, l.lanowner, 'l', 'language', null, null, 'pg_catalog'::regnamespace
  from pg_language l where not l.lanispl
) o
left join pg_init_privs b on b.classoid = o.class and b.objoid = o.oid and b.objsubid = o.part
cross join lateral pg_identify_object(o.class, o.oid, o.part) i
where o.namespace = 'pg_catalog'::regnamespace and o.oid < ${firstOwnOid}
  and (o.acl is not null or b.initprivs is not null or o.word = 'language')`;

/** Privileges on what PostgreSQL itself brought, where somebody has changed them. */
export const systemPrivileges: Family = {
  family: 'privileges on a system object',
  sql: () => `select s.name, s.privileges from (${systemObjectsSql}) s where s.privileges <> s.initial`,
};
