// May the roles of the two connections do what the migration will do? Asked of the server, not tried.
import { quoteIdentifier, quoteQualified } from '../identifier';
import { counted, listed, pass, statements, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';

export const privilegeChecks: PreflightCheck[] = [
  { name: 'source-read-tables', title: 'We may read every selected table', side: 'source', look: readTables },
  { name: 'source-read-sequences', title: 'We may read every sequence', side: 'source', look: readSequences },
  {
    name: 'source-read-large-objects',
    title: 'We may read every large object',
    side: 'source',
    look: readLargeObjects,
  },
  { name: 'source-row-security', title: 'Row security hides no row from us', side: 'source', look: rowSecurity },
  { name: 'target-create', title: 'We may create everything on the target', side: 'target', look: canCreate },
  {
    name: 'target-own',
    title: 'We may give objects to their owners on the target',
    side: 'target',
    needs: ['source', 'target'],
    look: canGiveAway,
  },
  {
    name: 'target-replica-role',
    title: 'Triggers and foreign keys can be kept quiet during the copy',
    side: 'target',
    look: replicaRole,
  },
];

async function readTables(context: CheckContext): Promise<Finding> {
  const tables = await context.tables();
  const oids = tables.map(({ oid }) => oid);
  const refused = await context.rows<{ schema: string; name: string; usage: string; select: string }>(
    'source',
    `select n.nspname as schema, c.relname as name, has_schema_privilege(n.oid, 'usage') as usage,
       has_table_privilege(c.oid, 'select') as select
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.oid = any($1::oid[]) and not (has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select'))
     order by 1, 2`,
    [oids],
  );
  if (refused.length === 0) return pass(counted(tables.length, 'table'));
  const { user } = await context.server('source');
  const schemas = [...new Set(refused.filter(({ usage }) => usage !== 't').map(({ schema }) => schema))];
  const unreadable = refused.filter(({ select }) => select !== 't');
  return {
    outcome: 'fail',
    found: `${user} may not read ${listed(refused.map(({ schema, name }) => `${schema}.${name}`))}`,
    expected: 'USAGE on the schemas and SELECT on the tables',
    fix: statements([
      ...schemas.map((schema) => `GRANT USAGE ON SCHEMA ${quoteIdentifier(schema)} TO ${quoteIdentifier(user)}`),
      ...(unreadable.length > 15
        ? [...new Set(unreadable.map(({ schema }) => schema))].map(
            (schema) => `GRANT SELECT ON ALL TABLES IN SCHEMA ${quoteIdentifier(schema)} TO ${quoteIdentifier(user)}`,
          )
        : unreadable.map(
            ({ schema, name }) => `GRANT SELECT ON ${quoteQualified(schema, name)} TO ${quoteIdentifier(user)}`,
          )),
    ]),
  };
}

async function readSequences(context: CheckContext): Promise<Finding> {
  const refused = await context.rows<{ schema: string; name: string }>(
    'source',
    `select n.nspname as schema, c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relpersistence <> 't' and n.nspname !~ '^pg_'
       and case when c.relkind = 'S' then not has_sequence_privilege(c.oid, 'select') else false end order by 1, 2`,
  );
  if (refused.length === 0) return pass('all');
  const { user } = await context.server('source');
  return {
    outcome: 'fail',
    found: `${user} may not read ${listed(refused.map(({ schema, name }) => `${schema}.${name}`))}: their positions would be lost`,
    expected: 'SELECT on every sequence',
    fix: statements(
      refused.length > 15
        ? [...new Set(refused.map(({ schema }) => schema))].map(
            (schema) =>
              `GRANT SELECT ON ALL SEQUENCES IN SCHEMA ${quoteIdentifier(schema)} TO ${quoteIdentifier(user)}`,
          )
        : refused.map(
            ({ schema, name }) =>
              `GRANT SELECT ON SEQUENCE ${quoteQualified(schema, name)} TO ${quoteIdentifier(user)}`,
          ),
    ),
  };
}

async function readLargeObjects(context: CheckContext): Promise<Finding> {
  const { superuser, user } = await context.server('source');
  if (superuser) return pass(`${user} is a superuser`);
  const refused = await context.rows<{ oid: string }>(
    'source',
    `select m.oid from pg_largeobject_metadata m
     where current_setting('lo_compat_privileges') = 'off' and not pg_has_role(m.lomowner, 'usage')
       and not exists (select from aclexplode(m.lomacl) a
         where a.privilege_type = 'SELECT' and (a.grantee = 0 or pg_has_role(a.grantee, 'usage')))
     order by 1`,
  );
  if (refused.length === 0) return pass('all');
  return {
    outcome: 'fail',
    found: `${user} may not read ${counted(refused.length, 'large object')}`,
    expected: 'SELECT on every large object',
    fix:
      refused.length > 20
        ? `DO $$ DECLARE o oid; BEGIN FOR o IN SELECT oid FROM pg_largeobject_metadata LOOP EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO %I', o, '${user.replaceAll("'", "''")}'); END LOOP; END $$;`
        : statements(refused.map(({ oid }) => `GRANT SELECT ON LARGE OBJECT ${oid} TO ${quoteIdentifier(user)}`)),
  };
}

/** A role under row security copies the rows it may see, and no error tells of the others. */
async function rowSecurity(context: CheckContext): Promise<Finding> {
  const tables = await context.tables();
  const hidden = await context.rows<{ name: string }>(
    'source',
    `select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.oid = any($1::oid[]) and c.relrowsecurity and row_security_active(c.oid) order by 1`,
    [tables.map(({ oid }) => oid)],
  );
  if (hidden.length === 0) return pass('no table, or none for us');
  const { user } = await context.server('source');
  return {
    outcome: 'fail',
    found: `${user} is under row security on ${listed(hidden.map(({ name }) => name))}`,
    expected: 'a role that sees every row',
    fix: `ALTER ROLE ${quoteIdentifier(user)} BYPASSRLS;`,
  };
}

async function canCreate(context: CheckContext): Promise<Finding> {
  const { superuser, user, database } = await context.server('target');
  if (superuser) return pass(`${user} is a superuser`);
  const rows = await context.rows<{ database: string; public: string }>(
    'target',
    `select has_database_privilege(current_database(), 'create') as database,
       coalesce((select has_schema_privilege(oid, 'create') from pg_namespace where nspname = 'public'), true) as public`,
  );
  const fixes = [
    ...(rows[0]?.database === 't'
      ? []
      : [`GRANT CREATE ON DATABASE ${quoteIdentifier(database)} TO ${quoteIdentifier(user)}`]),
    ...(rows[0]?.public === 't' ? [] : [`GRANT CREATE ON SCHEMA public TO ${quoteIdentifier(user)}`]),
  ];
  if (fixes.length === 0) return pass(`${user} may create schemas and objects`);
  return {
    outcome: 'fail',
    found: `${user} may not create schemas or objects`,
    expected: 'CREATE on the database and on schema public',
    fix: statements(fixes),
  };
}

/** Who owns something that is copied. Extensions and what belongs to them are made anew by whoever creates them. */
const ownersSql = `
with here as (select oid from pg_database where datname = current_database()), owned as (
  select classid, objid, refobjid as owner from pg_shdepend, here
    where refclassid = 'pg_authid'::regclass and deptype = 'o' and dbid = here.oid and classid <> 'pg_extension'::regclass
  union all select 'pg_class'::regclass, oid, relowner from pg_class where oid >= 16384 and relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c')
  union all select 'pg_proc'::regclass, oid, proowner from pg_proc where oid >= 16384
  union all select 'pg_type'::regclass, oid, typowner from pg_type where oid >= 16384
  union all select 'pg_namespace'::regclass, oid, nspowner from pg_namespace where oid >= 16384 and nspname !~ '^pg_'
  union all select 'pg_largeobject'::regclass, oid, lomowner from pg_largeobject_metadata
)
select distinct r.rolname as name from owned join pg_roles r on r.oid = owned.owner
where not exists (select from pg_depend d where d.classid = owned.classid and d.objid = owned.objid and d.deptype in ('e', 'i'))
order by 1`;

async function canGiveAway(context: CheckContext): Promise<Finding> {
  const { superuser, user, major } = await context.server('target');
  if (superuser) return pass(`${user} is a superuser`);
  const owners = await context.rows<{ name: string }>('source', ownersSql);
  const kind = major >= 16 ? 'SET' : 'MEMBER';
  const strangers = await context.rows<{ name: string; mighty: string }>(
    'target',
    `select rolname as name,
       exists (select from pg_roles s where s.rolsuper and pg_has_role(r.oid, s.oid, 'MEMBER')) as mighty
     from pg_roles r where rolname = any($1) and not pg_has_role(oid, '${kind}') order by 1`,
    [owners.map(({ name }) => name)],
  );
  if (strangers.length === 0) return pass(`${user} is a member of every owner that is there`);
  // Membership in one of these would make a superuser of us.
  const mighty = strangers.filter((role) => role.mighty === 't').map(({ name }) => name);
  const grants = strangers
    .filter(({ name }) => !mighty.includes(name))
    .map(({ name }) => `GRANT ${quoteIdentifier(name)} TO ${quoteIdentifier(user)}`);
  const remark = `what ${listed(mighty)} ${mighty.length === 1 ? 'owns' : 'own'} needs a superuser on the target, or another owner on the source`;
  return {
    outcome: 'fail',
    found: `${user} is no member of ${listed(strangers.map(({ name }) => name))}, and cannot give them what they own`,
    expected: 'a superuser, or membership in every owner',
    fix: [
      ...(grants.length > 0 ? [statements(grants)] : []),
      ...(mighty.length > 0 ? [grants.length > 0 ? `-- ${remark}` : remark] : []),
    ].join(' '),
  };
}

async function replicaRole(context: CheckContext): Promise<Finding> {
  const { user, major } = await context.server('target');
  const session = context.session('target');
  try {
    await session.query('begin');
    await session.query('set local session_replication_role = replica');
    const { rows } = await session.query<{ role: string }>(
      `select current_setting('session_replication_role') as role`,
    );
    if (rows[0]?.role === 'replica') return pass('session_replication_role can be set');
  } catch {
    // Refused, as told below.
  } finally {
    await session.query('rollback');
  }
  return {
    outcome: 'fail',
    found: `${user} may not set session_replication_role`,
    expected: 'the right to set it',
    fix:
      major >= 15
        ? `GRANT SET ON PARAMETER session_replication_role TO ${quoteIdentifier(user)};`
        : `ALTER ROLE ${quoteIdentifier(user)} SUPERUSER;`,
  };
}
