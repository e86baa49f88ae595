import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { failureType } from '../../activities/errors';
import { PostgresConnections } from '../../activities/postgres/connection';
import { openLedger } from '../../activities/postgres/ledger';
import { createRoleActivities } from '../../activities/postgres/roles';
import { closeOver } from '../../activities/postgres/roles/needed';
import { settingValue } from '../../activities/postgres/roles/statements';
import { createFileStore } from '../../activities/artifacts/file-store';
import type { PostgresScope } from '../../activities/postgres/scope';
import { startPostgres, type PostgresServer } from '../../local/postgres-server';

const pairs: [15 | 18, 15 | 18][] = [
  [15, 18],
  [18, 18],
];

describe.each(pairs)('roles from PostgreSQL %i to %i', (from, to) => {
  let source: PostgresServer;
  let target: PostgresServer;
  let onSource: Client;
  let onTarget: Client;
  const scope: PostgresScope = {
    migration: 'roles',
    source: { env: 'SOURCE' },
    target: { env: 'TARGET' },
    tables: { include: ['*.*'], exclude: [] },
  };

  beforeAll(async () => {
    [source, target] = await Promise.all([
      startPostgres({ major: from }),
      startPostgres({ major: to, settings: { log_statement: 'all', log_min_duration_statement: '0' } }),
    ]);
    onSource = await connect(await source.createDatabase('shop'));
    onTarget = await connect(await target.createDatabase('shop'));
    await onSource.query(`
      create role "App Owner" nologin;
      create role app login password 'app-secret' connection limit 7 valid until '2031-02-03 04:05:06Z' in role "App Owner";
      create role readers nologin;
      create role analyst login noinherit createdb in role readers;
      create role boss login superuser bypassrls password 'boss-secret';
      create role policy_only login;
      create role bi login in role pg_read_all_data;
      create role unrelated login password 'unrelated-secret';
      create role elsewhere nologin; grant elsewhere to unrelated;
      create role existing login; create role existing_group nologin; grant existing_group to existing;
      comment on role app is 'the shop''s own';
      create schema sales authorization "App Owner";
      create table sales.orders (id int); alter table sales.orders owner to "App Owner";
      grant select on sales.orders to readers, existing_group;
      create table sales.secrets (who text); alter table sales.secrets enable row level security;
      create policy own on sales.secrets to policy_only using (who = current_user);
      alter default privileges for role "App Owner" grant select on tables to readers;
      alter table sales.secrets owner to boss;
      alter role app set search_path to '$user', sales, "Odd, Schema";
      alter role app in database shop set statement_timeout = '5s';
      alter role app set app.tenant = 'a b''c';
      alter role existing set work_mem = '8MB';
      alter role existing set statement_timeout = '1s';
      grant readers to app with admin option;`);
    await onTarget.query(
      `create role existing login; create role existing_group nologin; alter role existing set statement_timeout = '9s'`,
    );
    await openLedger(onTarget, scope.migration);
  });
  afterAll(async () => {
    await Promise.all([onSource.end(), onTarget.end()]);
    await Promise.all([source.stop(), target.stop()]);
  });

  async function connect(url: string): Promise<Client> {
    const client = new Client({ connectionString: url });
    await client.connect();
    return client;
  }

  const activities = (user = 'postgres') =>
    createRoleActivities({
      connections: new PostgresConnections({ SOURCE: source.url('shop'), TARGET: target.url('shop', user) }),
      artifacts: createFileStore('file:///nowhere'),
      tools: {},
    });

  const rolesOf = async (client: Client): Promise<string[]> =>
    (
      await client.query<{ name: string }>(`select rolname as name from pg_roles where rolname !~ '^pg_' order by 1`)
    ).rows.map(({ name }) => name);
  const describeRole = async (client: Client, name: string): Promise<unknown> =>
    (
      await client.query(
        `select rolcanlogin, rolinherit, rolcreatedb, rolconnlimit, rolvaliduntil::text, rolpassword, shobj_description(oid, 'pg_authid') as comment,
           (select array_agg(c order by c) from pg_db_role_setting s, unnest(s.setconfig) c where s.setrole = a.oid) as settings,
           (select array_agg(g.rolname::text || case when m.admin_option then ' admin' else '' end order by 1) from pg_auth_members m join pg_roles g on g.oid = m.roleid where m.member = a.oid) as groups
         from pg_authid a where rolname = $1`,
        [name],
      )
    ).rows[0];

  it('refuses to make roles where the plan requires them, and names those that are missing', async () => {
    const before = await rolesOf(onTarget);
    const refused: unknown = await activities()
      .carryRoles({ scope, mode: 'require' })
      .catch((error: unknown) => error);
    expect(failureType(refused)).toBe('PreconditionFailed');
    expect(String(refused)).toContain('App Owner');
    expect(await rolesOf(onTarget)).toEqual(before);
  });

  it('carries what the database needs with attributes, password hashes, memberships, settings and comments', async () => {
    const carried = await activities().carryRoles({ scope, mode: 'create' });
    expect(carried.created).toEqual(['App Owner', 'analyst', 'app', 'bi', 'boss', 'policy_only', 'readers']);
    expect(carried.withoutPassword).toEqual([]);
    expect(carried.settings).toBe(4);
    for (const name of ['App Owner', 'app', 'readers', 'analyst', 'policy_only', 'bi']) {
      expect([name, await describeRole(onTarget, name)]).toEqual([name, await describeRole(onSource, name)]);
    }
    expect(await rolesOf(onTarget)).not.toContain('unrelated');
    expect(await rolesOf(onTarget)).not.toContain('elsewhere');
    const login = await connect(target.url('shop').replace(/\/\/.*@/, '//app:app-secret@'));
    expect((await login.query<{ search_path: string }>('show search_path')).rows[0]?.search_path).toBe(
      '"$user", sales, "Odd, Schema"',
    );
    await login.end();
  });

  it('never gives superuser, and says so', async () => {
    const { leftOut } = await activities().carryRoles({ scope, mode: 'create' });
    const { rows } = await onTarget.query<{ rolsuper: boolean; rolbypassrls: boolean }>(
      `select rolsuper, rolbypassrls from pg_roles where rolname = 'boss'`,
    );
    expect(rows[0]).toEqual({ rolsuper: false, rolbypassrls: true });
    expect(leftOut).toContain('boss: SUPERUSER');
  });

  it('adds what an existing role lacks and changes nothing that it has', async () => {
    expect(await describeRole(onTarget, 'existing')).toMatchObject({
      settings: ['statement_timeout=9s', 'work_mem=8MB'],
      groups: ['existing_group'],
    });
  });

  it('shows no password hash in the log of a target that logs every statement', async () => {
    const { rows } = await onSource.query<{ hash: string }>(
      `select rolpassword as hash from pg_authid where rolname = 'app'`,
    );
    const hash = rows[0]?.hash ?? 'none';
    const log = await readFile(join(target.folder, 'postgres.log'), 'utf8');
    expect(/CREATE ROLE "policy_only"/.test(log)).toBe(true);
    expect(log.includes(hash)).toBe(false);
    expect(/SCRAM-SHA-256\$/.test(log)).toBe(false);
  });

  it('does nothing more when it is run again, and says the same', async () => {
    const first = await activities().carryRoles({ scope, mode: 'create' });
    const [left, right] = await Promise.all([
      activities().carryRoles({ scope, mode: 'create' }),
      activities().carryRoles({ scope, mode: 'create' }),
    ]);
    expect(first.settings).toBe(4);
    expect(left).toEqual(first);
    expect(right).toEqual(first);
  });

  it('takes away what it made and nothing else; a role that holds on to something is named, not forced', async () => {
    await onTarget.query('create schema kept authorization analyst; grant connect on database shop to app');
    const { removed, kept } = await activities().removeRoles({ scope });
    expect(removed.sort()).toEqual(['bi', 'boss', 'policy_only']);
    expect(kept).toEqual([
      { role: 'App Owner', why: expect.stringContaining('connected by membership with analyst') as string },
      { role: 'analyst', why: expect.stringContaining('cannot be dropped') as string },
      { role: 'app', why: expect.stringContaining('connected by membership with analyst') as string },
      { role: 'readers', why: expect.stringContaining('connected by membership with analyst') as string },
    ]);
    expect(await describeRole(onTarget, 'app')).toEqual(await describeRole(onSource, 'app'));
    expect(await describeRole(onTarget, 'existing')).toMatchObject({
      settings: ['statement_timeout=9s'],
      groups: null,
    });
    await onTarget.query('drop schema kept');
    expect(await activities().removeRoles({ scope })).toEqual({
      removed: ['App Owner', 'analyst', 'app', 'readers'],
      kept: [],
    });
    expect(await activities().removeRoles({ scope })).toEqual({ removed: [], kept: [] });
    expect(await rolesOf(onTarget)).toEqual(['existing', 'existing_group', 'postgres']);
  });

  it('keeps roles, memberships and settings that another database of the target needs, logins without a dependency too', async () => {
    await onSource.query(`
      create role shx_group; create role shx_login login in role shx_group; create role shx_lone login;
      create role shx_old login in role shx_group; alter role shx_old set work_mem = '9MB';
      alter role shx_old in database shop set work_mem = '7MB';
      create table public.shx (id int); grant select on public.shx to shx_group, shx_lone`);
    await onTarget.query('create role shx_old login');
    const { created } = await activities().carryRoles({ scope, mode: 'create' });
    expect(created).toEqual(expect.arrayContaining(['shx_group', 'shx_login', 'shx_lone']));
    const other = await connect(await target.createDatabase('x2'));
    await other.query('create table public.shx (id int); grant select on public.shx to shx_group');
    const { removed, kept } = await activities().removeRoles({ scope });
    expect(kept).toEqual([
      { role: 'shx_group', why: 'needed by another database: x2' },
      {
        role: 'shx_login',
        why: 'connected by membership with shx_group (needed by another database: x2)',
      },
    ]);
    expect(removed).toContain('shx_lone');
    expect(await describeRole(onTarget, 'shx_login')).toMatchObject({ groups: ['shx_group'] });
    expect(await describeRole(onTarget, 'shx_old')).toMatchObject({
      groups: ['shx_group'],
      settings: ['work_mem=9MB'],
    });
    await other.query('drop table public.shx');
    await other.end();
    expect(await activities().removeRoles({ scope })).toEqual({ removed: ['shx_group', 'shx_login'], kept: [] });
    expect(await describeRole(onTarget, 'shx_old')).toMatchObject({ groups: null, settings: null });
    await onTarget.query('drop role shx_old');
    await onSource.query('drop table public.shx; drop role shx_login, shx_old, shx_lone, shx_group');
  });

  it('touches no role when another migration owns the ledger', async () => {
    await onTarget.query('drop schema cutover cascade');
    await openLedger(onTarget, 'another');
    expect(await activities().removeRoles({ scope })).toEqual({ removed: [], kept: [] });
    const refused: unknown = await activities()
      .carryRoles({ scope, mode: 'create' })
      .catch((error: unknown) => error);
    expect(failureType(refused)).toBe('TargetConflict');
    await onTarget.query('drop schema cutover cascade');
  });

  it('carries no password where the target cannot be kept from logging it, and names the roles', async () => {
    await onTarget.query(
      `create role mover login createrole password '${target.password}'; grant create on database shop to mover`,
    );
    await onTarget.query('set role mover');
    await openLedger(onTarget, scope.migration);
    await onTarget.query('reset role');
    const { created, withoutPassword, leftOut } = await activities('mover').carryRoles({ scope, mode: 'create' });
    expect(created).toContain('app');
    expect(withoutPassword).toEqual(['app', 'boss']);
    expect(leftOut).toEqual(expect.arrayContaining(['analyst: CREATEDB', 'boss: BYPASSRLS', 'boss: SUPERUSER']));
    const { removed, kept } = await activities('mover').removeRoles({ scope });
    expect(kept).toEqual([]);
    expect(removed).toHaveLength(created.length);
  });
});

describe('which roles are needed', () => {
  const all = new Map(
    Object.entries({ owner: false, group: false, app: true, idle: false, root: true, above: false, other: true }).map(
      ([name, login]) => [name, { login, superuser: name === 'root' }],
    ),
  );
  const edge = (group: string, member: string) => ({ group, member, admin: false, inherit: true, set: true });

  it('follows members down to logins and groups up, in circles too, superusers and idle members left out', () => {
    const memberships = [
      edge('owner', 'group'),
      edge('group', 'app'),
      edge('owner', 'idle'),
      edge('owner', 'root'),
      edge('above', 'app'),
      edge('above', 'other'),
    ];
    expect([...closeOver(['owner'], all, memberships)].sort()).toEqual(['above', 'app', 'group', 'owner']);
  });

  it('writes list settings as lists and all others as one literal', () => {
    expect(settingValue('search_path', '"$user", public, "a ""b, c"')).toBe(`'$user', 'public', 'a "b, c'`);
    expect(settingValue('search_path', '""')).toBe(`''`);
    expect(settingValue('app.motto', 'one, two')).toBe(`'one, two'`);
  });
});
