import { setTimeout as sleep } from 'node:timers/promises';
import { MockActivityEnvironment } from '@temporalio/testing';
import { Client } from 'pg';
import { failureType } from '../../activities/errors';
import type { LaneProgress } from '../../activities/postgres/copy/lane';
import { createRoleActivities } from '../../activities/postgres/roles';
import { copyAll, copyRig, type CopyRig } from '../fixtures/copy-rig';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';
import { until } from '../fixtures/until';

/** Some 12 MB in one large, one middling, some small tables, one of them unlogged. */
const fill = `
create table public.large (id int primary key, body text not null, made timestamptz not null default '2020-01-01', twice int generated always as (2) stored);
insert into public.large (id, body) select i, repeat(md5(i::text), 10) from generate_series(1, 25000) i;
create table public."Mid dle" (id int, body text);
insert into public."Mid dle" select i, md5(i::text) from generate_series(1, 20000) i;
create unlogged table public.unlogged (id int primary key);
insert into public.unlogged select generate_series(1, 5000);
create table public.small (id int primary key, note text);
insert into public.small values (1, 'one'), (2, 'two');
create table public.empty (id int);
create table public.left_out (id int);
insert into public.left_out values (1);
vacuum analyze`;

const rowsTotal = 25_000 + 20_000 + 5_000 + 2;

let pair: PostgresPair;
const rigs: CopyRig[] = [];

async function freshRig(): Promise<CopyRig> {
  const rig = await copyRig(pair, async (url) => {
    const client = new Client({ connectionString: url });
    await client.connect();
    for (const statement of fill.split(/;\n/)) await client.query(statement);
    await client.end();
  });
  rig.scope.tables.exclude.push('public.left_*');
  rigs.push(rig);
  return rig;
}

beforeAll(async () => {
  pair = await startPair();
});
afterAll(async () => {
  for (const rig of rigs) await rig.end();
  await pair.stop();
});

async function expectEqual(rig: CopyRig): Promise<void> {
  const { records, unequal } = await rig.activities.compareTables({
    scope: rig.scope,
    checksum: 'all',
    lanes: 2,
    attempt: `${Math.random()}`,
  });
  expect(records.map(({ outcome, differences }) => ({ outcome, differences }))).toEqual([
    { outcome: 'pass', differences: undefined },
    { outcome: 'pass', differences: undefined },
  ]);
  expect(unequal).toBe(0);
}

async function copyingBackends({ source, target, scope }: CopyRig): Promise<number> {
  const sql = `select count(*)::int as n from pg_stat_activity where datname = $1 and application_name like 'cutover copy%'`;
  const counts = await Promise.all(
    [source, target].map((client) => client.query<{ n: number }>(sql, [scope.migration])),
  );
  return counts.reduce((sum, { rows }) => sum + (rows[0]?.n ?? 0), 0);
}

describe('lanes', () => {
  it('side by side copy each chunk exactly once, generated columns computed anew', async () => {
    const rig = await freshRig();
    const lanes = await copyAll(rig, { lanes: 4 });
    const { rows } = await rig.target.query<{ chunks: number; done: number }>(
      `select count(*)::int as chunks, count(*) filter (where state = 'done')::int as done from cutover.chunk`,
    );
    expect(rows[0]?.chunks).toBeGreaterThan(10);
    expect(rows[0]?.done).toBe(rows[0]?.chunks);
    expect(lanes.reduce((sum, lane) => sum + lane.chunks, 0)).toBe(rows[0]?.chunks);
    expect(lanes.reduce((sum, lane) => sum + Number(lane.rows), 0)).toBe(rowsTotal);
    await expectEqual(rig);
    expect(await copyingBackends(rig)).toBe(0);

    const progress = await rig.activities.measureCopy({ scope: rig.scope });
    expect(progress).toMatchObject({ rows: String(rowsTotal), tablesDone: 5, tablesTotal: 5, etaMs: 0 });
    expect(progress.bytesCopied).toBe(progress.bytesTotal);
    const summary = await rig.activities.summarizeCopy({ scope: rig.scope });
    expect(summary).toMatchObject({ rows: String(rowsTotal), tablesNotListed: 0 });
    expect(summary.tables[0]).toMatchObject({ table: 'public.large', rows: '25000' });
    expect(await rig.dependencies.artifacts.read(summary.artifact)).toContain('public.Mid dle');
    expect((await rig.target.query('select from public.left_out')).rowCount).toBe(0);
  });

  it('have nothing to do when asked again, and everything after a reset', async () => {
    const rig = await freshRig();
    await copyAll(rig);
    expect(await rig.activities.copyLane({ scope: rig.scope, lane: 0 })).toEqual({ rows: '0', bytes: 0, chunks: 0 });
    expect(await rig.activities.resetCopy({ scope: rig.scope })).toEqual({ tables: 5 });
    expect((await rig.target.query('select from public.large limit 1')).rowCount).toBe(0);
    const lanes = await copyAll(rig, { lanes: 1 });
    expect(lanes[0]?.rows).toBe(String(rowsTotal));
    await expectEqual(rig);
  });

  it('lose no row and copy none twice when sessions on either side are ended at any moment', async () => {
    const rig = await freshRig();
    const { scope, activities } = rig;
    await activities.prepareLedger({ scope });
    await activities.planChunks({ scope, chunkMegabytes: 0.3 });
    // Slow enough for the ends to come in the middle of chunks, at their begin and around their commit.
    await activities.tuneCopy({ scope, maxBytesPerSecond: 6_000_000 });
    let failures = 0;
    const over = new AbortController();
    const lane = async (number: number): Promise<void> => {
      for (;;) {
        try {
          await activities.copyLane({ scope, lane: number });
          return;
        } catch (error) {
          failures += 1;
          expect(['SourceUnavailable', 'TargetUnavailable']).toContain(failureType(error));
        }
      }
    };
    const ending = (async () => {
      const sql = `select pg_terminate_backend(pid) from pg_stat_activity
        where datname = $1 and application_name like 'cutover copy lane%' order by random() limit 1`;
      for (let turn = 0; !over.signal.aborted && turn < 25; turn += 1) {
        await (turn % 2 ? rig.source : rig.target).query(sql, [scope.migration]);
        await sleep(10 + Math.random() * 90);
      }
    })();
    await Promise.all([lane(0), lane(1), lane(2)]);
    over.abort();
    await ending;
    expect(failures).toBeGreaterThan(3);
    const { rows } = await activities.summarizeCopy({ scope });
    expect(rows).toBe(String(rowsTotal));
    await expectEqual(rig);
  });

  it('copy again what a crash of the target took, unlogged tables and unflushed commits among it', async () => {
    const rig = await freshRig();
    await copyAll(rig);
    pair.target.kill();
    await pair.target.restart();
    await rig.reopenTarget();
    expect((await rig.target.query('select from public.unlogged limit 1')).rowCount).toBe(0);
    await rig.activities.prepareLedger({ scope: rig.scope });
    await rig.activities.planChunks({ scope: rig.scope, chunkMegabytes: 1 });
    await expect(rig.activities.summarizeCopy({ scope: rig.scope })).rejects.toThrow(/chunks of the copy are not in/);
    await rig.activities.copyLane({ scope: rig.scope, lane: 0 });
    expect((await rig.activities.summarizeCopy({ scope: rig.scope })).rows).toBe(String(rowsTotal));
    await expectEqual(rig);
  });
});

describe('a cancelled lane', () => {
  it('comes back within two seconds, with no backend left and no half chunk', async () => {
    const rig = await freshRig();
    const { scope, activities } = rig;
    await activities.prepareLedger({ scope });
    await activities.planChunks({ scope, chunkMegabytes: 1_000 });
    await activities.tuneCopy({ scope, maxBytesPerSecond: 500_000 });
    const environment = new MockActivityEnvironment();
    const beats: LaneProgress[] = [];
    environment.on('heartbeat', (progress: LaneProgress) => beats.push(progress));
    const lane = environment.run(() => activities.copyLane({ scope, lane: 0 })).catch((error: unknown) => error);
    await until('bytes are in flight', () => beats.some(({ bytesInFlight }) => bytesInFlight > 0));
    const asked = Date.now();
    environment.cancel();
    const error = await lane;
    expect(Date.now() - asked).toBeLessThan(2_000);
    expect(String(error)).toMatch(/cancel/i);
    expect(await copyingBackends(rig)).toBe(0);
    expect((await rig.target.query('select from public.large limit 1')).rowCount).toBe(0);
    expect(beats.at(-1)).toMatchObject({ lane: 0, table: 'public.large', rows: '0', chunksDone: 0 });

    await activities.tuneCopy({ scope, maxBytesPerSecond: 0 });
    await activities.copyLane({ scope, lane: 0 });
    await expectEqual(rig);
  });
});

describe('tuning', () => {
  it('holds the rate, and lets go of it in the middle of a chunk', async () => {
    const rig = await freshRig();
    const { scope, activities } = rig;
    await activities.prepareLedger({ scope });
    await activities.planChunks({ scope, chunkMegabytes: 1_000 });
    await activities.tuneCopy({ scope, lanes: 2, maxBytesPerSecond: 2_000_000 });
    const environment = new MockActivityEnvironment();
    const beats: LaneProgress[] = [];
    environment.on('heartbeat', (progress: LaneProgress) => beats.push(progress));
    const started = Date.now();
    const lane = environment.run(() => activities.copyLane({ scope, lane: 0 }));
    await until('a megabyte has passed', () => beats.some(({ bytesInFlight }) => bytesInFlight > 1_000_000));
    const rate = (beats.at(-1)?.bytesInFlight ?? 0) / ((Date.now() - started) / 1_000);
    // Half of it for each of the two lanes, and a portion or two ahead.
    expect(rate).toBeLessThan(1_300_000);
    await activities.tuneCopy({ scope, maxBytesPerSecond: 0 });
    const released = Date.now();
    await lane;
    expect(Date.now() - released).toBeLessThan(4_000);
    await expectEqual(rig);
  });

  it('sends lanes home that are above the number', async () => {
    const rig = await freshRig();
    const { scope, activities } = rig;
    await activities.prepareLedger({ scope });
    await activities.planChunks({ scope, chunkMegabytes: 1 });
    await activities.tuneCopy({ scope, lanes: 1 });
    expect(await activities.copyLane({ scope, lane: 1 })).toMatchObject({ chunks: 0 });
    expect((await activities.copyLane({ scope, lane: 0 })).rows).toBe(String(rowsTotal));
  });
});

describe('stopping', () => {
  it('ends a lane that nobody remembers, and lets none begin until it is planned again', async () => {
    const rig = await freshRig();
    const { scope, activities } = rig;
    expect(await activities.stopCopy({ scope })).toEqual({ ended: 0 });
    await activities.prepareLedger({ scope });
    await activities.planChunks({ scope, chunkMegabytes: 1_000 });
    await activities.tuneCopy({ scope, maxBytesPerSecond: 500_000 });
    const zombie = activities.copyLane({ scope, lane: 0 }).catch((error: unknown) => error);
    await until('the lane copies', async () => (await copyingBackends(rig)) >= 2);
    expect(await activities.stopCopy({ scope })).toEqual({ ended: 1 });
    expect(failureType(await zombie)).toBe('TargetUnavailable');
    expect(await copyingBackends(rig)).toBe(0);
    await expect(activities.copyLane({ scope, lane: 0 })).rejects.toThrow(/was stopped/);
    await activities.planChunks({ scope, chunkMegabytes: 1_000 });
    await activities.tuneCopy({ scope, maxBytesPerSecond: 0 });
    await activities.copyLane({ scope, lane: 0 });
    await expectEqual(rig);
    expect(await activities.removeLedger({ scope })).toEqual({ removed: true });
    expect(await activities.removeLedger({ scope })).toEqual({ removed: false });
  });

  it('of an earlier attempt is done by the next attempt of the same activity', async () => {
    const rig = await freshRig();
    const { scope, activities } = rig;
    await activities.prepareLedger({ scope });
    await activities.planChunks({ scope, chunkMegabytes: 1_000 });
    await activities.tuneCopy({ scope, maxBytesPerSecond: 500_000 });
    const first = new MockActivityEnvironment({ activityId: '7', attempt: 1 });
    const zombie = first.run(() => activities.copyLane({ scope, lane: 0 })).catch((error: unknown) => error);
    await until('the lane copies', async () => (await copyingBackends(rig)) >= 2);
    await activities.tuneCopy({ scope, maxBytesPerSecond: 0 });
    const second = new MockActivityEnvironment({ activityId: '7', attempt: 2 });
    await second.run(() => activities.copyLane({ scope, lane: 0 }));
    expect(failureType(await zombie)).toBe('TargetUnavailable');
    await activities.copyLane({ scope, lane: 0 });
    await expectEqual(rig);
  });
});

describe('a target that is not as expected', () => {
  it('is left alone when a table holds rows', async () => {
    const rig = await freshRig();
    const { scope, activities } = rig;
    await rig.target.query(`insert into public.small values (77, 'not ours')`);
    await activities.prepareLedger({ scope });
    const error: unknown = await activities.planChunks({ scope, chunkMegabytes: 1 }).catch((thrown: unknown) => thrown);
    expect(failureType(error)).toBe('TargetConflict');
    expect(String(error)).toContain('public.small');
    expect((await rig.target.query('select from public.small')).rowCount).toBe(1);
  });

  it('is named when a table or column is missing', async () => {
    const rig = await freshRig();
    await rig.target.query('drop table public.small; alter table public.large drop column body');
    await rig.activities.prepareLedger({ scope: rig.scope });
    const error: unknown = await rig.activities
      .planChunks({ scope: rig.scope, chunkMegabytes: 1 })
      .catch((thrown: unknown) => thrown);
    expect(failureType(error)).toBe('PreconditionFailed');
    expect(String(error)).toMatch(/public\.large\.body, public\.small|public\.small, public\.large\.body/);
  });

  it('that refuses a row is named with its table, without the row', async () => {
    const rig = await freshRig();
    const { scope, activities } = rig;
    await activities.prepareLedger({ scope });
    await activities.planChunks({ scope, chunkMegabytes: 1 });
    await rig.target.query(`alter table public.large add check (body not like '%' || md5('17000') || '%')`);
    const error: unknown = await activities.copyLane({ scope, lane: 0 }).catch((thrown: unknown) => thrown);
    expect(failureType(error)).toBe('TargetConflict');
    expect(String(error)).toMatch(/public\.large/);
    expect(String(error)).not.toContain('17000');
    expect(await copyingBackends(rig)).toBe(0);
  });

  it('of another migration is not touched', async () => {
    const rig = await freshRig();
    await rig.activities.prepareLedger({ scope: rig.scope });
    const other = { ...rig.scope, migration: 'another' };
    const error: unknown = await rig.activities.prepareLedger({ scope: other }).catch((thrown: unknown) => thrown);
    expect(failureType(error)).toBe('TargetConflict');
    expect(await rig.activities.stopCopy({ scope: other })).toEqual({ ended: 0 });
  });

  it('that was undone is not made again by an attempt that wakes late', async () => {
    const rig = await freshRig();
    const { activities, scope } = rig;
    await activities.prepareLedger({ scope });
    expect(await activities.removeLedger({ scope })).toEqual({ removed: true });
    const roles = createRoleActivities(rig.dependencies);
    for (const late of [
      () => activities.planChunks({ scope, chunkMegabytes: 1 }),
      () => activities.copyLargeObjects({ scope }),
      () => activities.compareTables({ scope, checksum: 'all', lanes: 1, attempt: 'late' }),
      () => roles.carryRoles({ scope, mode: 'create' }),
    ]) {
      const error: unknown = await late().catch((thrown: unknown) => thrown);
      expect(failureType(error)).toBe('TargetConflict');
      expect(String(error)).toContain('the migration was undone');
    }
    expect((await rig.target.query(`select from pg_namespace where nspname = 'cutover'`)).rowCount).toBe(0);
  });
});

describe('a source that is rewritten between chunks', () => {
  it('is noticed, since its page ranges mean nothing any more', async () => {
    const rig = await freshRig();
    const { scope, activities } = rig;
    await activities.prepareLedger({ scope });
    await activities.planChunks({ scope, chunkMegabytes: 1 });
    await rig.source.query('vacuum full public.large');
    await expect(activities.copyLane({ scope, lane: 0 })).rejects.toThrow(/public\.large was rewritten/);
  });
});
