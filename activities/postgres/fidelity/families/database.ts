// What belongs to the database as a whole: extensions, event triggers, publications, foreign servers, default privileges.
// The properties of the database itself are read elsewhere, since our own fence changes them.
import {
  acl,
  aclWithoutDefault,
  included,
  maskedOptions,
  notForStreams,
  options,
  ownObject,
  qualified,
  roleName,
  userSchema,
  type Family,
} from './fragments';
import { systemPrivileges } from './system-objects';

const extensions: Family = {
  family: 'extension',
  sql: () => `
select quote_ident(e.extname) as name, quote_ident(n.nspname) as schema, e.extversion as version,
  obj_description(e.oid, 'pg_extension') as comment
from pg_extension e join pg_namespace n on n.oid = e.extnamespace`,
};

const eventTriggers: Family = {
  family: 'event trigger',
  sql: () => `
select quote_ident(t.evtname) as name, t.evtevent as event, t.evtfoid::regprocedure as function, t.evtenabled as enabled,
  (select string_agg(g, ', ' order by g collate "C") from unnest(t.evttags) g) as tags, ${roleName('t.evtowner')} as owner,
  obj_description(t.oid, 'pg_event_trigger') as comment
from pg_event_trigger t where ${ownObject('pg_event_trigger', 't.oid')} and ${notForStreams('t.evtname')}`,
};

const publications: Family = {
  family: 'publication',
  sql: (major) => `
select quote_ident(p.pubname) as name, ${roleName('p.pubowner')} as owner, p.puballtables as "all tables",
  concat_ws(', ', case when p.pubinsert then 'insert' end, case when p.pubupdate then 'update' end, case when p.pubdelete then 'delete' end,
    case when p.pubtruncate then 'truncate' end) as publishes, p.pubviaroot as "via root",
  obj_description(p.oid, 'pg_publication') as comment,
  ${major >= 15 ? `(select string_agg(quote_ident(n.nspname), ', ' order by n.nspname collate "C") from pg_publication_namespace s join pg_namespace n on n.oid = s.pnnspid where s.pnpubid = p.oid)` : 'null'} as schemas
from pg_publication p where ${notForStreams('p.pubname')}`,
};

const publishedTables: Family = {
  family: 'published table',
  sql: (major) => `
select format('%s in %I', ${qualified('n.nspname', 'c.relname')}, p.pubname) as name, ${qualified('n.nspname', 'c.relname')} as relation,
  ${
    major >= 15
      ? `(select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute a where a.attrelid = c.oid and a.attnum = any(r.prattrs::int2[])) as columns,
  pg_get_expr(r.prqual, c.oid) as condition`
      : 'null as columns, null as condition'
  }
from pg_publication_rel r join pg_publication p on p.oid = r.prpubid
join pg_class c on c.oid = r.prrelid join pg_namespace n on n.oid = c.relnamespace where ${included('c.oid')} and ${notForStreams('p.pubname')}`,
};

const foreignDataWrappers: Family = {
  family: 'foreign-data wrapper',
  sql: () => `
select quote_ident(w.fdwname) as name, ${roleName('w.fdwowner')} as owner, nullif(w.fdwhandler, 0)::regproc as handler, nullif(w.fdwvalidator, 0)::regproc as validator,
  ${maskedOptions('w.fdwoptions')} as options, ${acl('w.fdwacl', 'F', 'w.fdwowner')} as privileges, obj_description(w.oid, 'pg_foreign_data_wrapper') as comment
from pg_foreign_data_wrapper w where ${ownObject('pg_foreign_data_wrapper', 'w.oid')}`,
};

const servers: Family = {
  family: 'foreign server',
  sql: () => `
select quote_ident(s.srvname) as name, ${roleName('s.srvowner')} as owner, (select quote_ident(fdwname) from pg_foreign_data_wrapper w where w.oid = s.srvfdw) as wrapper,
  s.srvtype as type, s.srvversion as version, ${maskedOptions('s.srvoptions')} as options, ${acl('s.srvacl', 'S', 's.srvowner')} as privileges,
  obj_description(s.oid, 'pg_foreign_server') as comment
from pg_foreign_server s where ${ownObject('pg_foreign_server', 's.oid')}`,
};

const userMappings: Family = {
  family: 'user mapping',
  sql: () => `
select format('%s on %I', case m.umuser when 0 then 'PUBLIC' else quote_ident(m.usename) end, m.srvname) as name, coalesce(${maskedOptions('m.umoptions')}, '') as options
from pg_user_mappings m`,
};

const defaultPrivileges: Family = {
  family: 'default privileges',
  sql: () => `
select format('of %I %son %s', pg_get_userbyid(d.defaclrole), case when d.defaclnamespace <> 0 then format('in schema %I ', n.nspname) else '' end,
  case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' when 'T' then 'types' when 'n' then 'schemas' else 'large objects' end) as name,
  coalesce(${aclWithoutDefault('d.defaclacl')}, '') as privileges
from pg_default_acl d left join pg_namespace n on n.oid = d.defaclnamespace where n.oid is null or ${userSchema('n')}`,
};

/** By owner and privileges, so that a million of them stays a few lines; each one is compared by another activity. */
const largeObjects: Family = {
  family: 'large objects',
  volatile: true,
  sql: () => `
select format('of %s with %s', owner, replace(privileges, e'\\n', ', ')) as name, count(*)::text as count,
  count(comment)::text as comments, md5(string_agg(md5(oid || comment), '' order by oid)) as "digest of comments"
from (select l.oid, ${roleName('l.lomowner')} as owner, ${acl('l.lomacl', 'L', 'l.lomowner')} as privileges, obj_description(l.oid, 'pg_largeobject') as comment
  from pg_largeobject_metadata l) as l
group by owner, privileges`,
};

const settings: Family = {
  family: 'settings in this database',
  sql: () => `
select case s.setrole when 0 then 'of everybody' else format('of %I', pg_get_userbyid(s.setrole)) end as name,
  ${options(`array(select c from unnest(s.setconfig) c where c !~ '^(default_transaction_read_only|cutover[.].*)=' or s.setrole <> 0)`)} as settings
from pg_db_role_setting s where s.setdatabase = (select oid from pg_database where datname = current_database())
  and (s.setrole <> 0 or exists (select from unnest(s.setconfig) c where c !~ '^(default_transaction_read_only|cutover[.].*)='))`,
};

export const databaseFamilies: Family[] = [
  extensions,
  eventTriggers,
  publications,
  publishedTables,
  foreignDataWrappers,
  servers,
  userMappings,
  defaultPrivileges,
  systemPrivileges,
  largeObjects,
  settings,
];
