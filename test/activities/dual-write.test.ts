// The reconciler and the backfill of dual writing on real servers: what the application has written stays, what differs and stands still is found
// and repaired, what merely moves is left alone.
import { Client } from 'pg';
import { createDualWriteActivities } from '../../activities/postgres/dual-write';
import type { ComparedLive } from '../../activities/postgres/dual-write';
import { copyRig, type CopyRig } from '../fixtures/copy-rig';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';

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
create table public.ranks (id int primary key, rank int not null unique deferrable initially deferred);
insert into public.ranks select i, i from generate_series(1, 50) i;
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
}, 120_000);
afterAll(() => pair.stop(), 60_000);

interface Both extends CopyRig {
  live: ReturnType<typeof createDualWriteActivities>;
  compare(judge?: 'source' | 'target'): Promise<ComparedLive>;
  repair(found: ComparedLive, judge?: 'source' | 'target'): ReturnType<Both['live']['repairRows']>;
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

const count = async (client: Client, sql: string): Promise<number> =>
  Number((await client.query<{ n: string }>(`select count(*) as n from ${sql}`)).rows[0]?.n);

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
    expect((await target.query(`select v, twice from public.drawn where id = 9`)).rows).toEqual([{ v: 'newer', twice: 10 }]);
    const found = await compare();
    expect(found).toMatchObject({ differing: 2, problems: [] });
    expect(found.lines.sort()).toEqual(['public.accounts key=(7): different', 'public.drawn key=(9): different']);
    await both.end();
  }, 120_000);

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
  }, 120_000);
});
