// Functions, types, operators and the other things that tables are made of.
import { acl, ownObject, qualified, roleName, userSchema, type Family } from './fragments';

/** An object of a schema with an owner: what most of them have in common. */
function inSchema(
  family: string,
  catalog: string,
  prefix: string,
  properties: string,
  rest: { name?: string; where?: string; namespace?: string; owner?: boolean } = {},
): Family {
  const name = rest.name ?? qualified('n.nspname', `o.${prefix}name`);
  return {
    family,
    sql: () => `
select ${name} as name, ${rest.owner === false ? '' : `${roleName(`o.${prefix}owner`)} as owner,`} ${properties},
  obj_description(o.oid, '${catalog}') as comment
from ${catalog} o join pg_namespace n on n.oid = o.${rest.namespace ?? `${prefix}namespace`}
where ${userSchema('n')} and ${ownObject(catalog, 'o.oid')} ${rest.where ? `and ${rest.where}` : ''}`,
  };
}

const aggregate = `(select format('kind %s, direct %s, sfunc %s, stype %s, sspace %s, final %s %s %s, combine %s, serial %s, deserial %s, moving %s %s %s %s %s %s %s, initial %L, moving initial %L, sort %s, parallel %s, returns %s',
  a.aggkind, a.aggnumdirectargs, a.aggtransfn, a.aggtranstype::regtype, a.aggtransspace, a.aggfinalfn, a.aggfinalextra, a.aggfinalmodify, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
  a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn, a.aggmtranstype::regtype, a.aggmfinalextra, a.aggmfinalmodify, a.aggmtransspace, a.agginitval, a.aggminitval, a.aggsortop::regoperator,
  o.proparallel, o.prorettype::regtype) from pg_aggregate a where a.aggfnoid = o.oid)`;

const functions = inSchema(
  'function',
  'pg_proc',
  'pro',
  `case when o.prokind = 'a' then ${aggregate} else pg_get_functiondef(o.oid) end as definition,
  case o.prokind when 'f' then 'function' when 'p' then 'procedure' when 'a' then 'aggregate' else 'window function' end as kind,
  ${acl('o.proacl', 'f', 'o.proowner')} as privileges`,
  { name: `format('%I.%I(%s)', n.nspname, o.proname, pg_get_function_identity_arguments(o.oid))` },
);

/**
 * Array, row and multirange types come and go with the type that they are of. `typdefault` of a domain is text as the
 * search_path of its creator wrote it, which pg_dump does not keep; of a base type it is the value itself.
 */
const types = inSchema(
  'type',
  'pg_type',
  'typ',
  `case o.typtype when 'b' then 'base' when 'c' then 'composite' when 'd' then 'domain' when 'e' then 'enum' when 'r' then 'range' else 'shell' end as kind,
  ${acl('o.typacl', 'T', 'o.typowner')} as privileges,
  (select string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder) from pg_enum e where e.enumtypid = o.oid) as labels,
  case when o.typtype = 'd' then format_type(o.typbasetype, o.typtypmod) end as base,
  case when o.typtype = 'd' then o.typnotnull end as "not null",
  case o.typtype when 'd' then pg_get_expr(o.typdefaultbin, 0) when 'b' then o.typdefault end as "default",
  case when o.typtype = 'd' then (select ${qualified('ln.nspname', 'l.collname')} from pg_collation l join pg_namespace ln on ln.oid = l.collnamespace where l.oid = o.typcollation) end as collation,
  (select concat_ws(', ', 'subtype ' || r.rngsubtype::regtype, 'collation ' || nullif(r.rngcollation, 0)::regcollation, 'operator class ' || (select ${qualified('cn.nspname', 'c.opcname')} from pg_opclass c join pg_namespace cn on cn.oid = c.opcnamespace where c.oid = r.rngsubopc),
    'canonical ' || r.rngcanonical, 'difference ' || r.rngsubdiff) from pg_range r where r.rngtypid = o.oid) as range,
  case when o.typtype = 'b' then concat_ws(', ', o.typinput, o.typoutput, o.typreceive, o.typsend, o.typmodin, o.typmodout, o.typanalyze, o.typlen, o.typbyval, o.typalign, o.typstorage,
    o.typcategory, o.typispreferred, o.typdelim, o.typelem::regtype, o.typcollation <> 0) end as definition`,
  {
    where: `o.typtype <> 'm' and not exists (select from pg_type e where e.typarray = o.oid)
    and (o.typrelid = 0 or exists (select from pg_class c where c.oid = o.typrelid and c.relkind = 'c'))`,
  },
);

/** `name` of multiranges differs by the range only when somebody chose it. */
const multiranges: Family = {
  family: 'multirange',
  sql: (major) => `
select ${qualified('n.nspname', 'm.typname')} as name, r.rngtypid::regtype as "of range"
from ${major >= 14 ? 'pg_range r join pg_type m on m.oid = r.rngmultitypid' : 'pg_range r join pg_type m on false'}
join pg_namespace n on n.oid = m.typnamespace where ${userSchema('n')} and ${ownObject('pg_type', 'r.rngtypid')}`,
};

const domainConstraints: Family = {
  family: 'domain constraint',
  sql: () => `
select format('%I on %I.%I', o.conname, n.nspname, t.typname) as name, format_type(t.typbasetype, t.typtypmod) as relation,
  pg_get_constraintdef(o.oid) as definition, obj_description(o.oid, 'pg_constraint') as comment
from pg_constraint o join pg_type t on t.oid = o.contypid join pg_namespace n on n.oid = t.typnamespace
where o.contype <> 'n' and ${userSchema('n')} and ${ownObject('pg_type', 't.oid')}`,
};

const casts: Family = {
  family: 'cast',
  sql: () => `
select format('(%s as %s)', c.castsource::regtype, c.casttarget::regtype) as name, c.castcontext as context, c.castmethod as method,
  nullif(c.castfunc, 0)::regprocedure as function, obj_description(c.oid, 'pg_cast') as comment
from pg_cast c where c.oid >= 16384 and ${ownObject('pg_cast', 'c.oid')}`,
};

const operators = inSchema(
  'operator',
  'pg_operator',
  'opr',
  `o.oprcode::regprocedure as function, o.oprresult::regtype as result, nullif(o.oprcom, 0)::regoperator as commutator, nullif(o.oprnegate, 0)::regoperator as negator,
  nullif(o.oprrest, 0)::regproc as restriction, nullif(o.oprjoin, 0)::regproc as join, o.oprcanhash as hashes, o.oprcanmerge as merges`,
  {
    name: `format('%I.%s (%s, %s)', n.nspname, o.oprname, o.oprleft::regtype, o.oprright::regtype)`,
    where: 'o.oprcode <> 0',
  },
);

const operatorClasses = inSchema(
  'operator class',
  'pg_opclass',
  'opc',
  `(select ${qualified('fn.nspname', 'f.opfname')} from pg_opfamily f join pg_namespace fn on fn.oid = f.opfnamespace where f.oid = o.opcfamily) as family,
  o.opcintype::regtype as type, o.opcdefault as "default", nullif(o.opckeytype, 0)::regtype as storage`,
  {
    name: `format('%I.%I using %I', n.nspname, o.opcname, (select amname from pg_am a where a.oid = o.opcmethod))`,
  },
);

const operatorFamilies = inSchema(
  'operator family',
  'pg_opfamily',
  'opf',
  `(select string_agg(format('%s %s %s %s', a.amopstrategy, a.amopopr::regoperator, a.amoppurpose, nullif(a.amopsortfamily, 0)), ', ' order by a.amopstrategy, a.amopopr::regoperator::text collate "C")
    from pg_amop a where a.amopfamily = o.oid) as operators,
  (select string_agg(format('%s (%s, %s) %s', p.amprocnum, p.amproclefttype::regtype, p.amprocrighttype::regtype, p.amproc::regprocedure), ', ' order by p.amprocnum, p.amproc::regprocedure::text collate "C")
    from pg_amproc p where p.amprocfamily = o.oid) as functions`,
  {
    name: `format('%I.%I using %I', n.nspname, o.opfname, (select amname from pg_am a where a.oid = o.opfmethod))`,
  },
);

const collationLocale = `coalesce(to_jsonb(o) ->> 'colllocale', to_jsonb(o) ->> 'colliculocale', nullif(o.collcollate, ''))`;

/**
 * The locale has had three columns over the versions. A copy of "C" has no encoding, the same collation made by its locale
 * has that of the database, and means the same in all.
 */
const collations = inSchema(
  'collation',
  'pg_collation',
  'coll',
  `o.collprovider as provider, o.collisdeterministic as deterministic,
  case when o.collprovider not in ('c', 'b') or ${collationLocale} not in ('C', 'POSIX') then nullif(o.collencoding, -1)::text end as encoding,
  ${collationLocale} as locale,
  case when o.collprovider = 'c' then o.collctype end as "character type", to_jsonb(o) ->> 'collicurules' as rules`,
);

const conversions = inSchema(
  'conversion',
  'pg_conversion',
  'con',
  `pg_encoding_to_char(o.conforencoding) as source, pg_encoding_to_char(o.contoencoding) as destination, o.conproc as function, o.condefault as "default"`,
);

const searchConfigurations = inSchema(
  'text search configuration',
  'pg_ts_config',
  'cfg',
  `(select ${qualified('pn.nspname', 'p.prsname')} from pg_ts_parser p join pg_namespace pn on pn.oid = p.prsnamespace where p.oid = o.cfgparser) as parser,
  (select string_agg(format('%s: %s', k.alias, m.mapdict::regdictionary), ', ' order by k.alias collate "C", m.mapseqno)
    from pg_ts_config_map m join ts_token_type(o.cfgparser) k on k.tokid = m.maptokentype where m.mapcfg = o.oid) as mapping`,
);

const searchDictionaries = inSchema(
  'text search dictionary',
  'pg_ts_dict',
  'dict',
  `(select ${qualified('tn.nspname', 't.tmplname')} from pg_ts_template t join pg_namespace tn on tn.oid = t.tmplnamespace where t.oid = o.dicttemplate) as template,
  o.dictinitoption as options`,
);

const searchParsers = inSchema(
  'text search parser',
  'pg_ts_parser',
  'prs',
  `concat_ws(', ', o.prsstart, o.prstoken, o.prsend, o.prsheadline, o.prslextype) as functions`,
  { owner: false },
);

const searchTemplates = inSchema(
  'text search template',
  'pg_ts_template',
  'tmpl',
  `concat_ws(', ', o.tmplinit, o.tmpllexize) as functions`,
  { owner: false },
);

const languages: Family = {
  family: 'language',
  sql: () => `
select quote_ident(l.lanname) as name, l.lanpltrusted as trusted, ${acl('l.lanacl', 'l', 'l.lanowner')} as privileges,
  case when ${ownObject('pg_language', 'l.oid')} then concat_ws(', ', ${roleName('l.lanowner')}, l.lanplcallfoid::regproc, l.laninline::regproc, l.lanvalidator::regproc) end as definition
from pg_language l where l.lanispl`,
};

const transforms: Family = {
  family: 'transform',
  sql: () => `
select format('for %s language %I', t.trftype::regtype, (select lanname from pg_language l where l.oid = t.trflang)) as name,
  t.trffromsql::regprocedure as "from sql", t.trftosql::regprocedure as "to sql"
from pg_transform t where ${ownObject('pg_transform', 't.oid')}`,
};

const accessMethods: Family = {
  family: 'access method',
  sql: () => `
select quote_ident(a.amname) as name, a.amtype as type, a.amhandler as handler, obj_description(a.oid, 'pg_am') as comment
from pg_am a where a.oid >= 16384 and ${ownObject('pg_am', 'a.oid')}`,
};

export const definitionFamilies: Family[] = [
  functions,
  types,
  multiranges,
  domainConstraints,
  casts,
  operators,
  operatorClasses,
  operatorFamilies,
  collations,
  conversions,
  searchConfigurations,
  searchDictionaries,
  searchParsers,
  searchTemplates,
  languages,
  transforms,
  accessMethods,
];
