// What belongs to the servers rather than to the databases: settings that applications notice, and roles that no fence keeps out.
import { applicationNamePrefix, pinnedSettings } from '../connection';
import { quoteIdentifier, quoteLiteral } from '../identifier';
import { readNeededRoles } from '../roles/needed';
import { listed, pass, statements, type Finding, type PreflightCheck } from './check';
import { checkingSettings, type CheckContext, type CheckedSide } from './context';

export const clusterChecks: PreflightCheck[] = [
  { name: 'server-settings', title: 'Settings that applications notice are alike', side: 'both', look: settings },
  {
    name: 'known-settings',
    title: 'Settings of roles and of the database exist on the target',
    side: 'both',
    look: knownSettings,
  },
  {
    name: 'superusers',
    title: 'Nobody can pass the fence',
    side: 'source',
    look: (context) => superusers(context, 'source'),
  },
];

const pinned = new Set([...Object.keys(pinnedSettings), ...Object.keys(checkingSettings)]);

const noticed = [
  'TimeZone',
  'DateStyle',
  'IntervalStyle',
  'default_text_search_config',
  'lc_monetary',
  'lc_numeric',
  'lc_time',
  'bytea_output',
  'standard_conforming_strings',
  'default_transaction_isolation',
  'array_nulls',
  'transform_null_equals',
  'xmloption',
  'password_encryption',
  'max_prepared_transactions',
  'statement_timeout',
  'idle_in_transaction_session_timeout',
];

async function settings(context: CheckContext): Promise<Finding> {
  const [source, target] = [await configured(context, 'source'), await configured(context, 'target')];
  const carried = new Set((await ofDatabase(context)).map((name) => name.toLowerCase()));
  const fewer = Number(target.get('max_connections')) < Number(source.get('max_connections'));
  const other = [
    ...(fewer ? ['max_connections'] : []),
    ...noticed.filter(
      (name) =>
        source.get(name) !== target.get(name) &&
        target.has(name) &&
        source.has(name) &&
        !carried.has(name.toLowerCase()),
    ),
  ];
  if (other.length === 0) return pass('alike');
  return {
    outcome: 'warn',
    found: listed(other.map((name) => `${name} ${source.get(name)} on the source, ${target.get(name)} on the target`)),
    expected: 'equal values, or a decision',
    fix: `${statements(other.map((name) => `ALTER SYSTEM SET ${name} = ${quoteLiteral(source.get(name) ?? '')}`))} -- on the target; then SELECT pg_reload_conf(), and a restart for max_connections and max_prepared_transactions`,
  };
}

/** By name, as a session of an application finds them; what our sessions pin comes from the configuration files, where we may read those. */
async function configured(context: CheckContext, side: CheckedSide): Promise<Map<string, string>> {
  const readable = await context.value(
    side,
    `select has_table_privilege('pg_file_settings', 'select') and has_function_privilege('pg_show_all_file_settings()', 'execute')`,
  );
  const rows = await context.rows<{ name: string; value: string | null; boot: string | null }>(
    side,
    'select name, setting as value, boot_val as boot from pg_settings where name = any($1)',
    [[...noticed, 'max_connections']],
  );
  const files =
    readable === 't'
      ? await context.rows<{ name: string; setting: string }>(
          side,
          'select name, setting from pg_file_settings where applied',
        )
      : [];
  const inFiles = new Map(files.map(({ name, setting }) => [name.toLowerCase(), setting]));
  return new Map(
    rows.flatMap(({ name, value, boot }): [string, string][] => {
      if (!pinned.has(name)) return [[name, value ?? '']];
      return readable === 't' ? [[name, inFiles.get(name.toLowerCase()) ?? boot ?? '']] : [];
    }),
  );
}

/** Names of what is set for the source database itself: ALTER DATABASE carries these, whatever the target's server says. */
async function ofDatabase(context: CheckContext): Promise<string[]> {
  const rows = await context.rows<{ name: string }>(
    'source',
    `select split_part(c, '=', 1) as name from pg_db_role_setting s cross join unnest(s.setconfig) c
     where s.setrole = 0 and s.setdatabase = (select oid from pg_database where datname = current_database())`,
  );
  return rows.map(({ name }) => name);
}

async function knownSettings(context: CheckContext): Promise<Finding> {
  const roles = await context.once('roles', () => readNeededRoles(context.session('source')));
  const names = [...new Set([...roles.settings.map(({ name }) => name), ...(await ofDatabase(context))])];
  // Settings that were renamed are still taken by their old names, which only current_setting knows.
  const rows = await context.rows<{ name: string }>(
    'target',
    `select name from unnest($1::text[]) as name where strpos(name, '.') = 0
       and not exists (select from pg_settings s where lower(s.name) = lower(name.name)) and current_setting(name, true) is null`,
    [names],
  );
  const unknown = rows.map(({ name }) => name);
  if (unknown.length === 0) return pass(names.length === 0 ? 'none are set' : listed(names));
  const { database } = await context.server('source');
  const where = roles.settings.filter(({ name }) => unknown.includes(name));
  return {
    outcome: 'warn',
    found: `the target does not know ${listed(unknown)}; left out`,
    expected: 'settings that both versions have',
    fix: statements(
      where.map(
        ({ role, inDatabase, name }) =>
          `ALTER ROLE ${quoteIdentifier(role)}${inDatabase ? ` IN DATABASE ${quoteIdentifier(database)}` : ''} RESET ${quoteIdentifier(name)}`,
      ),
    ),
  };
}

/** Who could write to a side behind its fence. */
export async function superusers(context: CheckContext, side: CheckedSide): Promise<Finding> {
  const { user } = await context.server(side);
  const rows = await context.rows<{ name: string; sessions: string }>(
    side,
    `select r.rolname as name, (select count(*) from pg_stat_activity a where a.usename = r.rolname and a.datname = current_database()
       and a.backend_type = 'client backend' and a.application_name not like $1 || ' %') as sessions
     from pg_roles r where r.rolsuper and r.rolcanlogin and r.rolname <> current_user order by 1`,
    [applicationNamePrefix],
  );
  const own = Number(
    await context.value(
      side,
      `select count(*) from pg_stat_activity where usename = current_user and datname = current_database() and pid <> pg_backend_pid()
         and backend_type = 'client backend' and application_name not like $1 || ' %'`,
      [applicationNamePrefix],
    ),
  );
  if (rows.length === 0 && own === 0) return pass(`no superuser with a login but ${user}`);
  const found = [
    ...rows.map(({ name, sessions }) => `${name}${sessions === '0' ? '' : ` (${sessions} sessions now)`}`),
    ...(own > 0 ? [`${user}, our own role, in ${own} sessions of others`] : []),
  ];
  return {
    outcome: 'warn',
    found: `superusers pass every fence: ${listed(found)}`,
    expected: 'that no application connects as one of them',
    fix:
      rows.length > 0
        ? statements(rows.map(({ name }) => `ALTER ROLE ${quoteIdentifier(name)} NOSUPERUSER`))
        : 'give the application a role of its own',
  };
}
