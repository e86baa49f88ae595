// The query of the fingerprint: every definition that streamed rows depend on, and those that a dump carried once and nobody carries again.
// Left out: replica identities and publications (we make them), positions of sequences, privileges, owners, comments, statistics,
// what belongs to extensions (they have a line with their version), temporary objects, and the schema `cutover`.
import { ledgerSchema } from '../scope';
import { markSql } from './mark';

/** Longer definitions are told by their beginning and a digest. */
const wholeUpTo = 240;
const shownOfLonger = 160;

const digestOf = (text: string): string => `encode(sha256(convert_to(${text}, 'UTF8')), 'hex')`;

/** Numbers tell an object from another of the same name that took its place: its rows came by no stream. */
const relationsSql = `
  select case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'f' then 'foreign table' when 'v' then 'view'
           when 'm' then 'materialized view' when 'S' then 'sequence' else 'composite type' end as kind,
    c.name as relation, null as name,
    case
      when c.relkind in ('v', 'm') then concat_ws(' ', array_to_string(c.reloptions, ', '), pg_get_viewdef(c.oid))
      when c.relkind = 'S' then (select format('%s start %s increment %s from %s to %s cache %s%s', format_type(s.seqtypid, null),
        s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, case when s.seqcycle then ' cycle' end) from pg_sequence s where s.seqrelid = c.oid)
      when c.relkind = 'c' then ''
      else concat_ws(', ', 'number ' || c.oid, case c.relpersistence when 'u' then 'unlogged' end,
        (select case when c.relispartition then 'partition of ' else 'inherits ' end
           || string_agg(i.inhparent::regclass::text, ', ' order by i.inhseqno) from pg_inherits i where i.inhrelid = c.oid),
        pg_get_expr(c.relpartbound, c.oid), 'partitioned by ' || pg_get_partkeydef(c.oid),
        case when c.relrowsecurity then 'row security' end, case when c.relforcerowsecurity then 'row security for the owner too' end)
    end as detail
  from relation c`;

const columnsSql = `
  select 'column', c.name, quote_ident(a.attname),
    concat_ws(' ', format_type(a.atttypid, a.atttypmod),
      case when a.attcollation <> t.typcollation then 'collate ' || a.attcollation::regcollation end,
      case when a.attnotnull then 'not null' end,
      case a.attidentity when 'a' then 'identity always' when 'd' then 'identity by default' end,
      case a.attgenerated when 's' then 'generated stored as' when 'v' then 'generated virtual as' else case when d.oid is not null then 'default' end end,
      pg_get_expr(d.adbin, d.adrelid), '(number ' || a.attnum || ')')
  from relation c join pg_attribute a on a.attrelid = c.oid join pg_type t on t.oid = a.atttypid
  left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where c.relkind in ('r', 'p', 'f', 'c') and a.attnum > 0 and not a.attisdropped`;

/** NOT NULL stands with its column; what a constraint needs as index or trigger stands with the constraint. */
const partsSql = `
  select 'constraint', c.name, quote_ident(k.conname), pg_get_constraintdef(k.oid)
  from relation c join pg_constraint k on k.conrelid = c.oid where k.contype not in ('n', 't')
union all
  select 'index', c.name, quote_ident(x.relname), pg_get_indexdef(i.indexrelid)
  from relation c join pg_index i on i.indrelid = c.oid join pg_class x on x.oid = i.indexrelid
  where (i.indisvalid or x.relkind = 'I')
    and not exists (select from pg_constraint k where k.conrelid = i.indrelid and k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
union all
  select 'trigger', c.name, quote_ident(g.tgname), pg_get_triggerdef(g.oid) || case g.tgenabled when 'O' then '' else ' enabled ' || g.tgenabled::text end
  from relation c join pg_trigger g on g.tgrelid = c.oid where not g.tgisinternal
union all
  select 'rule', c.name, quote_ident(r.rulename), pg_get_ruledef(r.oid) || case r.ev_enabled when 'O' then '' else ' enabled ' || r.ev_enabled::text end
  from relation c join pg_rewrite r on r.ev_class = c.oid where r.rulename <> '_RETURN'
union all
  select 'policy', c.name, quote_ident(p.polname), concat_ws(' ', case when p.polpermissive then 'permissive' else 'restrictive' end, 'for ' || p.polcmd::text,
    'to ' || (select string_agg(case m when 0 then 'public' else quote_ident(pg_get_userbyid(m)) end, ', ' order by m) from unnest(p.polroles) m),
    'using ' || pg_get_expr(p.polqual, p.polrelid), 'with check ' || pg_get_expr(p.polwithcheck, p.polrelid))
  from relation c join pg_policy p on p.polrelid = c.oid`;

/** Everything that is known of a function but its number, owner and privileges, whatever the version knows. */
const functionsSql = `
  select case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' when 'w' then 'window function' else 'function' end, null,
    format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
    concat_ws(', ', 'gives ' || pg_get_function_result(p.oid), l.lanname, 'definition '
      || left(${digestOf(`(to_jsonb(p) - array['oid', 'proowner', 'proacl'])::text || coalesce(to_jsonb(a)::text, '')`)}, 16))
  from pg_proc p join namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
  left join pg_aggregate a on a.aggfnoid = p.oid
  where p.oid >= 16384 and not exists (select from extension_part e where e.classid = 'pg_proc'::regclass and e.objid = p.oid)`;

const typesSql = `
  select case t.typtype when 'e' then 'enum' when 'd' then 'domain' when 'r' then 'range' else 'type' end, null, format('%I.%I', n.nspname, t.typname),
    case t.typtype
      when 'e' then (select string_agg(quote_literal(v.enumlabel), ', ' order by v.enumsortorder) from pg_enum v where v.enumtypid = t.oid)
      when 'd' then concat_ws(' ', format_type(t.typbasetype, t.typtypmod), case when t.typnotnull then 'not null' end, 'default ' || t.typdefault,
        (select string_agg(pg_get_constraintdef(k.oid), ' ' order by k.conname) from pg_constraint k where k.contypid = t.oid))
      when 'r' then (select format_type(r.rngsubtype, null) from pg_range r where r.rngtypid = t.oid)
    end
  from pg_type t join namespace n on n.oid = t.typnamespace
  where (t.typtype in ('e', 'd', 'r') or t.typtype = 'b' and t.typelem = 0)
    and not exists (select from extension_part e where e.classid = 'pg_type'::regclass and e.objid = t.oid)`;

const databaseSql = `
  select 'schema', null, quote_ident(n.nspname), '' from namespace n
union all
  select 'extension', null, quote_ident(e.extname), e.extversion || ' in ' || e.extnamespace::regnamespace from pg_extension e
union all
  select 'event trigger', null, quote_ident(v.evtname),
    concat_ws(' ', v.evtevent, array_to_string(v.evttags, ', '), v.evtfoid::regprocedure, 'enabled', v.evtenabled)
  from pg_event_trigger v
  where v.evtname !~ '^${ledgerSchema}_' and not exists (select from extension_part e where e.classid = 'pg_event_trigger'::regclass and e.objid = v.oid)`;

/**
 * One row: the mark of the catalogues, and all lines unless their digest equals `$2`, joined by newlines in byte order. Each is a JSON
 * list `[kind, relation, name, definition]`. `$1` are the relations that the plan leaves out.
 */
export const fingerprintSql = `
with extension_part as materialized (
  select classid, objid from pg_depend where deptype = 'e'
), namespace as materialized (
  select oid, nspname from pg_namespace n where nspname !~ '^pg_' and nspname not in ('information_schema', '${ledgerSchema}')
    and not exists (select from extension_part e where e.classid = 'pg_namespace'::regclass and e.objid = n.oid)
), relation as materialized (
  select c.oid, c.relkind, c.relpersistence, c.relispartition, c.relpartbound, c.relrowsecurity, c.relforcerowsecurity, c.reloptions,
    format('%I.%I', n.nspname, c.relname) as name
  from pg_class c join namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'f', 'v', 'm', 'S', 'c') and not c.oid = any($1::oid[])
    and not exists (select from extension_part e where e.classid = 'pg_class'::regclass and e.objid = c.oid)
), object as (${relationsSql}
union all ${columnsSql}
union all ${partsSql}
union all ${functionsSql}
union all ${typesSql}
union all ${databaseSql}
), line as (
  select json_build_array(kind, relation, name, case when length(detail) <= ${wholeUpTo} then detail
      else left(detail, ${shownOfLonger}) || '… (' || left(${digestOf('detail')}, 16) || ')' end)::text as line
  from object
), whole as (
  select coalesce(string_agg(line, e'\\n' order by line collate "C"), '') as lines from line
)
select ${markSql} as mark, case when ${digestOf('lines')} is distinct from $2 then lines end as lines from whole`;

/** Costs of a hundred catalogue look-ups each make the planner think of compiling, which takes longer than all of them. */
export const glanceSql = `select ${markSql} as mark, set_config('jit', 'off', false)`;
