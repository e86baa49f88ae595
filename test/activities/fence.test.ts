import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { createFileStore } from '../../activities/artifacts/file-store';
import { failureType } from '../../activities/errors';
import { PostgresConnections } from '../../activities/postgres/connection';
import { createFenceActivities, loweringSql, type FormerAccess } from '../../activities/postgres/fence';
import { raisingSql } from '../../activities/postgres/fence/former';
import { statisticsDelayMs } from '../../activities/postgres/fence/silence';
import type { PostgresScope } from '../../activities/postgres/scope';
import { startPostgres, type PostgresServer } from '../../local/postgres-server';

const side = 'source' as const;

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(10);
}

describe.each([15, 18] as const)('the fence on PostgreSQL %i', (major) => {
  let server: PostgresServer;
  let admin: Client;
  let database: string;
  let number = 0;
  const guests: Client[] = [];

  beforeAll(async () => {
    server = await startPostgres({ major, settings: { max_prepared_transactions: '5' } });
    admin = await enter('postgres');
    await admin.query(`create role app login password '${server.password}'`);
    await admin.query(`create role owner login password '${server.password}'`);
    await admin.query(`create role boss login superuser password '${server.password}'`);
    await admin.query(`create role reader login password '${server.password}'`);
  });
  beforeEach(async () => {
    database = `Shop ${++number}`;
    await server.createDatabase(database);
    const session = await enter(database);
    await session.query('create table public.orders (id int primary key, note text)');
    await session.query('grant all on public.orders to app, owner');
    await session.end();
  });
  afterEach(async () => {
    await Promise.all(guests.splice(1).map((guest) => guest.end().catch(() => undefined)));
  });
  afterAll(async () => {
    await admin.end();
    await server.stop();
  });

  async function enter(name: string, user = 'postgres'): Promise<Client> {
    const client = new Client({ connectionString: server.url(name, user), application_name: 'shop' });
    client.on('error', () => undefined);
    await client.connect();
    guests.push(client);
    return client;
  }

  function fence(user = 'postgres') {
    const reference = { env: 'FENCED' };
    const connections = new PostgresConnections({ FENCED: server.url(database, user) });
    const scope: PostgresScope = {
      migration: "it's-to-18",
      source: reference,
      target: reference,
      tables: { include: ['*.*'], exclude: [] },
    };
    const activities = createFenceActivities({
      connections,
      tools: {},
      artifacts: createFileStore('file:///tmp/cutover-unused'),
    });
    return {
      scope,
      activities,
      inspect: () => activities.inspectAccess({ scope, side }),
      raise: (former: FormerAccess) => activities.raiseFence({ scope, side, former }),
      prove: (former: FormerAccess) => activities.proveSilence({ scope, side, former }),
      lower: () => activities.lowerFence({ scope, side }),
      up: () => activities.fenceIsUp({ scope, side }),
    };
  }

  async function access(): Promise<unknown> {
    const { rows } = await admin.query(
      `select datconnlimit, (select setconfig from pg_db_role_setting where setdatabase = d.oid and setrole = 0) as settings, shobj_description(d.oid, 'pg_database') as comment,
              (select array_agg(acl::text order by acl::text) from unnest(coalesce(datacl, acldefault('d', datdba))) acl) as acl
         from pg_database d where datname = $1`,
      [database],
    );
    return rows[0];
  }

  const typeOf = (work: Promise<unknown>) => work.then(() => 'no failure', failureType);
  const stateOf = (client: Client) =>
    client.query('select 1').then(
      () => 'open',
      () => 'ended',
    );

  it('is left up by an attempt to lower it that began before it was raised, and lowered to how it was found when it was raised', async () => {
    const { inspect, raise, lower, up } = fence();
    const remembered = await inspect();
    // Changed since it was remembered, as in a window of days.
    await admin.query(`alter database ${admin.escapeIdentifier(database)} connection limit 50`);
    const found = await access();
    await raise(remembered);
    const stalled = jest.spyOn(Date, 'now').mockReturnValueOnce(Date.now() - 60_000);
    expect(await lower()).toEqual({ lowered: false });
    stalled.mockRestore();
    expect(await up()).toMatchObject({ up: true });
    expect(await lower()).toEqual({ lowered: true });
    expect(await access()).toEqual(found);
  });

  it('keeps ordinary roles out, ends their sessions, idle in a transaction or not, and says how many', async () => {
    const idle = await enter(database, 'app');
    const inTransaction = await enter(database, 'app');
    await inTransaction.query('begin');
    await inTransaction.query(`insert into public.orders values (1, 'never committed')`);
    const former = await fence().inspect();
    const raised = await fence().raise(former);
    expect(raised).toMatchObject({
      endedSessions: 2,
      holes: ['role boss is a superuser: no connection limit and no privilege keeps it out'],
    });
    expect([await stateOf(idle), await stateOf(inTransaction)]).toEqual(['ended', 'ended']);
    await expect(enter(database, 'app')).rejects.toThrow('too many connections for database');
    const proof = await fence().prove(former);
    expect(proof.lsn).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/);
    expect(proof.evidence.join('\n')).toMatch(
      /no session of anybody else.*\n.*no open writing[^]*3 login roles are refused: connection limit 0[^]*marker at/,
    );
    expect(await fence().lower()).toEqual({ lowered: true });
    expect(await stateOf(await enter(database, 'app'))).toBe('open');
  });

  it('is no courtesy: a session that has set itself read-write is ended as well, and new ones of superusers begin read-only', async () => {
    const stubborn = await enter(database, 'app');
    await stubborn.query('set default_transaction_read_only = off');
    await fence().raise(await fence().inspect());
    expect(await stateOf(stubborn)).toBe('ended');
    const boss = await enter(database, 'boss');
    await expect(boss.query(`insert into public.orders values (2, '')`)).rejects.toThrow('read-only transaction');
  });

  it('puts back the exact limit, settings and privileges that were there, and nothing the second time', async () => {
    const name = admin.escapeIdentifier(database);
    await admin.query(`alter database ${name} connection limit 7`);
    await admin.query(`alter database ${name} set default_transaction_read_only = 'on'`);
    await admin.query(`alter database ${name} set work_mem = '5MB'`);
    await admin.query(`comment on database ${name} is 'the shop'`);
    await admin.query(`grant connect on database ${name} to app with grant option`);
    const before = await access();
    const former = await fence().inspect();
    expect(former).toMatchObject({
      connectionLimit: 7,
      settings: ['default_transaction_read_only=on'],
      mechanism: 'connection-limit',
    });
    await fence().raise(former);
    expect(await access()).toMatchObject({ datconnlimit: 0 });
    expect(await fence().up()).toMatchObject({ up: true, migration: "it's-to-18" });
    expect(await fence().lower()).toEqual({ lowered: true });
    expect(await access()).toEqual(before);
    expect(await fence().lower()).toEqual({ lowered: false });
    expect(await fence().up()).toEqual({ up: false });
  });

  it('never takes its own fence for what was there before', async () => {
    const former = await fence().inspect();
    await fence().raise(former);
    expect(await fence().inspect()).toEqual(former);
    const again = await fence().raise(former);
    expect(again.endedSessions).toBe(0);
    await fence().lower();
  });

  it('finishes what a worker left half-way: mark and limit are there, the sessions not yet ended', async () => {
    const writer = await enter(database, 'app');
    const former = await fence().inspect();
    const { raisedAt } = await fence().raise(former);
    await fence().lower();
    const late = await enter(database, 'app');
    for (const statement of raisingSql({ migration: "it's-to-18", raisedAt, former })) await admin.query(statement);
    expect([await stateOf(writer), await stateOf(late)]).toEqual(['ended', 'open']);
    expect(await fence().raise(former)).toMatchObject({ endedSessions: 1, raisedAt });
    expect(await stateOf(late)).toBe('ended');
  });

  it('stays down after its undo: a raise that still sleeps in its transaction is ended first', async () => {
    const former = await fence().inspect();
    const asleep = new Client({ connectionString: server.url(database), application_name: 'cutover fence' });
    asleep.on('error', () => undefined);
    await asleep.connect();
    guests.push(asleep);
    await asleep.query('begin');
    await asleep.query(`select pg_advisory_xact_lock(hashtextextended('cutover fence', 0))`);
    const mark = { migration: "it's-to-18", raisedAt: new Date().toISOString(), former };
    for (const statement of raisingSql(mark)) await asleep.query(statement);
    expect(await fence().lower()).toEqual({ lowered: false });
    await expect(asleep.query('commit')).rejects.toThrow();
    expect(await fence().up()).toEqual({ up: false });
    expect(await fence().inspect()).toEqual(former);
  });

  it('is not raised by an attempt that wakes when it may have been given up', async () => {
    const former = await fence().inspect();
    const holder = await enter(database);
    await holder.query(`select pg_advisory_lock(hashtextextended('cutover fence', 0))`);
    const raised = typeOf(fence().raise(former));
    await until(
      async () =>
        (await admin.query(`select from pg_locks where locktype = 'advisory' and not granted`)).rowCount === 1,
    );
    const now = Date.now.bind(Date);
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => now() + 15_000);
    await holder.end();
    expect(await raised).toBe('NotReadyYet');
    clock.mockRestore();
    expect(await fence().up()).toEqual({ up: false });
    expect(await fence().inspect()).toEqual(former);
  });

  it('waits for the statistics of servers that show them late', () => {
    expect([140_012, 150_000, 180_004].map(statisticsDelayMs)).toEqual([1_200, 0, 0]);
  });

  it('refuses the database that another migration has fenced, and says how to open it by hand', async () => {
    const former = await fence().inspect();
    await fence().raise(former);
    const other = fence();
    other.scope.migration = 'another';
    expect(await typeOf(other.inspect())).toBe('TargetConflict');
    expect(await typeOf(other.raise(former))).toBe('TargetConflict');
    expect(await other.lower()).toEqual({ lowered: false });
    for (const statement of loweringSql(former)) await admin.query(statement);
    expect(await fence().up()).toEqual({ up: false });
  });

  it('refuses to go up over a prepared transaction, names the statements that end it, and has changed nothing', async () => {
    const session = await enter(database);
    await session.query('begin');
    await session.query(`insert into public.orders values (3, '')`);
    await session.query(`prepare transaction 'pay''ment'`);
    const before = await access();
    const former = await fence().inspect();
    await expect(fence().raise(former)).rejects.toThrow("COMMIT PREPARED 'pay''ment' or ROLLBACK PREPARED 'pay''ment'");
    expect(await access()).toEqual(before);
    await session.query(`rollback prepared 'pay''ment'`);
    await fence().raise(former);
    await fence().prove(former);
  });

  it('finds the hidden writer: a superuser who comes back, and one who came and left', async () => {
    const former = await fence().inspect();
    const { counters } = await fence().raise(former);
    const boss = await enter(database, 'boss');
    const found = fence().prove(former);
    await expect(found).rejects.toThrow(/session pid \d+: role boss, program shop, from 127\.0\.0\.1, idle/);
    expect(await typeOf(found)).toBe('VerificationMismatch');
    await boss.query('set default_transaction_read_only = off');
    await boss.query(`insert into public.orders values (4, ''), (5, '')`);
    await boss.end();
    await until(async () => (await admin.query(`select from pg_stat_activity where usename = 'boss'`)).rowCount === 0);
    const { scope, activities } = fence();
    const late = activities.proveSilence({ scope, side, former, since: counters });
    await expect(late).rejects.toThrow('2 rows changed since the fence was up');
  });

  it('will not prove the silence of a fence that somebody has taken away', async () => {
    const former = await fence().inspect();
    await fence().raise(former);
    await admin.query(`alter database ${admin.escapeIdentifier(database)} connection limit -1`);
    expect(await typeOf(fence().prove(former))).toBe('PreconditionFailed');
  });

  it('lets nobody slip in while it goes up: under a storm of reconnecting writers the proof holds at once', async () => {
    let storm = true;
    let writes = 0;
    const writer = async (): Promise<void> => {
      while (storm) {
        const client = new Client({ connectionString: server.url(database, 'app'), application_name: 'storm' });
        client.on('error', () => undefined);
        try {
          await client.connect();
          await client.query(
            `insert into public.orders select coalesce(max(id), 0) + 1 from public.orders on conflict do nothing`,
          );
          writes += 1;
        } catch {
          await sleep(1);
        } finally {
          await client.end().catch(() => undefined);
        }
      }
    };
    const writers = Array.from({ length: 6 }, writer);
    while (writes < 20) await sleep(5);
    const former = await fence().inspect();
    const { counters } = await fence().raise(former);
    const { scope, activities } = fence();
    await activities.proveSilence({ scope, side, former, since: counters });
    storm = false;
    await Promise.all(writers);
    await fence().lower();
  });

  describe('by an owner who is no superuser', () => {
    beforeEach(async () => {
      const name = admin.escapeIdentifier(database);
      await admin.query(`alter database ${name} owner to owner`);
      await admin.query(`grant connect on database ${name} to app with grant option`);
      await admin.query(`comment on database ${name} is 'the shop'`);
      await admin.query('grant pg_signal_backend to owner');
    });

    it('takes CONNECT away from everybody else, and puts the same privileges and comment back', async () => {
      const before = await access();
      const writer = await enter(database, 'app');
      const former = await fence('owner').inspect();
      expect(former).toMatchObject({
        mechanism: 'revoke-connect',
        grants: [
          { grantee: 'PUBLIC', grantable: false },
          { grantee: 'app', grantable: true },
        ],
      });
      expect(await fence('owner').raise(former)).toMatchObject({ endedSessions: 1 });
      expect(await stateOf(writer)).toBe('ended');
      await expect(enter(database, 'app')).rejects.toThrow('permission denied for database');
      await expect(enter(database, 'reader')).rejects.toThrow('permission denied for database');
      expect(await fence('owner').inspect()).toEqual(former);
      const { evidence } = await fence('owner').prove(former);
      expect(evidence).toContain('new sessions of 2 login roles are refused: no CONNECT privilege');
      await fence('owner').raise(former);
      expect(await fence('owner').lower()).toEqual({ lowered: true });
      expect(await access()).toEqual(before);
      expect(await fence('owner').lower()).toEqual({ lowered: false });
    });

    it('says which grant it needs to end sessions', async () => {
      await admin.query('revoke pg_signal_backend from owner');
      await enter(database, 'app');
      const raised = fence('owner').raise(await fence('owner').inspect());
      await expect(raised).rejects.toThrow('GRANT pg_signal_backend');
      expect(await typeOf(raised)).toBe('AuthDenied');
    });
  });

  it('tells a role without rights what it lacks, and changes nothing', async () => {
    const before = await access();
    expect(await typeOf(fence('app').inspect())).toBe('AuthDenied');
    expect(await access()).toEqual(before);
  });
});
