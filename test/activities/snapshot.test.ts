import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { MockActivityEnvironment } from '@temporalio/testing';
import { Client } from 'pg';
import { createFileStore } from '../../activities/artifacts/file-store';
import type { ClientTools } from '../../activities/postgres/client-tools';
import type { PostgresDependencies } from '../../activities/dependencies';
import { failureType } from '../../activities/errors';
import { PostgresConnections } from '../../activities/postgres/connection';
import type { PostgresScope } from '../../activities/postgres/scope';
import { createSnapshotActivities } from '../../activities/postgres/snapshot';
import { commandEnvironment } from '../../activities/postgres/snapshot/command';
import { snapshotApplicationName } from '../../activities/postgres/snapshot/dump';
import { scratchDatabase } from '../../activities/postgres/snapshot/scratch';
import type { Snapshot } from '../../plan/postgres';
import { locateClientTools } from '../../worker/client-tools';
import { startPostgres, type PostgresServer } from '../../local/postgres-server';

const dump: Snapshot = { kind: 'pg_dump' };
const name = 'shop';

let source: PostgresServer;
let scratch: PostgresServer;
let admin: Client;
let root: string;
let tools: ClientTools;
let dependencies: PostgresDependencies;
const scope: PostgresScope = {
  migration: 'Shop/to-18',
  source: { env: 'SOURCE' },
  target: { env: 'TARGET' },
  tables: { include: ['*.*'], exclude: [] },
};

beforeAll(async () => {
  tools = await locateClientTools(process.env);
  [source, scratch] = await Promise.all([startPostgres({ major: 15 }), startPostgres({ major: 18 })]);
  const url = await source.createDatabase('shop');
  admin = new Client({ connectionString: url, application_name: 'shop' });
  await admin.connect();
  await admin.query(`create table public."Order ""lines" (id int primary key, note text);
    insert into public."Order ""lines" select n, repeat(md5(n::text), 20) from generate_series(1, 20000) n;
    create schema empty; create table empty.nothing (id int);
    create table public.parts (id int) partition by range (id); create table public.part_1 partition of public.parts for values from (0) to (100);
    insert into public.parts select generate_series(1, 9); select lo_create(4711);
    create role reader; create policy seen on public.parts for select to reader using (true)`);
});
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'cutover-snapshot-'));
  const connections = new PostgresConnections({
    SOURCE: source.url('shop'),
    TARGET: 'postgresql://postgres@127.0.0.1:1/away',
    SCRATCH: scratch.url(),
    SAME: source.url(),
  });
  dependencies = { connections, tools, artifacts: createFileStore(pathToFileURL(root).href) };
});
afterEach(() => rm(root, { recursive: true, force: true }));
afterAll(async () => {
  await admin.end();
  await Promise.all([source.stop(), scratch.stop()]);
});

const activities = (changed: Partial<PostgresDependencies> = {}) =>
  createSnapshotActivities({ ...dependencies, ...changed });
const typeOf = (work: Promise<unknown>) => work.then(() => 'no failure', failureType);
async function files(): Promise<string[]> {
  return (await readdir(root, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name);
}
/** With the roles that policies of a backup name. */
async function scratchDatabases(): Promise<{ datname: string }[]> {
  const client = new Client({ connectionString: scratch.url() });
  await client.connect();
  const { rows } = await client.query<{ datname: string }>(
    `select datname from pg_database where datname like 'cutover%' union all select rolname from pg_roles where rolname = 'reader'`,
  );
  await client.end();
  return rows;
}

describe('a snapshot by pg_dump', () => {
  it('is a whole archive in the artifact store, verified by digest and by the rows of every selected table', async () => {
    const taken = await activities().takeSnapshot({ scope, snapshot: dump, name });
    expect(taken).toMatchObject({ kind: 'pg_dump', artifact: { name: 'shop.dump' } });
    expect(taken.bytes).toBeGreaterThan(10_000);
    const verified = await activities().verifySnapshot({ scope, snapshot: dump, result: taken });
    expect(verified.method).toBe('list+checksum');
    expect(verified.evidence.join()).toContain('the rows of all 3 selected tables');
  });

  it('is proved by restoring it on the scratch server, equal in every count although the source goes on writing', async () => {
    let writing = true;
    const writer = (async () => {
      for (let id = 100_000; writing; id += 1)
        await admin.query(`insert into public."Order ""lines" values (${id}, '')`);
    })();
    const taken = await activities().takeSnapshot({ scope, snapshot: dump, name });
    const verified = await activities().verifySnapshot({
      scope,
      snapshot: dump,
      result: taken,
      scratch: { env: 'SCRATCH' },
    });
    writing = false;
    await writer;
    expect(verified.method).toBe('restore');
    expect(verified.evidence.join()).toMatch(/\d+ rows in 3 tables, each count equal/);
    expect(await scratchDatabases()).toEqual([]);
  });

  it('is taken of the target as well, and proved, without a look at the source', async () => {
    const swapped = { ...scope, source: { env: 'NOWHERE' }, target: scope.source };
    const taken = await activities().takeSnapshot({ scope: swapped, snapshot: dump, name, side: 'target' });
    const verify = { scope: swapped, snapshot: dump, result: taken, side: 'target' } as const;
    const verified = await activities().verifySnapshot({ ...verify, scratch: { env: 'SCRATCH' } });
    expect(verified.method).toBe('restore');
    await expect(activities().verifySnapshot({ ...verify, scratch: { env: 'SAME' } })).rejects.toThrow(
      'Point rehearsal.target at a server of its own',
    );
  });

  it('is restored without its subscriptions, which would begin to replicate', async () => {
    await admin.query(
      `create subscription feed connection 'dbname=nowhere' publication p with (connect = false, slot_name = none)`,
    );
    try {
      const taken = await activities().takeSnapshot({ scope, snapshot: dump, name });
      const verify = { scope, snapshot: dump, result: taken, scratch: { env: 'SCRATCH' } };
      expect((await activities().verifySnapshot(verify)).method).toBe('restore');
    } finally {
      await admin.query('drop subscription feed');
    }
    expect(await scratchDatabases()).toEqual([]);
  });

  it("ends the pg_dump that a killed worker left behind, and nobody else's", async () => {
    const open = async (migration: string): Promise<Client> => {
      const client = new Client({
        connectionString: source.url('shop'),
        application_name: snapshotApplicationName(migration),
      });
      client.on('error', () => undefined);
      await client.connect();
      return client;
    };
    const orphan = await open(scope.migration);
    const other = await open('another migration');
    const ended = expect(orphan.query('select pg_sleep(60)')).rejects.toThrow('terminating connection');
    await activities().takeSnapshot({ scope, snapshot: dump, name });
    await ended;
    expect((await other.query('select 1')).rowCount).toBe(1);
    await other.end();
  });

  it('that has been damaged or lacks a table is not called verified', async () => {
    const taken = await activities().takeSnapshot({ scope, snapshot: dump, name });
    await admin.query('create table public.later (id int)');
    expect(await typeOf(activities().verifySnapshot({ scope, snapshot: dump, result: taken }))).toBe(
      'VerificationMismatch',
    );
    await admin.query('drop table public.later');
    const path = fileURLToPath(taken.artifact!.url);
    await truncate(path, 5_000);
    await utimes(path, 1, 1);
    expect(await typeOf(activities().verifySnapshot({ scope, snapshot: dump, result: taken }))).toBe(
      'VerificationMismatch',
    );
  });

  it('is never restored on a server of production, of whichever side, nor over a database that somebody else made', async () => {
    const taken = await activities().takeSnapshot({ scope, snapshot: dump, name });
    const verify = (env: string) =>
      activities().verifySnapshot({ scope, snapshot: dump, result: taken, scratch: { env } });
    await expect(verify('SAME')).rejects.toThrow('a rehearsal never runs on production');
    const used = { ...scope, target: { env: 'SCRATCH' } };
    await expect(
      activities().verifySnapshot({ scope: used, snapshot: dump, result: taken, scratch: { env: 'SCRATCH' } }),
    ).rejects.toThrow('is the server of the target');
    const client = new Client({ connectionString: scratch.url() });
    await client.connect();
    await client.query(`create database ${scratchDatabase(scope.migration)}`);
    await client.query(`comment on database ${scratchDatabase(scope.migration)} is 'precious'`);
    expect(await typeOf(verify('SCRATCH'))).toBe('TargetConflict');
    await client.query(`comment on database ${scratchDatabase(scope.migration)} is null`);
    await client.end();
    expect((await verify('SCRATCH')).method).toBe('restore');
    expect(await scratchDatabases()).toEqual([]);
  });

  it('ends pg_dump when it is cancelled, and leaves no partial file and no session', async () => {
    const environment = new MockActivityEnvironment();
    const blocker = new Client({ connectionString: source.url('shop') });
    await blocker.connect();
    await blocker.query('begin; lock table empty.nothing in access exclusive mode');
    const running = environment.run(activities().takeSnapshot, { scope, snapshot: dump, name });
    const ours = `select pid from pg_stat_activity where application_name like 'cutover snapshot%'`;
    const sessions = async (): Promise<number> => (await admin.query(ours)).rows.length;
    while ((await sessions()) < 2) await sleep(20);
    environment.cancel('CANCELLED');
    await expect(running).rejects.toThrow();
    while ((await sessions()) > 0) await sleep(20);
    await blocker.query('rollback');
    await blocker.end();
    expect(await files()).toEqual([]);
  });

  it('without the tool, or with a disk that is full, says so and leaves nothing', async () => {
    expect(await typeOf(activities({ tools: {} }).takeSnapshot({ scope, snapshot: dump, name }))).toBe(
      'PreconditionFailed',
    );
    const fake = join(root, 'pg_dump');
    await writeFile(
      fake,
      '#!/bin/sh\necho "pg_dump: error: could not write to output file: No space left on device" >&2; exit 1\n',
      { mode: 0o755 },
    );
    const full = activities({ tools: { pgDump: fake } }).takeSnapshot({ scope, snapshot: dump, name });
    await expect(full).rejects.toThrow(`the artifact directory ${root} is full`);
    expect(await files()).toEqual(['pg_dump']);
  });
});

describe('a snapshot by a command', () => {
  const command = (line: string[], rest: object = {}): Snapshot => ({
    kind: 'command',
    command: line,
    timeout: '30s',
    ...rest,
  });

  it('is what the command printed, with what looks like a credential masked', async () => {
    const snapshot = command(['/bin/echo', 'made', 'postgresql://app:hunter2@db/x', 'password=hunter2'], {
      verify: ['/bin/echo', 'available'],
    });
    const taken = await activities().takeSnapshot({ scope, snapshot, name });
    expect(taken.output).toBe('made postgresql://***@db/x password=***');
    expect(await activities().verifySnapshot({ scope, snapshot, result: taken })).toMatchObject({
      method: 'command',
      evidence: ['/bin/echo ended with exit code 0', 'available'],
    });
  });

  it('fails with its last words, its time limit or its absence', async () => {
    const take = (snapshot: Snapshot) => activities().takeSnapshot({ scope, snapshot, name });
    await expect(take(command(['/bin/sh', '-c', 'echo quota exceeded >&2; exit 3']))).rejects.toThrow(
      'exit code 3: quota exceeded',
    );
    await expect(take(command(['/no/such/aws']))).rejects.toThrow('cannot be run on this worker (ENOENT)');
    await expect(take(command(['/bin/sleep', '30'], { timeout: '200ms' }))).rejects.toThrow('its time limit');
  });

  it('does not get the connection strings of the migration', () => {
    const given = {
      SOURCE: 'x',
      OTHER: 'postgresql://u:p@h/d',
      PGPASSWORD: 'x',
      TEMPORAL_API_KEY: 'x',
      AWS_REGION: 'eu',
      PATH: '/bin',
    };
    expect(commandEnvironment(given, [scope.source])).toEqual({ AWS_REGION: 'eu', PATH: '/bin' });
  });
});

it('by somebody else is written down and not called verified', async () => {
  const snapshot: Snapshot = { kind: 'none', reason: 'nightly backup by the storage team' };
  const taken = await activities().takeSnapshot({ scope, snapshot, name });
  expect(taken.output).toBe('nightly backup by the storage team');
  expect((await activities().verifySnapshot({ scope, snapshot, result: taken })).method).toBe('none');
  expect(existsSync(root)).toBe(true);
});
