// Scratch servers on real ones: told apart from production by whatever name, filled with the backup, emptied of what we made and nothing else.
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Client } from 'pg';
import { createFileStore } from '../../activities/artifacts/file-store';
import type { PostgresDependencies } from '../../activities/dependencies';
import { failureType } from '../../activities/errors';
import { PostgresConnections } from '../../activities/postgres/connection';
import { createFenceActivities } from '../../activities/postgres/fence';
import { createRehearsalActivities } from '../../activities/postgres/rehearsal';
import type { PostgresScope } from '../../activities/postgres/scope';
import { createSnapshotActivities } from '../../activities/postgres/snapshot';
import { startPostgres, type PostgresServer } from '../../local/postgres-server';
import type { Snapshot } from '../../plan/postgres';
import { locateClientTools } from '../../worker/client-tools';

const dump: Snapshot = { kind: 'pg_dump' };
const rehearsal = { source: { env: 'SCRATCH_SOURCE' }, target: { env: 'SCRATCH_TARGET' } };
const scope: PostgresScope = {
  migration: 'shop-to-18',
  source: { env: 'SOURCE' },
  target: { env: 'TARGET' },
  tables: { include: ['*.*'], exclude: [] },
};

let source: PostgresServer;
let target: PostgresServer;
let scratch: PostgresServer;
let admin: Client;
let root: string;
let dependencies: PostgresDependencies;
let environment: Record<string, string>;

beforeAll(async () => {
  [source, target, scratch] = await Promise.all([
    startPostgres({ major: 15 }),
    startPostgres({ major: 18 }),
    startPostgres({ major: 18 }),
  ]);
  environment = {
    SOURCE: await source.createDatabase('shop'),
    TARGET: await target.createDatabase('shop'),
    SCRATCH_SOURCE: await scratch.createDatabase('scratch source'),
    SCRATCH_TARGET: await scratch.createDatabase('scratch target'),
  };
  root = await mkdtemp(join(tmpdir(), 'cutover-rehearsal-'));
  dependencies = {
    connections: new PostgresConnections(environment),
    tools: await locateClientTools(process.env),
    artifacts: createFileStore(pathToFileURL(root).href),
  };
  admin = new Client({ connectionString: source.url('shop'), application_name: 'shop' });
  await admin.connect();
  await admin.query(`create extension citext; create table public."Order ""lines" (id int primary key, note citext);
    insert into public."Order ""lines" select n, repeat(md5(n::text), 20) from generate_series(1, 2000) n;
    create schema empty; create table empty.nothing (id int); select lo_create(4711);
    create function public.on_ddl() returns event_trigger language plpgsql as 'begin raise exception ''no drops here''; end';
    create role reader; create policy seen on public."Order ""lines" for select to reader using (true);
    create publication p for all tables;
    create subscription feed connection 'dbname=nowhere' publication p with (connect = false, slot_name = none)`);
}, 300_000);
afterAll(async () => {
  await admin.end();
  await Promise.all([source.stop(), target.stop(), scratch.stop()]);
  await rm(root, { recursive: true, force: true });
});

/** With other databases behind the references. */
const activities = (changed: Record<string, string> = {}) =>
  createRehearsalActivities({ ...dependencies, connections: new PostgresConnections({ ...environment, ...changed }) });
const guard = (changed: Record<string, string>) => activities(changed).guardRehearsal({ scope, rehearsal });
const take = () => createSnapshotActivities(dependencies).takeSnapshot({ scope, snapshot: dump, name: 'shop' });
async function inScratch<Result>(database: string, work: (client: Client) => Promise<Result>): Promise<Result> {
  const client = new Client({ connectionString: scratch.url(database) });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
const tables = (database: string) =>
  inScratch(database, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      `select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema') order by 1`,
    );
    return rows.map(({ name }) => name);
  });

describe('the guard', () => {
  it('passes scratch databases of another server, and says who each of the four is', async () => {
    const { evidence } = await guard({});
    expect(evidence).toHaveLength(4);
    expect(evidence[2]).toMatch(
      /^rehearsal source: database scratch source .* at 127\.0\.0\.1, up since .* system \d+$/,
    );
  });

  it('refuses production by another host name, by another database of its server, and one database twice', async () => {
    const renamed = environment.SOURCE!.replace('127.0.0.1', 'localhost');
    expect(renamed).not.toBe(environment.SOURCE);
    await expect(guard({ SCRATCH_SOURCE: renamed })).rejects.toThrow('the rehearsal source is the source itself');
    await expect(guard({ SCRATCH_TARGET: target.url('postgres') })).rejects.toThrow('is on the server of the target');
    await expect(guard({ SCRATCH_TARGET: environment.SCRATCH_SOURCE! })).rejects.toThrow('give each its own');
  });

  it('refuses production behind a pooler or a proxy: the server is asked, not the address', async () => {
    const { hostname, port } = new URL(environment.TARGET!);
    const proxy = createServer((client) => {
      const server = connect(Number(port), hostname);
      client.pipe(server).pipe(client);
      for (const end of [client, server]) end.on('error', () => (client.destroy(), server.destroy()));
    }).listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    const behind = new URL(environment.TARGET!);
    behind.port = String((proxy.address() as AddressInfo).port);
    await expect(guard({ SCRATCH_TARGET: behind.href })).rejects.toThrow('the rehearsal target is the target itself');
    proxy.close();
  });

  it('binds the scratch servers to what it has seen: production behind the same reference later is never reached', async () => {
    const { servers } = await guard({});
    const moved = { ...environment, SCRATCH_SOURCE: environment.SOURCE!, SCRATCH_TARGET: environment.TARGET! };
    const connections = new PostgresConnections(moved);
    const bound = { ...scope, migration: 'shop-to-18-rehearsal-1', ...servers! };
    const elsewhere = 'leads to another server by now';
    const fence = createFenceActivities({ ...dependencies, connections });
    await expect(fence.inspectAccess({ scope: bound, side: 'source' })).rejects.toThrow(elsewhere);
    // pg_dump and pg_restore, and the strings of subscriptions.
    await expect(connections.toolEnvironment(bound.target)).rejects.toThrow(elsewhere);
    await expect(connections.connectionString(bound.source)).rejects.toThrow(elsewhere);
    const still = new PostgresConnections(environment);
    expect(await still.connectionString(bound.target)).toBe(environment.SCRATCH_TARGET);
  });

  it('refuses what it cannot tell apart, until the grant that it names is made', async () => {
    await inScratch('postgres', (client) => client.query(`create role blind login password '${scratch.password}'`));
    const blind = { SCRATCH_SOURCE: scratch.url('scratch source', 'blind') };
    await inScratch('scratch source', (client) =>
      client.query('revoke execute on function pg_control_system() from public'),
    );
    const told = await guard(blind).then(() => '', String);
    const grant = /grant execute on function pg_control_system\(\) to "blind"/.exec(told)?.[0];
    expect(told).toContain('cannot be told apart');
    await inScratch('scratch source', (client) => client.query(grant ?? ''));
    expect((await guard(blind)).evidence).toHaveLength(4);
    await inScratch('scratch source', (client) =>
      client.query(
        'grant execute on function pg_control_system() to public; revoke execute on function pg_control_system() from blind',
      ),
    );
  });
});

describe('the scratch databases', () => {
  it('are filled with the backup, every count equal, its rows stay, and they are emptied again', async () => {
    const taken = await take();
    const { inventories, evidence } = await activities().prepareScratch({ scope, rehearsal, filledByHand: false });
    expect(evidence.at(-1)).toBe('both scratch databases are empty');
    const { verifySnapshot } = createSnapshotActivities(dependencies);
    const restore = { servers: rehearsal, inventory: inventories.source! };
    const request = { scope, snapshot: dump, result: taken, restore };
    const verified = await verifySnapshot(request);
    expect(verified.method).toBe('restore');
    expect(verified.evidence.join()).toContain('2000 rows in 2 tables, each count equal');
    expect(await tables('scratch source')).toEqual(['empty.nothing', 'public.Order "lines']);
    // Another attempt begins with what it finds.
    expect((await verifySnapshot(request)).method).toBe('restore');

    // A rehearsal that died left its fence, its ledger and rows.
    const dead = {
      ...scope,
      migration: `${scope.migration}-rehearsal-1`,
      source: rehearsal.source,
      target: rehearsal.target,
    };
    const fence = createFenceActivities(dependencies);
    const former = await fence.inspectAccess({ scope: dead, side: 'source' });
    await fence.raiseFence({ scope: dead, side: 'source', former });
    await inScratch('scratch target', (client) =>
      client.query('create schema cutover; create table public.half (id int)'),
    );
    const emptied = await activities().emptyScratch({ scope, rehearsal, inventories });
    expect(emptied.left).toEqual([]);
    expect([...(await tables('scratch source')), ...(await tables('scratch target'))]).toEqual([]);
    const roles = await inScratch('scratch source', (client) =>
      client.query(`select from pg_roles where rolname = 'reader'`),
    );
    expect(roles.rowCount).toBe(0);
    const limit = await inScratch('scratch source', (client) =>
      client.query('select datconnlimit as limit from pg_database where datname = current_database()'),
    );
    expect(limit.rows).toEqual([{ limit: -1 }]);
    // Found as they were before: a second rehearsal may begin.
    expect(
      (await activities().prepareScratch({ scope, rehearsal, filledByHand: false })).inventories.source,
    ).toBeDefined();
    expect((await activities().emptyScratch({ scope, rehearsal, inventories })).dropped).toBe(0);
  });

  it('that hold anything of somebody else are refused and left alone, with the statement that makes them anew', async () => {
    await inScratch('scratch target', (client) => client.query('create table public.precious (id int)'));
    const told = await activities()
      .prepareScratch({ scope, rehearsal, filledByHand: false })
      .then(() => '', String);
    expect(told).toMatch(/rehearsal\.target is not empty: .*precious.*drop database "scratch target"/);
    expect(await tables('scratch target')).toEqual(['public.precious']);
    await inScratch('scratch target', (client) => client.query('drop table public.precious'));
  });

  it('are looked at again before every write: a reference that leads to production by now is refused', async () => {
    const taken = await take();
    const { inventories } = await activities().prepareScratch({ scope, rehearsal, filledByHand: false });
    const connections = new PostgresConnections({ ...environment, SCRATCH_SOURCE: environment.SOURCE! });
    const moved = { ...dependencies, connections };
    const restore = { servers: rehearsal, inventory: inventories.source! };
    const work = createSnapshotActivities(moved).verifySnapshot({ scope, snapshot: dump, result: taken, restore });
    await expect(work).rejects.toThrow('A rehearsal never runs on production');
    const emptying = createRehearsalActivities(moved).emptyScratch({ scope, rehearsal, inventories });
    expect(await emptying.then(() => 'no failure', failureType)).toBe('PreconditionFailed');
    expect((await admin.query('select from public."Order ""lines"')).rowCount).toBe(2_000);
  });
});
