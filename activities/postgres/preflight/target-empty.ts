// The target must hold nothing that the copy could collide with, and no other migration.
import { ledgerSchema } from '../scope';
import { createAnother, unlessSource } from './another-target';
import { counted, listed, pass, statements, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';

export const targetEmptyChecks: PreflightCheck[] = [
  { name: 'target-empty', title: 'The target is empty', side: 'target', look: empty },
  { name: 'target-owner', title: 'No other migration owns the target', side: 'target', waivable: false, look: owner },
];

/** Everything made by users that is no part of something else: extensions, their members and what initdb made are left out. */
const objectsSql = `
with object as (
  select 'pg_class'::regclass as classid, c.oid from pg_class c
    where c.relkind in ('r', 'v', 'm', 'S', 'f', 'p', 'c') and c.relpersistence <> 't'
      and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i') and d.refclassid = 'pg_class'::regclass)
  union all select 'pg_proc'::regclass, oid from pg_proc
  union all select 'pg_type'::regclass, oid from pg_type where typtype in ('d', 'e', 'r') or (typtype = 'b' and typelem = 0 and typrelid = 0)
  union all select 'pg_namespace'::regclass, oid from pg_namespace where nspname !~ '^pg_' and nspname not in ('public', $1)
  union all select 'pg_collation'::regclass, oid from pg_collation
  union all select 'pg_conversion'::regclass, oid from pg_conversion
  union all select 'pg_operator'::regclass, oid from pg_operator
  union all select 'pg_opclass'::regclass, oid from pg_opclass
  union all select 'pg_ts_config'::regclass, oid from pg_ts_config
  union all select 'pg_ts_dict'::regclass, oid from pg_ts_dict
  union all select 'pg_cast'::regclass, oid from pg_cast
  union all select 'pg_language'::regclass, oid from pg_language
  union all select 'pg_foreign_data_wrapper'::regclass, oid from pg_foreign_data_wrapper
  union all select 'pg_foreign_server'::regclass, oid from pg_foreign_server
  union all select 'pg_event_trigger'::regclass, oid from pg_event_trigger
  union all select 'pg_publication'::regclass, oid from pg_publication
), named as (
  select object.*, i.type, coalesce(i.schema, case when i.type = 'schema' then i.name end) as schema, i.identity
  from object cross join lateral pg_identify_object(object.classid, object.oid, 0) i
  where object.oid >= 16384
    and not exists (select from pg_depend d where d.classid = object.classid and d.objid = object.oid and d.deptype = 'e')
)
select type, schema, identity from named
where schema is null or (schema !~ '^pg_(toast|temp)' and schema <> $1)
order by schema nulls last, type, identity`;

interface TargetObject {
  type: string;
  schema: string | null;
  identity: string;
  [column: string]: string | null;
}

async function empty(context: CheckContext): Promise<Finding> {
  const objects = await context.rows<TargetObject>('target', objectsSql, [ledgerSchema]);
  const largeObjects = Number(await context.value('target', 'select count(*) from pg_largeobject_metadata'));
  if (objects.length === 0 && largeObjects === 0) return pass('no object but extensions and the schema public');
  const { database } = await context.server('target');
  const names = objects.map(({ type, identity }) => `${type} ${identity}`);
  return {
    outcome: 'fail',
    found: `${counted(objects.length, 'object')}${largeObjects > 0 ? ` and ${counted(largeObjects, 'large object')}` : ''} there already: ${listed(names)}`,
    expected: 'an empty database',
    fix: await unlessSource(
      context,
      `${createAnother(database)}; or, ONLY IF NOTHING IN THE TARGET IS NEEDED: ${statements(dropping(objects, largeObjects))}`,
    ),
  };
}

/** pg_identify_object has quoted the names already. Whole schemas where something was made, then what belongs to none. */
function dropping(objects: TargetObject[], largeObjects: number): string[] {
  const schemas = [...new Set(objects.flatMap(({ schema }) => schema ?? []))];
  const kinds: Record<string, string> = {
    'foreign-data wrapper': 'FOREIGN DATA WRAPPER',
    server: 'SERVER',
    'event trigger': 'EVENT TRIGGER',
    publication: 'PUBLICATION',
    language: 'LANGUAGE',
    cast: 'CAST',
  };
  return [
    ...objects
      .filter(({ schema, type }) => schema === null && kinds[type])
      .map(
        ({ type, identity }) =>
          `DROP ${kinds[type]} IF EXISTS ${type === 'cast' ? identity.replace(/^\((.*)\)$/s, '($1)') : identity} CASCADE`,
      ),
    ...schemas.map((schema) => `DROP SCHEMA ${schema} CASCADE`),
    ...(schemas.includes('public')
      ? ['CREATE SCHEMA public AUTHORIZATION pg_database_owner', 'GRANT USAGE ON SCHEMA public TO PUBLIC']
      : []),
    ...(largeObjects > 0 ? ['SELECT lo_unlink(oid) FROM pg_largeobject_metadata'] : []),
  ];
}

async function owner(context: CheckContext): Promise<Finding> {
  const { migration } = context.input.scope;
  const rows = await context.rows<{ schema: string | null; ledger: string | null }>(
    'target',
    `select to_regnamespace('${ledgerSchema}')::text as schema, to_regclass('${ledgerSchema}.migration')::text as ledger`,
  );
  const { schema = null, ledger = null } = rows[0] ?? {};
  if (schema === null) return pass('nobody');
  const id = ledger === null ? null : await context.value('target', `select id from ${ledgerSchema}.migration`);
  if (id === migration) return pass('this migration, from an earlier attempt');
  const { database } = await context.server('target');
  return {
    outcome: 'fail',
    found: ledger === null ? `a schema ${ledgerSchema} that is no ledger` : `the migration "${id}" owns the target`,
    expected: 'a target of our own',
    fix: await unlessSource(
      context,
      `${createAnother(database)}; or, ONLY IF THAT MIGRATION HAS ENDED: DROP SCHEMA ${ledgerSchema} CASCADE;`,
    ),
  };
}
