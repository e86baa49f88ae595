import { setTimeout as sleep } from 'node:timers/promises';
import { MockActivityEnvironment } from '@temporalio/testing';
import { Client } from 'pg';
import { failureType } from '../../activities/errors';
import {
  createIncrementalActivities,
  type PassLaneProgress,
  type PassSummary,
} from '../../activities/postgres/incremental';
import { agreeOnHashing, keyNumber } from '../../activities/postgres/incremental/hashing';
import { incrementalSchema } from '../../plan/incremental';
import { copyAll, copyRig, type CopyRig } from '../fixtures/copy-rig';
import { failureOf } from '../fixtures/failure-of';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';
import { until } from '../fixtures/until';

/** What a pass can stumble over, each in a small table. */
const fill = `
create table public.accounts (id int primary key, email text unique, note text);
insert into public.accounts select i, 'a' || i, case when i % 3 > 0 then 'note ' || i end from generate_series(1, 300) i;
create table public.measured (id int, region text, value numeric, primary key (id, region)) partition by list (region);
create table public.measured_north partition of public.measured for values in ('north');
create table public.measured_south partition of public.measured for values in ('south');
insert into public.measured select i, case when i % 2 = 0 then 'north' else 'south' end, i / 7.0 from generate_series(1, 100) i;
create table public.journal (line text, at timestamptz default '2020-01-01');
insert into public.journal (line) select 'line ' || i % 20 from generate_series(1, 60) i;
create table public."Odd ""Table" ("Key" int generated always as identity primary key, "select" text, twice text generated always as ("select" || "select") stored);
insert into public."Odd ""Table" ("select") select 'odd ' || i from generate_series(1, 30) i;
create unlogged table public.fleeting (id uuid primary key default gen_random_uuid(), n int);
insert into public.fleeting (n) select generate_series(1, 50);
create table public.seen (what text);
create table public.noted (id int primary key, parent int references public.accounts on delete cascade);
insert into public.noted select i, i from generate_series(1, 20) i;
create function public.note() returns trigger language plpgsql as 'begin insert into public.seen values (tg_op); return null; end';
create trigger note after insert or update or delete on public.noted for each row execute function public.note();
alter table public.noted enable always trigger note;
create table public.nothing ()`;

/** One change of each kind; `round` keeps them apart. */
const change = (round: number): string => `
begin;
update public.accounts set email = 'held' where id = 1;
update public.accounts set email = (select email from public.accounts where id = 1 + ${round}) || 'x' where id = 2;
update public.accounts set email = 'a${round}' || 'swap' where id = 1;
delete from public.accounts where id = ${100 + round};
insert into public.accounts values (${1000 + round}, 'a${100 + round}', null);
update public.accounts set id = ${2000 + round} where id = ${200 + round};
update public.accounts set note = null where id = ${10 + round};
update public.measured set region = case region when 'north' then 'south' else 'north' end where id in (${round}, ${round + 1});
delete from public.measured where id = ${50 + round};
insert into public.journal (line) values ('line 1'), ('line 1'), (null);
delete from public.journal where ctid = (select min(ctid) from public.journal);
insert into public."Odd ""Table" ("select") values ('new ${round}'), (null);
update public."Odd ""Table" set "select" = 'changed ${round}' where "Key" = ${round};
insert into public.fleeting (n) values (${round});
delete from public.noted where id = ${15 + round};
insert into public.noted values (${500 + round}, 1);
insert into public.nothing default values;
commit;
begin;
update public.accounts set email = 'swapping' where id = 30;
update public.accounts set email = 'a30 ${round}' where id = 31;
update public.accounts set email = 'a31 ${round}' where id = 30;
commit`;

const settings = incrementalSchema.parse({});

let pair: PostgresPair;
const rigs: CopyRig[] = [];
const sessions: Client[] = [];

async function freshRig(statements = fill): Promise<CopyRig> {
  const rig = await copyRig(pair, statements);
  rigs.push(rig);
  return rig;
}

/** An application's session on the source. */
async function application(rig: CopyRig): Promise<Client> {
  const session = new Client({
    connectionString: await rig.dependencies.connections.connectionString(rig.scope.source),
    application_name: 'shop',
  });
  session.on('error', () => undefined);
  await session.connect();
  sessions.push(session);
  return session;
}

beforeAll(async () => {
  pair = await startPair({ max_prepared_transactions: '4' });
});
afterAll(async () => {
  await Promise.all(sessions.map((session) => session.end().catch(() => undefined)));
  for (const rig of rigs) await rig.end();
  await pair.stop();
});

async function firstCopy(rig: CopyRig): Promise<void> {
  await rig.activities.prepareLedger({ scope: rig.scope });
  await createIncrementalActivities(rig.dependencies).beginIncremental({ scope: rig.scope });
  await copyAll(rig);
}

interface PassOptions {
  settings?: typeof settings;
  changes?: 'digest';
  tables?: string[];
}

async function runPass(
  { dependencies, scope }: CopyRig,
  pass: number,
  options: PassOptions = {},
): Promise<PassSummary> {
  const incremental = createIncrementalActivities(dependencies);
  const asked = { settings, ...options };
  await incremental.beginPass({ scope, pass, ...asked });
  await Promise.all([0, 1].map((lane) => incremental.passLane({ scope, pass, lane, settings: asked.settings })));
  return incremental.summarizePass({ scope, pass });
}

async function unequalTables(rig: CopyRig): Promise<string[]> {
  const { records, tables } = await rig.activities.compareTables({
    scope: rig.scope,
    checksum: 'all',
    lanes: 2,
    attempt: `${Math.random()}`,
  });
  const unequal = tables.filter(({ equal }) => equal !== true).map(({ table }) => table);
  if (unequal.length === 0) expect(records.map(({ outcome }) => outcome)).toEqual(records.map(() => 'pass'));
  return unequal;
}

async function how(rig: CopyRig, pass: number): Promise<Record<string, string>> {
  const { rows } = await rig.target.query<{ name: string; changes: string }>(
    'select table_name as name, changes from cutover.pass_table where pass = $1',
    [pass],
  );
  return Object.fromEntries(rows.map(({ name, changes }) => [name, changes]));
}

describe('a pass', () => {
  it('reads with the hash of the servers where both have the same, and with md5 where they do not', async () => {
    const rig = await freshRig('create table public.nothing ()');
    expect(await agreeOnHashing(rig.source, rig.target)).toEqual({ quick: true, hash: 'md5' });
    const other = { query: () => Promise.resolve({ rows: [{ string_agg: '1 2' }] }) } as unknown as Client;
    expect(await agreeOnHashing(rig.source, other)).toEqual({ quick: false, hash: 'md5' });
    const relation = { schema: 'public', name: 'nothing', columns: [{ name: 'id', type: 'integer' }], key: ['id'] };
    expect(keyNumber({ ...relation, bytes: 0, pages: 0 }, { quick: false, hash: 'md5' })).toContain('md5(');
  });

  it('brings every kind of change, before the target has indexes and with them, and sets off no trigger', async () => {
    const rig = await freshRig();
    await firstCopy(rig);
    await rig.source.query(change(1));
    expect(await unequalTables(rig)).not.toEqual([]);
    const first = await runPass(rig, 1);
    expect(await unequalTables(rig)).toEqual([]);
    expect(first).toMatchObject({ tables: 9, done: true });
    expect(first.tablesChanged).toBe(9);
    expect(Number(first.deleted)).toBeGreaterThan(3);
    expect(first.slowest).toHaveLength(5);
    expect(first.endedAt).toBeDefined();
    expect(await how(rig, 1)).toMatchObject({ accounts: 'row-version', journal: 'digest', nothing: 'digest' });

    await rig.load('post-data');
    await rig.source.query(change(2));
    await runPass(rig, 2);
    expect(await unequalTables(rig)).toEqual([]);
    const { rows } = await rig.target.query<{ enabled: string }>(
      `select tgenabled as enabled from pg_trigger where tgname = 'note'`,
    );
    expect(rows).toEqual([{ enabled: 'A' }]);

    // Had the trigger fired on the target, there would be more lines in public.seen than on the source.
    await rig.source.query('alter table public.noted disable trigger note; delete from public.noted where id = 3');
    expect(await runPass(rig, 3, { tables: ['public.noted'] })).toMatchObject({ tables: 1, deleted: '1' });
    expect(await unequalTables(rig)).toEqual([]);
  });

  it('that is finished does nothing when it is asked again', async () => {
    const rig = await freshRig();
    await firstCopy(rig);
    const summary = await runPass(rig, 1);
    await rig.source.query(change(1));
    const incremental = createIncrementalActivities(rig.dependencies);
    expect(await incremental.beginPass({ scope: rig.scope, pass: 1, settings })).toEqual({ tables: 9 });
    const lane = { scope: rig.scope, pass: 1, lane: 0, settings };
    expect(await incremental.passLane(lane)).toEqual({ tables: 0, rows: '0', deleted: '0', bytes: 0 });
    expect(await incremental.summarizePass({ scope: rig.scope, pass: 1 })).toEqual(summary);
  });

  it('after a copy from under a writer leaves no row missing, left over or there twice', async () => {
    const rig = await freshRig(`
      create table public.busy (id int primary key, body text, n int default 0);
      insert into public.busy select i, repeat(md5(i::text), 4) from generate_series(1, 20000) i`);
    const { activities, scope } = rig;
    await activities.prepareLedger({ scope });
    await createIncrementalActivities(rig.dependencies).beginIncremental({ scope });
    await activities.planChunks({ scope, chunkMegabytes: 0.2 });
    await activities.tuneCopy({ scope, maxBytesPerSecond: 3_000_000 });
    const writer = await application(rig);
    let copied = false;
    let turns = 0;
    const writing = (async () => {
      for (; !copied; turns += 1) {
        await writer.query(`update public.busy set n = n + 1, body = body || 'x' where id % 97 = ${turns % 97}`);
        await writer.query(`update public.busy set id = id + 100000 where id = ${1 + ((turns * 13) % 20000)}`);
        await writer.query(`delete from public.busy where id = ${2 + ((turns * 17) % 20000)}`);
        await writer.query(`insert into public.busy values (${50_000 + turns}, 'new')`);
        if (turns % 20 === 0) await writer.query('vacuum public.busy');
      }
    })();
    await Promise.all([0, 1].map((lane) => activities.copyLane({ scope, lane })));
    await activities.tuneCopy({ scope, maxBytesPerSecond: 0 });
    copied = true;
    await writing;
    expect(turns).toBeGreaterThan(20);
    expect(await unequalTables(rig)).toEqual(['public.busy']);
    const inSmallParts = incrementalSchema.parse({ chunkTarget: '1ms' });
    await runPass(rig, 1, { settings: inSmallParts });
    expect(await unequalTables(rig)).toEqual([]);
    // Only unique rows make a primary key.
    await rig.load('post-data');
    expect(await runPass(rig, 2, { settings: inSmallParts, changes: 'digest' })).toMatchObject({ tablesChanged: 0 });
  });

  it('writes few more rows than have changed to a table without a key', async () => {
    const rig = await freshRig(`
      create table public.lines (at timestamptz, line text);
      insert into public.lines select '2020-01-01', 'line ' || i % 19000 from generate_series(1, 20000) i`);
    await firstCopy(rig);
    await rig.source.query(`
      insert into public.lines select now(), 'new ' || i from generate_series(1, 200) i;
      insert into public.lines values ('2020-01-01', 'line 1'), (null, null), (null, null);
      delete from public.lines where ctid in (select ctid from public.lines order by ctid limit 5);
      update public.lines set line = 'changed' where line in ('line 7000', 'line 7001')`);
    const { rows, deleted, tablesChanged } = await runPass(rig, 1);
    expect(tablesChanged).toBe(1);
    expect(Number(rows)).toBeGreaterThanOrEqual(205);
    expect(Number(rows)).toBeLessThan(300);
    expect(deleted).toBe('0');
    expect(await unequalTables(rig)).toEqual([]);
  });

  it('of one snapshot lets foreign keys be built while the source is written to', async () => {
    const rig = await freshRig(`
      create table public.parents (id int primary key, body text);
      create table public.children (id int primary key references public.parents);
      insert into public.parents select i, repeat('x', 200) from generate_series(1, 20000) i;
      insert into public.children select generate_series(1, 1000)`);
    await firstCopy(rig);
    const writer = await application(rig);
    let passed = false;
    const writing = (async () => {
      for (let id = 30_000; !passed; id += 1) {
        await writer.query(`insert into public.parents values (${id}); insert into public.children values (${id})`);
      }
    })();
    const incremental = createIncrementalActivities(rig.dependencies);
    await incremental.beginPass({ scope: rig.scope, pass: 1, settings, oneSnapshot: true });
    const lanes = await Promise.all(
      [0, 1].map((lane) => incremental.passLane({ scope: rig.scope, pass: 1, lane, settings })),
    );
    passed = true;
    await writing;
    expect(lanes.map(({ tables }) => tables).sort()).toEqual([0, 2]);
    await rig.load('post-data');
    await runPass(rig, 2);
    expect(await unequalTables(rig)).toEqual([]);
  });
});

describe('what commits late, is written by a clock that is behind, or leaves the update column alone', () => {
  const names = ['told', 'indexed', 'untold'];
  const timed = names
    .map(
      (name) => `
      create table public.${name} (id int primary key, body text, updated_at timestamptz not null);
      insert into public.${name} select i, 'body', '2020-01-01' from generate_series(1, 200) i`,
    )
    .join(';')
    .concat(';create index on public.indexed (updated_at)');
  const byColumn = incrementalSchema.parse({
    updateColumns: names.slice(0, 2).map((name) => ({ table: `public.${name}`, column: 'updated_at' })),
  });

  it('is brought by row version; by the column all but the last, which the digest finds', async () => {
    const rig = await freshRig(timed);
    const late = await application(rig);
    await late.query('begin');
    for (const table of names) {
      await late.query(`insert into public.${table} values (900, 'late', now())`);
    }
    await firstCopy(rig);
    await late.query('commit');
    for (const table of names) {
      await rig.source
        .query(`update public.${table} set body = 'behind', updated_at = now() - '3 minutes'::interval where id = 3;
        update public.${table} set body = 'silent' where id = 2; delete from public.${table} where id = 4`);
    }
    await runPass(rig, 1, { settings: byColumn });
    expect(await how(rig, 1)).toEqual({ told: 'update-column', indexed: 'update-column', untold: 'row-version' });
    expect((await unequalTables(rig)).sort()).toEqual(['public.indexed', 'public.told']);
    for (const table of ['told', 'indexed']) {
      const { rows } = await rig.target.query<{ id: number; body: string }>(
        `select id, body from public.${table} where id in (2, 3, 4, 900) order by id`,
      );
      expect(rows).toEqual([
        { id: 2, body: 'body' },
        { id: 3, body: 'behind' },
        { id: 900, body: 'late' },
      ]);
    }
    const repair = await runPass(rig, 2, {
      settings: byColumn,
      changes: 'digest',
      tables: ['public.told', 'public.indexed'],
    });
    expect(repair).toMatchObject({ tables: 2, tablesChanged: 2, rows: '2', deleted: '0', done: true });
    expect(await unequalTables(rig)).toEqual([]);
  });

  it('is told by columns that round, are empty, alike or in the future; keys that come, go or move need no column', async () => {
    const types = { rounded: 'timestamp(0)', daily: 'date', zoned: 'timestamptz(0)' };
    const tables = Object.entries(types).map(([name, type]) => ({ name: `public.${name}`, type }));
    const rig = await freshRig(
      tables
        .map(
          ({ name, type }) => `
      create table ${name} (id int, region text, body text, at ${type}, primary key (id, region)) partition by list (region);
      create table ${name}_north partition of ${name} for values in ('north');
      create table ${name}_south partition of ${name} for values in ('south');
      insert into ${name} select i, 'north', 'body', case when i % 2 = 0 then '2020-01-01'::timestamptz end from generate_series(1, 300) i;
      update ${name} set at = now() + '40 days'::interval where id = 30`,
        )
        .join(';'),
    );
    const settings = incrementalSchema.parse({
      updateColumns: tables.map(({ name }) => ({ table: name, column: 'at' })),
      overlap: '0s',
    });
    await firstCopy(rig);
    await runPass(rig, 1, { settings });
    for (const { name } of tables)
      await rig.source.query(`
        update ${name} set body = 'alike', at = now() where id in (1, 2, 3);
        update ${name} set body = 'still ahead' where id = 30;
        insert into ${name} values (900, 'north', 'without a time', null);
        delete from ${name} where id = 4;
        delete from ${name} where id = 5;
        insert into ${name} values (5, 'north', 'again', now());
        update ${name} set region = 'south' where id in (6, 7);
        update ${name} set id = 1000 where id = 8`);
    await runPass(rig, 2, { settings });
    expect(new Set(Object.values(await how(rig, 2)))).toEqual(new Set(['update-column']));
    expect(await unequalTables(rig)).toEqual([]);
  });

  it('gives a unique value to another row, although the update that freed it left the column alone', async () => {
    const rig = await freshRig(`
      create table public.people (id int primary key, email text unique, updated_at timestamptz not null);
      insert into public.people select i, 'a' || i, '2020-01-01' from generate_series(1, 200) i`);
    const settings = incrementalSchema.parse({ updateColumns: [{ table: 'public.people', column: 'updated_at' }] });
    await firstCopy(rig);
    await runPass(rig, 1, { settings });
    await rig.load('post-data');
    await rig.source.query(`
      update public.people set email = 'elsewhere' where id = 2;
      update public.people set email = 'a2', updated_at = now() where id = 1`);
    expect(await runPass(rig, 2, { settings })).toMatchObject({ rows: '2', deleted: '0', done: true });
    expect(await how(rig, 2)).toEqual({ people: 'digest' });
    expect(await unequalTables(rig)).toEqual([]);
  });

  it('is looked for by row version where nobody knows when open transactions began', async () => {
    const rig = await freshRig(timed);
    const late = await application(rig);
    await late.query(`begin; insert into public.told values (900, 'late', '2021-01-01'); prepare transaction 'late'`);
    await firstCopy(rig);
    await late.query(`commit prepared 'late'`);
    await runPass(rig, 1, { settings: byColumn });
    expect(await how(rig, 1)).toMatchObject({ told: 'row-version' });
    expect(await unequalTables(rig)).toEqual([]);
  });
});

describe('a target that somebody wrote to', () => {
  const small = `
    create table public.kept (id int primary key, body text);
    insert into public.kept select i, 'body ' || i from generate_series(1, 400) i;
    create table public.loose (body text);
    insert into public.loose select 'body ' || i % 7 from generate_series(1, 100) i`;

  it('gets back what is missing and loses what is there twice in any pass, and changed rows by digest', async () => {
    const rig = await freshRig(small);
    await firstCopy(rig);
    await rig.target
      .query(`delete from public.kept where id = 7; insert into public.kept select * from public.kept where id = 8;
      insert into public.kept values (9000, 'alien'); delete from public.loose where body = 'body 3'`);
    const first = await runPass(rig, 1);
    expect(first.deleted).toBe('1');
    expect(await unequalTables(rig)).toEqual([]);
    await rig.target
      .query(`update public.kept set body = 'other' where id = 9; insert into public.kept select * from public.kept where id = 10;
      insert into public.kept values (9000, 'alien')`);
    const second = await runPass(rig, 2, { changes: 'digest' });
    expect(second).toMatchObject({ rows: '1', deleted: '1', tablesChanged: 1 });
    expect(await unequalTables(rig)).toEqual([]);
    expect((await rig.target.query('select from public.kept')).rowCount).toBe(400);
  });

  it('is compared as a whole when its mark is of other transactions than the source has', async () => {
    const rig = await freshRig(small);
    await firstCopy(rig);
    await rig.target.query('update cutover.pass_mark set oldest_xid = oldest_xid + 4294967296');
    await rig.source.query(`update public.kept set body = 'changed' where id = 5`);
    expect((await runPass(rig, 1)).rows).toBe('1');
    expect(await how(rig, 1)).toEqual({ kept: 'digest', loose: 'digest' });
    expect(await unequalTables(rig)).toEqual([]);
  });
});

describe('a lane of a pass', () => {
  it('killed between its rows and its commit leaves nothing, and the next attempt brings all', async () => {
    const rig = await freshRig();
    const { scope } = rig;
    const incremental = createIncrementalActivities(rig.dependencies);
    await firstCopy(rig);
    await rig.load('post-data');
    await rig.source.query(change(1));
    await incremental.beginPass({ scope, pass: 1, settings, tables: ['public.accounts'] });
    // Whoever comes to note the new mark has put in its rows.
    await rig.target.query('begin; lock table cutover.pass_mark in exclusive mode');
    const lane = incremental.passLane({ scope, pass: 1, lane: 0, settings }).catch((error: unknown) => error);
    const looker = await rig.anotherSession();
    const waiting = `pg_stat_activity where datname = $1 and application_name like 'cutover pass lane%' and wait_event_type = 'Lock'`;
    await until(
      'the lane waits',
      async () => ((await looker.query(`select from ${waiting}`, [scope.migration])).rowCount ?? 0) > 0,
      60_000,
    );
    await looker.query(`select pg_terminate_backend(pid) from ${waiting}`, [scope.migration]);
    expect(failureType(await lane)).toBe('TargetUnavailable');
    await rig.target.query('rollback');
    expect((await rig.target.query('select from public.accounts where id = 1001')).rowCount).toBe(0);
    expect(await incremental.summarizePass({ scope, pass: 1 })).toMatchObject({ done: false, rows: '0' });
    await incremental.passLane({ scope, pass: 1, lane: 0, settings });
    expect(await incremental.summarizePass({ scope, pass: 1 })).toMatchObject({ done: true, tables: 1 });
    expect(await unequalTables(rig)).not.toContain('public.accounts');
  });

  it('waits while the source is under pressure, says why, and goes on by itself', async () => {
    const rig = await freshRig('create table public.brake (n int primary key); insert into public.brake values (1)');
    const { scope } = rig;
    const incremental = createIncrementalActivities(rig.dependencies);
    await firstCopy(rig);
    const pressed = incrementalSchema.parse({
      pressure: { probe: { sql: 'select count(*) from brake', max: 0 }, interval: '100ms', maxReplicationLag: '10s' },
    });
    await incremental.beginPass({ scope, pass: 1, settings: pressed });
    const environment = new MockActivityEnvironment();
    const beats: PassLaneProgress[] = [];
    environment.on('heartbeat', (progress: PassLaneProgress) => beats.push(progress));
    const lane = environment.run(() => incremental.passLane({ scope, pass: 1, lane: 0, settings: pressed }));
    await until('it waits', () => beats.some(({ waiting }) => waiting === 'the probe gives 1, more than 0'), 60_000);
    await sleep(300);
    expect(await incremental.summarizePass({ scope, pass: 1 })).toMatchObject({ done: false });
    await rig.source.query('delete from public.brake');
    expect(await lane).toMatchObject({ tables: 1, deleted: '1' });
    expect(beats.at(-1)).not.toHaveProperty('waiting');
  });

  it('brings again what a crash of the target took from a finished pass', async () => {
    const rig = await freshRig();
    const { scope } = rig;
    const incremental = createIncrementalActivities(rig.dependencies);
    await firstCopy(rig);
    await rig.load('post-data');
    await runPass(rig, 1);
    pair.target.kill();
    await pair.target.restart();
    await rig.reopenTarget();
    expect((await rig.target.query('select from public.fleeting')).rowCount).toBe(0);
    expect(await incremental.summarizePass({ scope, pass: 1 })).toMatchObject({ done: false });
    await incremental.passLane({ scope, pass: 1, lane: 0, settings });
    expect(await incremental.summarizePass({ scope, pass: 1 })).toMatchObject({ done: true });
    expect(await unequalTables(rig)).toEqual([]);
  });
});

describe('a pass that cannot be', () => {
  it('is refused with what to do: an update column that is none, a table that is not there, a copy that is not finished', async () => {
    const rig = await freshRig();
    const { scope } = rig;
    const incremental = createIncrementalActivities(rig.dependencies);
    await rig.activities.prepareLedger({ scope });
    expect(await incremental.beginIncremental({ scope })).toEqual({ tables: 9 });
    await rig.activities.planChunks({ scope, chunkMegabytes: 1 });
    const begin = (options: PassOptions): Promise<unknown> =>
      incremental.beginPass({ scope, pass: 1, settings, ...options });
    expect((await failureOf(begin({}))).message).toContain('Run the lanes of the copy to their end');
    await rig.activities.copyLane({ scope, lane: 0 });
    const column = incrementalSchema.parse({ updateColumns: [{ table: 'public.measured', column: 'value' }] });
    const noColumn = await failureOf(begin({ settings: column }));
    expect(noColumn.type).toBe('PreconditionFailed');
    expect(noColumn.message).toContain('public.measured.value: found numeric; expected a column of type timestamptz');
    expect((await failureOf(begin({ tables: ['public.none'] }))).message).toContain(
      'public.none: no such selected table',
    );
    expect((await failureOf(incremental.summarizePass({ scope, pass: 1 }))).message).toContain('was not begun');
    expect(await begin({ tables: ['public.measured'] })).toEqual({ tables: 2 });
  });
});
