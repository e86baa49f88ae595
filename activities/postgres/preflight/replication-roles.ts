// May the roles of the two connections publish, hold slots and subscribe, on both sides where the way back is streamed too?
// Asked of the server, not tried; what can be tried without a trace is in replication-links.ts.
import { quoteIdentifier } from '../identifier';
import { linkOf } from '../stream/connection-string';
import { trialStream } from '../stream/names';
import { listed, pass, statements, type Finding, type PreflightCheck } from './check';
import type { CheckContext, CheckedSide } from './context';
import { goesBack, noWayBack, shownName, streamedTables } from './streaming';

/** Before it, only superusers may subscribe. */
const subscribingMajor = 16;

export const replicationRoleChecks: PreflightCheck[] = [
  {
    name: 'publisher-role',
    title: 'We may publish tables of the source and hold a slot there',
    side: 'source',
    look: publisher,
  },
  {
    name: 'target-publisher-role',
    title: 'We may hold a slot on the target for the way back',
    side: 'target',
    look: (context) => (goesBack(context) ? targetPublisher(context) : noWayBack),
  },
  {
    name: 'subscriber-role',
    title: 'We may subscribe the target to the source',
    side: 'target',
    needs: ['source', 'target'],
    look: (context) => subscriber(context, 'target'),
  },
  {
    name: 'source-subscriber-role',
    title: 'We may subscribe the source to the target for the way back',
    side: 'source',
    look: (context) => (goesBack(context) ? subscriber(context, 'source') : noWayBack),
  },
  { name: 'ddl-guard', title: 'Changes of the schema can be refused as the plan asks', side: 'source', look: ddlGuard },
];

interface Powers {
  replication: string;
  create: string;
  [column: string]: string;
}

async function powers(context: CheckContext, side: CheckedSide): Promise<{ replication: boolean; create: boolean }> {
  const rows = await context.rows<Powers>(
    side,
    `select rolreplication as replication, has_database_privilege(current_database(), 'create') as create from pg_roles where rolname = current_user`,
  );
  return { replication: rows[0]?.replication === 't', create: rows[0]?.create === 't' };
}

async function publisher(context: CheckContext): Promise<Finding> {
  const { superuser, user, database } = await context.server('source');
  if (superuser) return pass(`${user} is a superuser`);
  const { replication, create } = await powers(context, 'source');
  const tables = await streamedTables(context);
  const owners = await context.rows<{ owner: string; tables: string; mighty: string }>(
    'source',
    `select r.rolname as owner, count(*) as tables, r.rolsuper as mighty from pg_class c join pg_roles r on r.oid = c.relowner
     where c.oid = any($1::oid[]) and not pg_has_role(c.relowner, 'usage') group by r.oid, r.rolname, r.rolsuper order by 1`,
    [tables.map(({ oid }) => oid)],
  );
  const missing = [
    ...(replication ? [] : ['has no REPLICATION']),
    ...(create ? [] : [`may not create publications in ${database}`]),
    ...(owners.length > 0
      ? [`does not own tables of ${listed(owners.map(({ owner, tables: count }) => `${owner} (${count})`))}`]
      : []),
  ];
  if (missing.length === 0) return pass(`${user} has REPLICATION, may create in ${database} and owns all tables`);
  const mighty = owners.filter((one) => one.mighty === 't').map(({ owner }) => owner);
  return {
    outcome: 'fail',
    found: `${user} ${missing.join(', ')}`,
    expected: 'a superuser, or REPLICATION, CREATE on the database and membership in every owner',
    fix: `${statements([
      ...(replication ? [] : [`ALTER ROLE ${quoteIdentifier(user)} REPLICATION`]),
      ...(create ? [] : [`GRANT CREATE ON DATABASE ${quoteIdentifier(database)} TO ${quoteIdentifier(user)}`]),
      ...owners
        .filter(({ owner }) => !mighty.includes(owner))
        .map(({ owner }) => `GRANT ${quoteIdentifier(owner)} TO ${quoteIdentifier(user)}`),
    ])}${mighty.length > 0 ? ` -- tables of ${listed(mighty)} need a superuser, or another owner` : ''}`,
  };
}

/** That it will own the tables there is looked at elsewhere, for every strategy. */
async function targetPublisher(context: CheckContext): Promise<Finding> {
  const { superuser, user } = await context.server('target');
  if (superuser) return pass(`${user} is a superuser`);
  const { replication } = await powers(context, 'target');
  if (replication) return pass(`${user} has REPLICATION`);
  return {
    outcome: 'fail',
    found: `${user} has no REPLICATION`,
    expected: 'a superuser, or REPLICATION',
    fix: `ALTER ROLE ${quoteIdentifier(user)} REPLICATION;`,
  };
}

async function subscriber(context: CheckContext, side: CheckedSide): Promise<Finding> {
  const { superuser, user, database, major } = await context.server(side);
  if (superuser) return pass(`${user} is a superuser`);
  if (major < subscribingMajor) {
    return {
      outcome: 'fail',
      found: `${user} is no superuser, and PostgreSQL ${major} lets only superusers subscribe`,
      expected: `a superuser on the ${side}${side === 'source' ? ', or no stream back' : ''}`,
      fix: `ALTER ROLE ${quoteIdentifier(user)} SUPERUSER;${side === 'source' ? ' -- or set reverseReplication to false in the plan, which gives the lossless rollback up' : ''}`,
    };
  }
  const member = await context.value(side, `select pg_has_role(current_user, 'pg_create_subscription', 'usage')`);
  const { create } = await powers(context, side);
  const { dependencies, input } = context;
  const link = await linkOf(
    dependencies.connections,
    input.scope,
    trialStream(input.scope.migration, side === 'target' ? 0 : 1),
  );
  const hidden = await forcedRowSecurity(context);
  const fixes = [
    ...(member === 't' ? [] : [`GRANT pg_create_subscription TO ${quoteIdentifier(user)}`]),
    ...(create ? [] : [`GRANT CREATE ON DATABASE ${quoteIdentifier(database)} TO ${quoteIdentifier(user)}`]),
    ...(hidden.length > 0 ? [`ALTER ROLE ${quoteIdentifier(user)} BYPASSRLS`] : []),
  ];
  const missing = [
    ...(member === 't' ? [] : ['is no member of pg_create_subscription']),
    ...(create ? [] : [`may not create in ${database}`]),
    ...(hidden.length > 0 ? [`is under the forced row security of ${listed(hidden)}`] : []),
    ...(link.secrets.length > 0 ? [] : [`must subscribe with a password, and ${link.described} holds none`]),
  ];
  if (missing.length === 0) return pass(`${user} is a member of pg_create_subscription and may create in ${database}`);
  return {
    outcome: 'fail',
    found: `${user} ${missing.join(', ')}`,
    expected:
      'a superuser, or membership in pg_create_subscription, CREATE on the database and a password in the connection',
    fix: `${statements(fixes)}${link.secrets.length > 0 ? '' : ` -- put a password into ${link.described}`}`.trim(),
  };
}

/** Rows are applied as the owner of each table, whom only FORCE ROW LEVEL SECURITY stops. */
async function forcedRowSecurity(context: CheckContext): Promise<string[]> {
  const tables = await streamedTables(context);
  const rows = await context.rows<{ schema: string; name: string }>(
    'source',
    `select n.nspname as schema, c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles o on o.oid = c.relowner
     where c.oid = any($1::oid[]) and c.relrowsecurity and c.relforcerowsecurity and not (o.rolsuper or o.rolbypassrls) order by 1, 2`,
    [tables.map(({ oid }) => oid)],
  );
  return rows.map(shownName);
}

async function ddlGuard(context: CheckContext): Promise<Finding> {
  if ((context.input.cdc?.ddl ?? 'watch') === 'watch')
    return pass('changes are noticed, not refused (cdc.ddl is "watch")');
  const { superuser, user } = await context.server('source');
  const fire = await context.value('source', `select current_setting('event_triggers', true)`);
  if (superuser && fire !== 'off') return pass(`${user} is a superuser and may make event triggers`);
  return {
    outcome: 'fail',
    found: superuser ? 'event triggers are switched off on the source' : `${user} may not make event triggers`,
    expected: 'a superuser, and event_triggers on; or cdc.ddl "watch"',
    fix: superuser
      ? 'ALTER SYSTEM SET event_triggers = on; SELECT pg_reload_conf();'
      : `ALTER ROLE ${quoteIdentifier(user)} SUPERUSER; -- or set cdc.ddl to "watch" in the plan`,
  };
}
