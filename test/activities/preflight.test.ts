import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Client } from 'pg';
import { createFileStore } from '../../activities/artifacts/file-store';
import { failureType } from '../../activities/errors';
import { PostgresConnections } from '../../activities/postgres/connection';
import { openLedger } from '../../activities/postgres/ledger';
import { createPreflightActivities, type PreflightInput } from '../../activities/postgres/preflight';
import { CheckContext } from '../../activities/postgres/preflight/context';
import type { Check } from '../../journal/types';
import { parsePostgresPlan } from '../../plan/parse';
import type { PostgresPlanInput } from '../../plan/postgres';
import { startPostgres, type PostgresServer } from '../../local/postgres-server';
import { locateClientTools } from '../../worker/client-tools';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';
import type { ClientTools } from '../../activities/postgres/client-tools';

let pair: PostgresPair;
let source: PostgresServer;
let target: PostgresServer;
let tools: ClientTools;
let folder: string;
let number = 0;
let database: string;
let onSource: Client;
let onTarget: Client;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cutover-preflight-'));
  tools = await locateClientTools(process.env);
  pair = await startPair({ max_prepared_transactions: '5' });
  ({ source, target } = pair);
});
async function freshPair(): Promise<void> {
  database = `shop ${++number}`;
  onSource = await connect(await source.createDatabase(database));
  onTarget = await connect(await target.createDatabase(database));
  await onSource.query('create table public.orders (id int primary key, customer int, note text)');
}
async function endPair(): Promise<void> {
  await Promise.all([onSource.end(), onTarget.end()]);
}
afterAll(async () => {
  await pair.stop();
  await rm(folder, { recursive: true, force: true });
});

async function connect(url: string): Promise<Client> {
  const client = new Client({ connectionString: url, application_name: 'shop' });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

interface Way {
  plan?: Partial<PostgresPlanInput>;
  environment?: Record<string, string>;
  tools?: ClientTools;
}

async function preflight(way: Way = {}) {
  const parsed = parsePostgresPlan({ name: 'shop', source: { env: 'SOURCE' }, target: { env: 'TARGET' }, ...way.plan });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
  const { plan } = parsed;
  const activities = createPreflightActivities({
    connections: new PostgresConnections({
      SOURCE: source.url(database),
      TARGET: target.url(database),
      ...way.environment,
    }),
    artifacts: createFileStore(pathToFileURL(folder).href),
    tools: way.tools ?? tools,
  });
  const input: PreflightInput = {
    scope: { migration: 'shop', source: plan.source, target: plan.target, tables: plan.tables },
    strategy: plan.strategy,
    roles: plan.roles,
    waivers: plan.waivers,
    snapshot: plan.snapshot,
    validation: plan.validation,
    ...(plan.rehearsal ? { rehearsal: plan.rehearsal } : {}),
    afterwards: plan.afterwards,
  };
  return activities.preflight(input);
}

async function check(name: string, way: Way = {}): Promise<Check> {
  const { checks } = await preflight(way);
  const found = checks.find((one) => one.name === name);
  if (!found) throw new Error(`no check ${name}`);
  return found;
}

const failed = (checks: Check[]): string[] =>
  checks.filter(({ outcome }) => outcome === 'fail').map(({ name }) => name);

/** Runs the fix as printed, up to where a remark begins. */
async function applyFix(client: Client, { fix }: Check): Promise<void> {
  for (const statement of (fix ?? '').split(' --')[0]?.split(/;\s*/) ?? [])
    if (statement) await client.query(statement);
}

describe('a pair that is looked at only', () => {
  /** What is found without a word more in the plan. */
  let ordinary: Awaited<ReturnType<typeof preflight>>;
  beforeAll(async () => {
    await freshPair();
    ordinary = await preflight();
  });
  afterAll(endPair);

  it('passes an ordinary pair, tells versions and sizes, and leaves no trace', async () => {
    const { checks, facts } = ordinary;
    expect(failed(checks)).toEqual([]);
    expect(new Set(checks.map(({ name }) => name)).size).toBe(checks.length);
    expect(facts).toMatchObject({
      sourceMajor: 15,
      targetMajor: 18,
      tables: 1,
      tablesWithoutKey: 0,
      largestTable: { table: 'public.orders' },
      largeObjects: 0,
      walLevel: expect.any(String) as string,
      sourceUser: 'postgres',
    });
    expect((await onTarget.query(`select from pg_namespace where nspname = 'cutover'`)).rowCount).toBe(0);
  });

  it('runs every check when a side cannot be reached, and passes none that needed it', async () => {
    const { checks, facts } = await preflight({
      environment: { TARGET: 'postgresql://postgres:hidden-secret@127.0.0.1:1/none' },
    });
    const reachable = checks.find(({ name }) => name === 'target-reachable');
    expect(reachable).toMatchObject({
      outcome: 'fail',
      fix: expect.stringContaining('pg_isready -h 127.0.0.1 -p 1') as string,
    });
    expect(checks.filter(({ side, outcome }) => side === 'target' && outcome === 'pass')).toEqual([]);
    expect(checks.find(({ name }) => name === 'source-reachable')?.outcome).toBe('pass');
    expect(JSON.stringify(checks)).not.toContain('hidden-secret');
    expect(facts.targetVersion).toBe('unknown');
  });

  it('begins anew when a server goes away while it is looked at', async () => {
    const looking = jest.spyOn(CheckContext.prototype, 'reachable').mockImplementationOnce(function (
      this: CheckContext,
      side,
    ) {
      this.session('target')
        .query('select pg_terminate_backend(pg_backend_pid())')
        .catch(() => undefined);
      return this.reachable(side);
    });
    try {
      expect(await preflight().then(({ checks }) => failed(checks), failureType)).toBe('TargetUnavailable');
    } finally {
      looking.mockRestore();
    }
  });

  it('cannot be talked into taking the source as target, by whatever address', async () => {
    const other = source.url(database).replace('127.0.0.1', 'localhost');
    const found = await check('different-databases', {
      environment: { TARGET: other },
      plan: { waivers: { 'different-databases': 'I insist' } },
    });
    expect(found).toMatchObject({ outcome: 'fail' });
    expect(found.found).toContain('cannot be waived');
    const beside = await source.createDatabase(`beside ${number}`);
    expect(await check('different-databases', { environment: { TARGET: beside } })).toMatchObject({ outcome: 'warn' });
  });

  it.each([
    ['a port where nobody listens', () => 'postgresql://postgres:hidden-secret@127.0.0.1:1/none'],
    ['a wrong password', () => source.url(database).replace(/:[^:@/]*@/, ':hidden-secret@')],
    ['a database that is not there', () => source.url('not there')],
    ['what is no connection string', () => 'postgresql://[hidden-secret'],
    ['nothing at all', () => ''],
  ])('reports a source behind %s as failing checks, in few words', async (_, url) => {
    for (const side of ['SOURCE', 'TARGET']) {
      const { checks, facts } = await preflight({ environment: { [side]: url() } });
      const name = side.toLowerCase();
      const unreached = checks.find((one) => one.name === `${name}-reachable`);
      expect(unreached).toMatchObject({ outcome: 'fail', found: expect.stringMatching(/../) as string });
      expect(checks.find((one) => one.name === `${name}-primary`)).toMatchObject({
        outcome: 'fail',
        found: `not looked at: the ${name} cannot be reached`,
      });
      expect(facts).toMatchObject(
        side === 'SOURCE' ? { sourceVersion: 'unknown', tables: 0, walLevel: 'unknown' } : { targetVersion: 'unknown' },
      );
      expect(JSON.stringify({ checks, facts })).not.toContain('hidden-secret');
    }
  });

  it('keeps the rehearsal away from source and target', async () => {
    const rehearsal = { source: { env: 'SCRATCH' }, target: { env: 'OTHER' } };
    const scratch = await source.createDatabase(`scratch ${number}`);
    const onProduction = await preflight({
      plan: { rehearsal },
      environment: { SCRATCH: source.url(database), OTHER: scratch },
    });
    expect(failed(onProduction.checks)).toEqual(['rehearsal-guard']);
    const beside = await preflight({
      plan: { rehearsal, waivers: { 'rehearsal-guard': 'it will do no harm' } },
      environment: { SCRATCH: scratch, OTHER: await target.createDatabase(`scratch ${number}`) },
    });
    expect(failed(beside.checks)).toEqual(['rehearsal-guard']);
  });

  it('warns when the migration was never tried, unless the plan says why', async () => {
    expect(ordinary.checks.find(({ name }) => name === 'rehearsal')).toMatchObject({ outcome: 'warn' });
    const rehearsal = { skip: 'rehearsed by hand on a copy last week' };
    expect(await check('rehearsal', { plan: { rehearsal } })).toMatchObject({
      outcome: 'pass',
      found: expect.stringContaining('rehearsed by hand') as string,
    });
  });

  it('refuses a downgrade', async () => {
    const swapped = { SOURCE: target.url(database), TARGET: source.url(database) };
    const { checks } = await preflight({ environment: swapped });
    expect(failed(checks)).toEqual(expect.arrayContaining(['versions']));
  });

  it('refuses client tools that are missing or older than the source', async () => {
    expect(await check('client-tools', { tools: {} })).toMatchObject({
      outcome: 'fail',
      fix: expect.stringContaining('postgresql-client-15') as string,
    });
    const newer = await check('client-tools', {
      environment: { SOURCE: target.url(database), TARGET: target.url('postgres') },
    });
    expect(newer.outcome).toBe((tools.major ?? 0) >= 18 ? 'pass' : 'fail');
  });

  it('refuses them before the start where they are older than the target, whose backup is wanted at the end', async () => {
    const plan = { afterwards: { targetBackup: { kind: 'pg_dump' } } } as const;
    expect((await check('target-backup-tools', { plan })).outcome).toBe((tools.major ?? 0) >= 18 ? 'pass' : 'fail');
    expect(await check('target-backup-tools', { plan, tools: {} })).toMatchObject({
      outcome: 'fail',
      fix: expect.stringContaining('postgresql-client-18') as string,
    });
    expect(ordinary.checks.map(({ name }) => name)).not.toContain('target-backup-tools');
  });

  it('names patterns that match nothing', async () => {
    const found = await check('table-patterns', {
      plan: { tables: { include: ['public.*', 'sales.orders'], exclude: ['public.tmp_*'] } },
    });
    expect(found).toMatchObject({ outcome: 'fail' });
    expect(found.found).toContain('include "sales.orders"');
    expect(found.found).toContain('exclude "public.tmp_*"');
    expect(found.found).not.toContain('"public.*"');
    expect(await check('table-patterns', { plan: { tables: { exclude: ['public.tmp_*'] } } })).toMatchObject({
      outcome: 'warn',
      found: expect.stringContaining('exclude "public.tmp_*"') as string,
    });
  });

  it('includes the command of a snapshot', async () => {
    expect(
      await check('snapshot', { plan: { snapshot: { kind: 'command', command: ['no-such-program-here', 'x'] } } }),
    ).toMatchObject({ outcome: 'fail' });
    expect(
      await check('snapshot', { plan: { snapshot: { kind: 'command', command: ['sh', '-c', 'true'] } } }),
    ).toMatchObject({ outcome: 'pass' });
    expect(
      await check('snapshot', { plan: { snapshot: { kind: 'none', reason: 'taken by the storage team' } } }),
    ).toMatchObject({ outcome: 'warn' });
  });

  it('must exist, and its queries must be one statement that can be planned', async () => {
    const validation = {
      checksum: ['public.order'],
      notNull: [{ table: 'public.orders', columns: ['note', 'nothing'] }],
      assertions: [{ name: 'fine', sql: 'select count(*) from orders' }],
      smoke: [{ name: 'two', sql: 'select 1; delete from public.orders' }],
      performance: { queries: [{ name: 'typo', sql: 'selec 1' }] },
    };
    const { checks } = await preflight({ plan: { validation } });
    const tables = checks.find(({ name }) => name === 'validation-tables');
    expect(tables?.outcome).toBe('fail');
    expect(tables?.found).toContain('"public.order"');
    expect(tables?.found).toContain('no column nothing');
    expect(tables?.found).not.toContain('note');
    const queries = checks.find(({ name }) => name === 'validation-queries');
    expect(queries?.found).toContain('smoke test "two"');
    expect(queries?.found).toContain('performance query "typo"');
    expect(queries?.found).not.toContain('"fine"');
  });
});

describe('a pair that is changed', () => {
  beforeEach(freshPair);
  afterEach(endPair);

  describe('servers', () => {
    it('advises nothing that destroys where the target is the source, or may be', async () => {
      await onSource.query(`create schema cutover; create role low${number} login password '${source.password}'`);
      const ways: Record<string, string>[] = [
        { TARGET: source.url(database) },
        { TARGET: source.url(database, `low${number}`) },
        { SOURCE: 'postgresql://postgres@127.0.0.1:1/none', TARGET: source.url(database) },
      ];
      for (const environment of ways) {
        const { checks } = await preflight({ environment });
        expect(failed(checks)).toEqual(expect.arrayContaining(['different-databases', 'target-empty', 'target-owner']));
        const destroying = /DROP|TERMINATE|ROLLBACK/i;
        const aimed = checks.filter(({ side, fix }) => side !== 'source' && destroying.test(fix ?? ''));
        expect(aimed).toEqual([]);
      }
    });

    it('leaves out settings of the source database, which are carried with it', async () => {
      const before = await check('server-settings');
      await onSource.query(
        `alter database "${database}" set TimeZone = 'Asia/Tokyo'; alter database "${database}" set default_transaction_isolation = 'serializable'`,
      );
      expect((await check('server-settings')).found).toBe(before.found);
    });
  });

  describe('waivers', () => {
    it('turn a failure into a warning with the reason, and a misspelled one is told', async () => {
      await onTarget.query('create table public.theirs (a int)');
      const { checks } = await preflight({
        plan: { waivers: { 'target-empty': 'theirs belongs to monitoring', 'target-emtpy': 'typo' } },
      });
      expect(checks.find(({ name }) => name === 'target-empty')).toMatchObject({
        outcome: 'warn',
        waived: 'theirs belongs to monitoring',
      });
      expect(checks.find(({ name }) => name === 'waivers')).toMatchObject({
        outcome: 'warn',
        found: expect.stringContaining('target-emtpy') as string,
      });
    });
  });

  describe('the target', () => {
    it('must be empty; the fix empties it', async () => {
      await onTarget.query(`
        create table public.theirs (id serial primary key); create view public.v as select * from public.theirs;
        create function public.f() returns int language sql as 'select 1'; create type public.mood as enum ('a');
        create schema "Odd ""one"; create domain "Odd ""one".d as int; create sequence "Odd ""one".s;
        create extension hstore; select lo_create(0); create publication p`);
      const found = await check('target-empty');
      expect(found.outcome).toBe('fail');
      for (const name of [
        'table public.theirs',
        'view public.v',
        'function public.f()',
        'type public.mood',
        '1 large object',
        'publication p',
      ]) {
        expect(found.found).toContain(name);
      }
      expect(found.found).not.toContain('hstore');
      expect(found.found).not.toContain('theirs_id_seq');
      const [first, dropping = ''] = (found.fix ?? '').split('ONLY IF NOTHING IN THE TARGET IS NEEDED: ');
      expect(first).toMatch(/^CREATE DATABASE "shop \d+_new" [^;]*; -- /);
      await applyFix(onTarget, { ...found, fix: dropping });
      expect(await check('target-empty')).toMatchObject({ outcome: 'pass' });
    });

    it('may bear our own ledger but not that of another migration', async () => {
      await openLedger(onTarget, 'shop');
      expect(failed((await preflight()).checks)).toEqual([]);
      await onTarget.query(`update cutover.migration set id = 'another'`);
      const found = await check('target-owner', { plan: { waivers: { 'target-owner': 'never mind' } } });
      expect(found).toMatchObject({ outcome: 'fail', found: expect.stringContaining('"another"') as string });
      await applyFix(onTarget, { ...found, fix: (found.fix ?? '').split('ONLY IF THAT MIGRATION HAS ENDED: ')[1] });
      expect(await check('target-owner')).toMatchObject({ outcome: 'pass' });
    });

    it('must offer the extensions of the source', async () => {
      await onSource.query('create extension hstore');
      expect(await check('extensions')).toMatchObject({ outcome: 'pass' });
      await onSource.query(`update pg_extension set extname = 'not_offered' where extname = 'hstore'`);
      expect(await check('extensions')).toMatchObject({
        outcome: 'fail',
        found: expect.stringContaining('not_offered') as string,
      });
    });

    it('must hold the locks of building the schema in one transaction', async () => {
      await onSource.query(
        `do $$ begin for i in 1..60 loop execute format('create sequence public.s%s', i); end loop; end $$`,
      );
      expect(await check('lock-budget')).toMatchObject({ outcome: 'pass' });
      const small = await startPostgres({
        major: 18,
        settings: {
          max_connections: '5',
          max_locks_per_transaction: '10',
          max_prepared_transactions: '0',
          superuser_reserved_connections: '1',
          reserved_connections: '0',
          max_wal_senders: '0',
        },
      });
      try {
        const url = await small.createDatabase('small');
        const found = await check('lock-budget', { environment: { TARGET: url } });
        expect(found.outcome).toBe('fail');
        const client = await connect(url);
        await applyFix(client, found);
        await client.end();
        await small.restart();
        const { checks } = await preflight({ environment: { TARGET: url } });
        expect(checks.find(({ name }) => name === 'lock-budget')).toMatchObject({ outcome: 'pass' });
        expect(checks.find(({ name }) => name === 'server-settings')).toMatchObject({
          outcome: 'warn',
          found: expect.stringContaining('max_connections') as string,
        });
      } finally {
        await small.stop();
      }
    });

    it('needs tablespaces and roles of the source; where roles are required the fix makes them', async () => {
      await onSource.query(
        `create role "Clerk ${number}" login connection limit 3; create role group${number}; grant group${number} to "Clerk ${number}"; alter table public.orders owner to "Clerk ${number}"; grant select on public.orders to group${number}`,
      );
      expect(await check('roles')).toMatchObject({
        outcome: 'pass',
        found: expect.stringContaining('to be created') as string,
      });
      const required = await check('roles', { plan: { roles: 'require' } });
      expect(required.outcome).toBe('fail');
      await applyFix(onTarget, required);
      expect(await check('roles', { plan: { roles: 'require' } })).toMatchObject({ outcome: 'pass' });
      expect(
        (await onTarget.query(`select from pg_auth_members m where m.member = '"Clerk ${number}"'::regrole`)).rowCount,
      ).toBe(1);
    });

    it('must know the encoding, and is told how the source sorts', async () => {
      await target.createDatabase('other');
      const client = await connect(target.url());
      await client.query(`create database latin encoding 'LATIN1' locale 'C' template template0`);
      await client.end();
      const { checks } = await preflight({ environment: { TARGET: target.url('latin') } });
      expect(checks.find(({ name }) => name === 'encoding')).toMatchObject({
        outcome: 'fail',
        fix: expect.stringContaining(`ENCODING 'UTF8'`) as string,
      });
      expect(checks.find(({ name }) => name === 'collation')).toMatchObject({
        outcome: 'warn',
      });
      const ascii = await connect(source.url());
      await ascii.query(`create database ascii encoding 'SQL_ASCII' locale 'C' template template0`);
      await ascii.end();
      expect(await check('encoding', { environment: { SOURCE: source.url('ascii') } })).toMatchObject({
        outcome: 'fail',
      });
    });
  });

  describe('what is selected', () => {
    it('names what is kept and needs what is left out', async () => {
      await onSource.query(`
        create table public.customers (id serial primary key);
        alter table public.orders add constraint "to customer" foreign key (customer) references public.customers;
        create view public.names as select id from public.customers;
        alter table public.orders add column borrowed int default nextval('public.customers_id_seq');
        create table public.many (customers public.customers[])`);
      const plan = { tables: { include: ['*.*'], exclude: ['public.customers'] } };
      const found = await check('excluded-dependencies', { plan });
      expect(found.outcome).toBe('fail');
      for (const what of [
        'foreign key "to customer" of public.orders',
        'view public.names',
        'default of borrowed of public.orders',
        'column customers of public.many',
      ]) {
        expect(found.found).toContain(what);
      }
      await onSource.query(
        'drop view public.names; drop table public.many; alter table public.orders drop column borrowed',
      );
      await applyFix(onSource, { ...found, fix: /ALTER TABLE [^;]*/.exec(found.fix ?? '')?.[0] });
      expect(await check('excluded-dependencies', { plan })).toMatchObject({ outcome: 'pass' });
    });

    it('lets a partition go with its parent', async () => {
      await onSource.query(
        `create table public.days (at date) partition by range (at); create table public.d1 partition of public.days for values from ('2025-01-01') to ('2026-01-01')`,
      );
      const { checks, facts } = await preflight({ plan: { tables: { include: ['*.*'], exclude: ['public.days'] } } });
      expect(failed(checks)).toEqual([]);
      expect(facts.tables).toBe(1);
    });

    it('refuses a schema of the name that the ledger takes', async () => {
      await onSource.query('create schema cutover');
      const found = await check('schema-name-free');
      expect(found.outcome).toBe('fail');
      await applyFix(onSource, found);
      expect(await check('schema-name-free')).toMatchObject({ outcome: 'pass' });
    });
  });

  describe('what goes on at the source', () => {
    it('finds prepared transactions on both sides; the fix ends them', async () => {
      await onSource.query(`begin; insert into public.orders values (1); prepare transaction 'it''s mine'`);
      await onTarget.query(`begin; create table public.t (); prepare transaction 'theirs'`);
      const before = await preflight();
      const found = before.checks.find(({ name }) => name === 'prepared-transactions');
      expect(found).toMatchObject({ outcome: 'warn', found: expect.stringContaining("it's mine") as string });
      const there = before.checks.find(({ name }) => name === 'target-prepared-transactions');
      expect(there?.outcome).toBe('fail');
      await applyFix(onSource, found!);
      await applyFix(onTarget, there!);
      const { checks } = await preflight();
      expect(checks.find(({ name }) => name === 'prepared-transactions')).toMatchObject({ outcome: 'pass' });
      expect(checks.find(({ name }) => name === 'target-prepared-transactions')).toMatchObject({ outcome: 'pass' });
    });

    it('finds an enabled subscription, whose worker would write through the fence; the fix disables it', async () => {
      await onSource.query(
        `create subscription inflow connection 'host=127.0.0.1 port=1' publication p with (connect = false)`,
      );
      expect(await check('subscriptions')).toMatchObject({ outcome: 'warn' });
      await onSource.query('alter subscription inflow enable');
      const found = await check('subscriptions');
      expect(found.outcome).toBe('fail');
      await applyFix(onSource, found);
      expect(await check('subscriptions')).toMatchObject({ outcome: 'warn' });
      await onSource.query('alter subscription inflow set (slot_name = none)');
      await onSource.query('drop subscription inflow');
    });

    it('tells of superusers that no fence keeps out, and of a fence that is up already', async () => {
      await onSource.query(`create role boss${number} superuser login`);
      const found = await check('superusers');
      expect(found).toMatchObject({ outcome: 'warn', found: expect.stringContaining(`boss${number}`) as string });
      await applyFix(onSource, found);
      expect((await check('superusers')).found).not.toContain(`boss${number}`);
      await onSource.query(`alter database "${database}" connection limit 0`);
      const fenced = await check('source-open');
      expect(fenced.outcome).toBe('warn');
      await applyFix(onSource, fenced);
      expect(await check('source-open')).toMatchObject({ outcome: 'pass' });
    });
  });

  describe('objects that need a decision', () => {
    it('are each found and named', async () => {
      await onSource.query(`
        create unlogged table public.scratch (a int);
        create foreign data wrapper w; create server elsewhere foreign data wrapper w; create foreign table public.remote (a int) server elsewhere;
        create user mapping for current_user server elsewhere options (password 'mapping-secret');
        create publication feed for table public.orders;
        create function public.guard() returns event_trigger language plpgsql as 'begin end'; create event trigger watch on ddl_command_start execute function public.guard();
        insert into public.orders values (1, -1), (2, -1);
        alter table public.orders add constraint positive check (customer > 0) not valid;
        create table public.pointers (what regclass, big oid, no_key int);
        create materialized view public.summary as select count(*) from public.orders;
        select lo_create(0), lo_create(0)`);
      await onSource
        .query('create unique index concurrently broken on public.orders (customer)')
        .catch(() => undefined);
      const { checks, facts } = await preflight();
      const expected: Record<string, string> = {
        'unlogged-tables': 'public.scratch',
        'foreign-tables': 'elsewhere (1 tables, 1 user mappings)',
        publications: 'feed',
        'event-triggers': 'watch',
        'invalid-indexes': 'public.broken (unique)',
        'unvalidated-constraints': 'public.orders (positive)',
        'number-references': 'public.pointers.what (regclass)',
        'tables-without-key': 'public.pointers',
      };
      for (const [name, found] of Object.entries(expected)) {
        expect(checks.find((one) => one.name === name)).toMatchObject({
          name,
          outcome: 'warn',
          found: expect.stringContaining(found) as string,
        });
      }
      expect(checks.find(({ name }) => name === 'large-objects')?.found).toContain('2 large objects');
      expect(facts).toMatchObject({ largeObjects: 2, tablesWithoutKey: 2 });
      expect(JSON.stringify(checks)).not.toContain('mapping-secret');
      expect(failed(checks)).toEqual([]);
      await onSource.query('update public.orders set customer = id');
      for (const name of ['invalid-indexes', 'unvalidated-constraints']) {
        const found = checks.find((one) => one.name === name);
        await applyFix(onSource, found!);
      }
      const after = await preflight();
      for (const name of ['invalid-indexes', 'unvalidated-constraints']) {
        expect(after.checks.find((one) => one.name === name)).toMatchObject({ outcome: 'pass' });
      }
    });

    it('are role settings that the newer version no longer knows', async () => {
      const role = `old${number}`;
      await onSource.query(`create role ${role} login; grant select on public.orders to ${role}`);
      await onSource.query(`alter role ${role} in database "${database}" set force_parallel_mode = off`);
      const found = await check('known-settings');
      expect(found).toMatchObject({ outcome: 'warn', found: expect.stringContaining('force_parallel_mode') as string });
      await applyFix(onSource, found);
      expect(await check('known-settings')).toMatchObject({ outcome: 'pass' });
    });
  });

  describe('a role without rights', () => {
    it('is told every grant that it needs on the source, and these are enough', async () => {
      const user = `mover${number}`;
      const sourceUrl = source.url(database, user);
      await onSource.query(`
        create role ${user} login password '${source.password}';
        create schema "Hidden"; create table "Hidden".t (id serial primary key);
        create table public.guarded (id int primary key); alter table public.guarded enable row level security;
        select lo_create(4711)`);
      const names = [
        'sessions-visible',
        'source-fence',
        'source-read-large-objects',
        'source-read-sequences',
        'source-read-tables',
        'source-row-security',
      ];
      const { checks } = await preflight({ environment: { SOURCE: sourceUrl } });
      expect(failed(checks).sort()).toEqual(
        names.filter((name) => name !== 'source-row-security' || failed(checks).includes(name)),
      );
      for (const name of names) {
        // What could not be asked for want of another right is asked again.
        const known = checks.find((one) => one.name === name && one.outcome === 'fail');
        await applyFix(onSource, known ?? (await check(name, { environment: { SOURCE: sourceUrl } })));
      }
      expect(failed((await preflight({ environment: { SOURCE: sourceUrl } })).checks)).toEqual([]);
    });

    it('is told what it lacks on the target', async () => {
      const user = `maker${number}`;
      await onTarget.query(`create role ${user} login password '${target.password}'`);
      await onSource.query(
        `create role shopper${number} login; create role keeper${number}; create role reader${number}; create extension pg_buffercache;
         alter table public.orders owner to shopper${number}; grant select on public.orders to reader${number};
         create table public.kept (id int primary key); alter table public.kept owner to keeper${number}`,
      );
      await onTarget.query(`create role keeper${number}; create role reader${number}`);
      const environment = { TARGET: target.url(database, user) };
      const { checks } = await preflight({ environment });
      const missing = ['target-create', 'target-own', 'target-replica-role', 'extension-privileges', 'roles'];
      expect(failed(checks)).toEqual(expect.arrayContaining(missing));
      for (const name of missing) {
        const found = checks.find((one) => one.name === name);
        if (found) await applyFix(onTarget, found);
      }
      expect(checks.find(({ name }) => name === 'target-own')?.fix).toBe(`GRANT "keeper${number}" TO "${user}";`);
      const after = await preflight({ environment });
      expect(failed(after.checks).filter((name) => missing.includes(name))).toEqual([]);
    });

    it('is never advised to become a superuser by membership', async () => {
      const user = `humble${number}`;
      await onTarget.query(
        `create role ${user} login password '${target.password}'; create role aide${number} in role postgres`,
      );
      await onSource.query(
        `create role aide${number}; create table public.aided (id int primary key); alter table public.aided owner to aide${number}`,
      );
      const found = await check('target-own', { environment: { TARGET: target.url(database, user) } });
      expect(found).toMatchObject({ outcome: 'fail', fix: expect.stringContaining('needs a superuser') as string });
      expect(found.found).toContain('postgres');
      expect(found.fix).not.toContain('GRANT');
    });
  });
});
