// The reconciler and the backfill of dual writing on real servers: what the application has written stays, what differs and stands still is found
// and repaired, what merely moves is left alone.
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { createDualWriteActivities } from '../../activities/postgres/dual-write';
import type { ComparedLive } from '../../activities/postgres/dual-write';
import { createPreflightActivities } from '../../activities/postgres/preflight';
import { parsePostgresPlan } from '../../plan/parse';
import { copyRig, type CopyRig } from '../fixtures/copy-rig';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';
import { until } from '../fixtures/until';

const settleMs = 300;

const tables = `
create type public.mood as enum ('calm', 'busy');
create table public.accounts (id int primary key, balance numeric(12,2) not null, email text unique, body bytea);
insert into public.accounts select i, i, 'a' || i, decode(md5(i::text), 'hex') from generate_series(1, 3000) i;
create table public."Odd ""Name.s" ("Key, a" text, "mood" public.mood, "va""lue" text, primary key ("Key, a", mood));
insert into public."Odd ""Name.s" select 'k"(' || i || ',''\\', 'busy', E'tab\\there\\\\' || i from generate_series(1, 100) i;
create table public.drawn (id bigint generated always as identity primary key, v text, twice int generated always as (length(v) * 2) stored);
insert into public.drawn (v) select repeat('x', i) from generate_series(1, 50) i;
create table public.numbered (code text primary key, n bigint generated always as identity, v text);
insert into public.numbered (code, v) select 'c' || i, 'v' from generate_series(1, 50) i;
create table public.ranks (id int primary key, rank int not null unique deferrable initially deferred, name text unique);
insert into public.ranks select i, i, 'n' || i from generate_series(1, 50) i;
create table public.parts (id int, day date, v int, primary key (id, day)) partition by range (day);
create table public.parts_1 partition of public.parts for values from ('2024-01-01') to ('2024-02-01');
create table public.parts_2 partition of public.parts for values from ('2024-02-01') to ('2024-03-01');
insert into public.parts select i, date '2024-01-01' + i % 50, i from generate_series(1, 200) i;
create table public.children (id int primary key, parent int not null references public.accounts on delete cascade);
insert into public.children select i, i from generate_series(1, 100) i;
create unlogged table public.cache (id int primary key, v text);
insert into public.cache values (1, 'warm'), (2, 'cold');
create function public.refuse() returns trigger language plpgsql as $$ begin raise 'a trigger fired'; end $$;
create trigger refuse before insert or update or delete on public.drawn for each row when (current_setting('application_name') like 'cutover%') execute function public.refuse()`;

let pair: PostgresPair;
beforeAll(async () => {
  pair = await startPair();
});
afterAll(() => pair.stop(), 60_000);

interface Both extends CopyRig {
  live: ReturnType<typeof createDualWriteActivities>;
  compare: (judge?: 'source' | 'target') => Promise<ComparedLive>;
  repair: (found: ComparedLive, judge?: 'source' | 'target') => ReturnType<Both['live']['repairRows']>;
}

/** Keys on the empty target, chunks planned, nothing filled in. */
async function empty(): Promise<Both> {
  const rig = await copyRig(pair, tables);
  const live = createDualWriteActivities(rig.dependencies);
  const { scope } = rig;
  await rig.activities.prepareLedger({ scope });
  await rig.load('post-data');
  await rig.activities.planChunks({ scope, chunkMegabytes: 1 });
  return {
    ...rig,
    live,
    compare: (judge = 'source') => live.compareLive({ scope, judge, lanes: 2, settleMs }),
    repair: (found, judge = 'source') => {
      if (!found.differences) throw new Error('nothing differs');
      return live.repairRows({ scope, judge, differences: found.differences });
    },
  };
}

async function filled(): Promise<Both> {
  const both = await empty();
  await fillIn(both);
  return both;
}

const fillIn = ({ activities, scope }: Both, snapshot?: string) =>
  activities.copyLane({ scope, lane: 0, merge: true, ...(snapshot ? { snapshot } : {}) });

describe('the backfill', () => {
  it('never overwrites what the application has written, and brings everything else, triggers quiet', async () => {
    const both = await empty();
    const { source, target, compare } = both;
    // Written to both since: one changed, one new, and one whose e-mail has gone to another row.
    for (const client of [source, target]) {
      await client.query(`insert into public.accounts values (5001, 1, 'new', null)`);
    }
    await target.query(`insert into public.accounts values (7, 70, 'newer', null)`);
    await target.query(`insert into public.drawn (id, v) overriding system value values (9, 'newer')`);
    const { rows } = await fillIn(both);
    expect(Number(rows)).toBe(3_000 - 1 + 100 + 49 + 50 + 50 + 200 + 100 + 2);
    expect((await target.query(`select balance, email from public.accounts where id = 7`)).rows).toEqual([
      { balance: '70.00', email: 'newer' },
    ]);
    expect((await target.query(`select v, twice from public.drawn where id = 9`)).rows).toEqual([
      { v: 'newer', twice: 10 },
    ]);
    const found = await compare();
    expect(found).toMatchObject({ differing: 2, problems: [] });
    expect(found.lines.sort()).toEqual(['public.accounts key=(7): different', 'public.drawn key=(9): different']);
    await both.end();
  });

  it('leaves out what another row has the value of, and brings the rest', async () => {
    const both = await empty();
    const { target, compare, repair } = both;
    // What lost repeats leave behind: values that the source has given to other rows since.
    await target.query(`
      insert into public.ranks values (70, 7, 'n9'), (80, 88, 'n8');
      insert into public.accounts values (-7, 0, 'a7', null)`);
    const { rows } = await fillIn(both);
    expect(Number(rows)).toBe(3_000 - 1 + 100 + 50 + 50 + 50 - 2 + 200 + 100 + 2);
    const found = await compare();
    expect(found.byTable).toContainEqual({ table: 'public.ranks', insert: 2, update: 0, delete: 2 });
    expect(found.byTable).toContainEqual({ table: 'public.accounts', insert: 1, update: 0, delete: 1 });
    expect(await repair(found)).toMatchObject({ left: 0 });
    expect(await compare()).toMatchObject({ differing: 0, problems: [] });
    await both.end();
  });

  it('goes on after a deadlock with the application', async () => {
    const both = await empty();
    const app = new Client({ connectionString: pair.target.url(both.scope.migration) });
    await app.connect();
    await app.query(`set deadlock_timeout = '60s'; begin; insert into public.accounts values (3000, 0, 'newer', null)`);
    const filling = fillIn(both);
    await until('the backfill waits for the application', async () => {
      const { rows } = await both.target.query<{ waiting: string }>(
        `select count(*)::text as waiting from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      );
      return rows[0]?.waiting === '1';
    });
    // The backfill has this row, and waits for the other: it is the one that notices.
    await app.query(
      `insert into public.accounts values (1, 0, 'first', null) on conflict (id) do update set email = excluded.email`,
    );
    await app.query('commit');
    await app.end();
    await filling;
    expect(
      (await both.target.query(`select email from public.accounts where id in (1, 3000) order by id`)).rows,
    ).toEqual([{ email: 'first' }, { email: 'newer' }]);
    await both.end();
  });

  it('may bring back a row that was deleted meanwhile, or an older one: both are found and repaired', async () => {
    const both = await empty();
    const { source, target, compare, repair } = both;
    const before = new Client({ connectionString: pair.source.url(both.scope.migration) });
    await before.connect();
    await before.query('begin isolation level repeatable read');
    const { rows } = await before.query<{ s: string }>('select pg_export_snapshot() as s');
    for (const client of [source, target]) {
      await client.query('delete from public.accounts where id = 500');
      await client.query('update public.accounts set balance = -1 where id = 501');
    }
    await fillIn(both, rows[0]?.s);
    await before.end();
    const found = await compare();
    expect(found.byTable).toEqual([{ table: 'public.accounts', insert: 0, update: 1, delete: 1 }]);
    expect(await repair(found)).toEqual({ inserted: 0, updated: 1, deleted: 1, left: 0 });
    expect(await compare()).toMatchObject({ differing: 0, problems: [], moving: 0 });
    await both.end();
  });
});

/** What an application does: each write on the judge's side, and a moment later the same on the other. */
async function writeToBoth(both: Both, statement: (n: number) => string, lateMs: number) {
  const [first, second] = await Promise.all(
    (['source', 'target'] as const).map(async (side) => {
      const client = new Client({ connectionString: pair[side].url(both.scope.migration) });
      await client.connect();
      return client;
    }),
  );
  let going = true;
  const running = (async () => {
    for (let n = 0; going; n += 1) {
      await first?.query(statement(n));
      await sleep(lateMs);
      await second?.query(statement(n));
    }
    await Promise.all([first?.end(), second?.end()]);
  })();
  running.catch(() => undefined);
  return async (): Promise<void> => {
    going = false;
    await running;
  };
}

describe('the reconciler', () => {
  it('leaves rows alone that merely move', async () => {
    const both = await filled();
    const stop = await writeToBoth(
      both,
      (n) =>
        `insert into public.accounts values (${10_000 + n}, 0, null, null);
         update public.accounts set balance = balance + 1 where id <= 20;
         delete from public.accounts where id = ${3_000 - n}`,
      50,
    );
    const found = [await both.compare(), await both.compare()];
    await stop();
    expect(found.map(({ differing, problems }) => [differing, problems])).toEqual([
      [0, []],
      [0, []],
    ]);
    expect(found.reduce((sum, { moving }) => sum + moving, 0)).toBeGreaterThan(0);
    await both.end();
  });

  it.each(['source', 'target'] as const)(
    'finds and repairs differences of every kind, with the %s as judge',
    async (judge) => {
      const both = await filled();
      const wrong = both[judge === 'source' ? 'target' : 'source'];
      await wrong.query(`
      set session_replication_role = replica;
      delete from public.accounts where id in (1, 2, 3);
      update public.accounts set balance = 0, email = 'other', body = null where id = 4;
      -- Two values that are unique have changed places.
      update public.accounts set email = 'x' where id = 10;
      update public.accounts set email = 'a10' where id = 11;
      update public.accounts set email = 'a11' where id = 10;
      insert into public.accounts values (-1, 0, 'extra', null);
      delete from public."Odd ""Name.s" where "Key, a" like '%7%';
      update public."Odd ""Name.s" set "va""lue" = null where "Key, a" like '%5%';
      update public.drawn set v = 'longer than before' where id = 5;
      delete from public.drawn where id = 6;
      delete from public.numbered where code = 'c1';
      update public.numbered set v = 'w' where code = 'c2';
      insert into public.numbered (code, n, v) overriding system value values ('c99', 7, 'extra');
      update public.ranks set rank = 101 - rank where id <= 50;
      delete from public.parts where id = 9;
      update public.parts set v = -1 where id = 10;
      insert into public.children values (7777, 12345);
      truncate public.cache;
      set session_replication_role = origin`);
      const found = await both.compare(judge);
      expect(found.byTable.map(({ table }) => table).sort()).toEqual([
        'public.Odd "Name.s',
        'public.accounts',
        'public.cache',
        'public.children',
        'public.drawn',
        'public.numbered',
        'public.parts_1',
        'public.ranks',
      ]);
      expect(found.byTable).toContainEqual({ table: 'public.accounts', insert: 3, update: 3, delete: 1 });
      const { left, inserted, updated, deleted } = await both.repair(found, judge);
      expect(left).toBe(0);
      expect(inserted + updated + deleted).toBe(found.differing);
      expect(await both.compare(judge)).toMatchObject({ differing: 0, problems: [] });
      await both.end();
    },
    300_000,
  );

  it('writes what the judge has by then, where that is not what was shown', async () => {
    const both = await filled();
    const { source, target, compare, repair } = both;
    await target.query(`
      update public.accounts set balance = -5 where id in (501, 502, 503);
      delete from public.accounts where id in (601, 602);
      insert into public.accounts values (-1, 0, 'extra', null)`);
    const found = await compare();
    expect(found.byTable).toEqual([{ table: 'public.accounts', insert: 2, update: 3, delete: 1 }]);
    // While people think: changed, deleted, mended by a repeat, deleted, and put there after all.
    await source.query(`
      update public.accounts set balance = 42 where id = 501;
      delete from public.accounts where id in (502, 602);
      insert into public.accounts values (-1, 7, 'wanted', null)`);
    await target.query(`update public.accounts set balance = 503 where id = 503`);
    expect(await repair(found)).toMatchObject({ inserted: 1, deleted: 1, left: 0 });
    const accounts = 'select * from public.accounts order by id';
    expect((await target.query(accounts)).rows).toEqual((await source.query(accounts)).rows);
    await both.end();
  });

  it('comes to agree with an application that goes on writing to the very rows that are repaired', async () => {
    const both = await filled();
    await both.target.query(`
      update public.accounts set balance = -5 where id between 1 and 400;
      delete from public.accounts where id between 401 and 450 and id not in (select parent from public.children)`);
    const stop = await writeToBoth(
      both,
      (n) => `update public.accounts set balance = ${n} where id = ${1 + ((n * 7) % 400)}`,
      5,
    );
    let rounds = 0;
    for (let equal = 0; equal < 2 && rounds < 20; rounds += 1) {
      const found = await both.compare();
      equal = found.differing === 0 ? equal + 1 : 0;
      if (found.differing > 0) await both.repair(found);
    }
    await stop();
    expect(rounds).toBeLessThan(20);
    const accounts = 'select * from public.accounts order by id';
    expect((await both.target.query(accounts)).rows).toEqual((await both.source.query(accounts)).rows);
    await both.end();
  });

  it('carries sequences ahead of the other side, in either direction', async () => {
    const both = await filled();
    const { live, scope, source, target } = both;
    await live.carryLiveSequences({ scope, to: 'target', margin: 1_000 });
    const next = `select nextval('public.drawn_id_seq') as n`;
    expect((await target.query(next)).rows).toEqual([{ n: '1051' }]);
    await live.carryLiveSequences({ scope, to: 'source', margin: 1_000 });
    expect((await source.query(next)).rows).toEqual([{ n: '2052' }]);

    // Further, where more were drawn meanwhile; never back, where the other side draws from them already.
    await source.query(`select setval('public.drawn_id_seq', 5000)`);
    const further = { scope, to: 'target', margin: 1_000, onlyForward: true } as const;
    await live.carryLiveSequences(further);
    expect((await target.query(next)).rows).toEqual([{ n: '6001' }]);
    await target.query(`select setval('public.drawn_id_seq', 9000)`);
    await live.carryLiveSequences(further);
    expect((await target.query(next)).rows).toEqual([{ n: '9001' }]);
    await both.end();
  });
});

describe('preflight', () => {
  it('refuses tables without a key and large objects, and names what acts by itself on a write', async () => {
    const rig = await copyRig(pair, `${tables}; create table public.lines (line text); select lo_create(0)`);
    const { scope } = rig;
    const parsed = parsePostgresPlan({ name: 'x', source: scope.source, target: scope.target });
    if (!parsed.ok) throw new Error('the plan is refused');
    const { roles, waivers, snapshot, validation } = parsed.plan;
    const input = { scope, strategy: 'dual-write', roles, waivers, snapshot, validation };
    const { checks } = await createPreflightActivities(rig.dependencies).preflight(input);
    const outcome = (name: string): string | undefined => checks.find((check) => check.name === name)?.outcome;
    expect(outcome('tables-without-key')).toBe('fail');
    expect(outcome('large-objects')).toBe('fail');
    expect(outcome('dual-write-triggers')).toBe('warn');
    expect(outcome('dual-write-repair')).toBe('pass');
    expect(outcome('dual-write-source-replica-role')).toBe('pass');
    await rig.end();
  });
});
