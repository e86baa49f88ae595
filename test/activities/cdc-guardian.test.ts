// The slot guardian's watch on real servers. WAL is made by switching segments: 16 MB each, in no time.
import { Client } from 'pg';
import { createFileStore } from '../../activities/artifacts/file-store';
import { PostgresConnections } from '../../activities/postgres/connection';
import { copyLedgerDdl } from '../../activities/postgres/copy/chunk-ledger';
import { readTuning } from '../../activities/postgres/copy/settings';
import { openLedger } from '../../activities/postgres/ledger';
import type { PostgresScope } from '../../activities/postgres/scope';
import { createSlotGuardActivities, type GuardRequest } from '../../activities/postgres/stream/guard-slots';
import { groupStream } from '../../activities/postgres/stream/names';
import { freePort } from '../../local/ports';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';
import { until } from '../fixtures/until';

let pair: PostgresPair;
let source: Client;
let target: Client;
let connections: PostgresConnections;
const scope: PostgresScope = {
  migration: 'guarded',
  source: { env: 'SOURCE' },
  target: { env: 'TARGET' },
  tables: { include: ['*.*'], exclude: [] },
};
const { name: slot } = groupStream(scope.migration, 1);
const others = groupStream('another', 1).name;
const pace = { lookMs: 40, closeLookMs: 20, answerMs: 5_000, nudgeMs: 100, growthMs: 60_000, calmMs: 200 };

beforeAll(async () => {
  pair = await startPair();
  source = await session(await pair.source.createDatabase('guarded'));
  target = await session(await pair.target.createDatabase('guarded'));
  connections = new PostgresConnections({
    SOURCE: pair.source.url('guarded'),
    TARGET: pair.target.url('guarded'),
    NOWHERE: `postgresql://postgres@127.0.0.1:${await freePort()}/guarded`,
  });
});
afterAll(async () => {
  await Promise.all([source.end(), target.end()]);
  await pair.stop();
});
beforeEach(async () => {
  await source.query(`select pg_create_logical_replication_slot(name, 'pgoutput') from unnest($1::text[]) as name`, [
    [slot, others],
  ]);
});
afterEach(async () => {
  await source.query(`select pg_terminate_backend(active_pid) from pg_replication_slots where active_pid is not null`);
  await until('no slot is in use', async () => (await slots()).every(({ active }) => !active));
  await source.query('select pg_drop_replication_slot(slot_name) from pg_replication_slots');
});

async function session(connectionString: string, application_name = 'test'): Promise<Client> {
  const client = new Client({ connectionString, application_name });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

async function slots(): Promise<{ slot_name: string; active: boolean; wal_status: string; behind: string }[]> {
  return (
    await source.query<{ slot_name: string; active: boolean; wal_status: string; behind: string }>(
      `select slot_name, active, wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn) as behind from pg_replication_slots order by slot_name`,
    )
  ).rows;
}

async function writeWal(megabytes: number): Promise<void> {
  for (let written = 0; written < megabytes; written += 16) {
    await source.query(`select pg_logical_emit_message(true, 'load', 'x')`);
    await source.query(`select pg_switch_wal()`);
  }
}

function guard(request: Partial<GuardRequest> = {}, growthMs = pace.growthMs) {
  return createSlotGuardActivities(
    { connections, tools: {}, artifacts: createFileStore('file:///nowhere') },
    { ...pace, growthMs },
  ).guardSlots({
    scope,
    walBudgetMegabytes: 400,
    level: 'fine',
    untilIso: new Date(Date.now() + 20_000).toISOString(),
    ...request,
  });
}
/** As the workflow does it: again and again, with the level as last reported. */
async function guardUntil(level: GuardRequest['level'], request: Partial<GuardRequest> = {}) {
  for (let last: GuardRequest['level'] = 'fine'; ;) {
    const report = await guard({ ...request, level: last });
    if (report.level === level || report.level === last) return report;
    last = report.level;
  }
}
const once = { untilIso: new Date(0).toISOString() };

it('WAL that waits for a subscription is fine as long as there is budget, and comes back at the end of the time', async () => {
  await writeWal(100);
  const report = await guard(once);
  expect(report).toMatchObject({ level: 'fine', slots: 1, dropped: [], budgetBytes: 400 * 1_048_576 });
  expect(report.retainedBytes).toBeGreaterThan(80e6);
  expect(report.detail).toMatch(
    /WAL are held back on the source by slot cutover_\w+_g1, \d+ % of the budget of 419 MB \(the plan\)/,
  );
  expect(report.goneSinceIso).toBeUndefined();
});

it('rises rung by rung while WAL piles up, and drops the slot of this migration alone before the budget is used up', async () => {
  const levels = [];
  let level: GuardRequest['level'] = 'fine';
  for (const megabytes of [210, 80, 64, 48]) {
    const watching = guard({ level });
    await writeWal(megabytes);
    const report = await watching;
    levels.push(report);
    level = report.level;
  }
  expect(levels.map((report) => report.level)).toEqual(['alert', 'slow', 'pause', 'drop']);
  expect(levels[1]?.detail).toContain('The copy is not slowed: no stream runs beside it');
  expect(levels[3]).toMatchObject({ dropped: [slot], slots: 0 });
  expect(levels[3]?.detail).toContain(`Dropped ${slot}`);
  expect((await slots()).map(({ slot_name }) => slot_name)).toEqual([others]);
  const after = await guard({ ...once, level: 'drop', slotsSeenIso: levels[3]?.slotsSeenIso });
  expect(after).toMatchObject({ level: 'drop', slots: 0 });
  expect(after.goneSinceIso).toBeDefined();
  const { slotsSeenIso, goneSinceIso } = after;
  expect(await guard({ ...once, level: 'drop', slotsSeenIso, goneSinceIso })).toMatchObject({ goneSinceIso });
});

it('growth that lasts is told of early, and costs no slot', async () => {
  const watching = { over: false };
  const report = guard({ walBudgetMegabytes: 3_000 }, 600).finally(() => (watching.over = true));
  for (let written = 0; !watching.over && written < 1_400; written += 16) await writeWal(16);
  expect(await report).toMatchObject({ level: 'alert', dropped: [], slots: 1 });
  expect((await report).retainedBytes).toBeLessThan(1_500e6);
  expect((await report).detail).toMatch(/growing by \d.* a second: full in \d+ s\. At 70 % the copy is slowed/);
});

it('acts before max_slot_wal_keep_size does, whatever the plan allows', async () => {
  await source.query(`alter system set max_slot_wal_keep_size = '160MB'`);
  await source.query('select pg_reload_conf()');
  try {
    const watching = guardUntil('drop', { walBudgetMegabytes: 4_000 });
    await writeWal(128);
    const report = await watching;
    expect(report).toMatchObject({ level: 'drop', dropped: [slot], budgetBytes: 128 * 1_048_576 });
    expect(report.detail).toContain('80 % of max_slot_wal_keep_size');
    await source.query('checkpoint');
    expect((await slots()).map(({ wal_status }) => wal_status)).not.toContain('lost');
  } finally {
    await source.query('alter system reset max_slot_wal_keep_size');
    await source.query('select pg_reload_conf()');
  }
});

it('a server that cannot be asked is told of, ends nothing, and keeps the level from falling', async () => {
  const report = await guard({ ...once, level: 'slow', scope: { ...scope, target: { env: 'NOWHERE' } } });
  expect(report).toMatchObject({ level: 'slow', slots: 1 });
  expect(report.detail).toMatch(/The target cannot be asked since .*: Connecting by /);
  const noSlot = await guard({
    ...once,
    scope: { ...scope, source: { env: 'NOWHERE' } },
    slotsSeenIso: new Date(0).toISOString(),
    goneSinceIso: new Date(0).toISOString(),
  });
  expect(noSlot).toMatchObject({ level: 'fine', slots: 0 });
  expect(noSlot.goneSinceIso).toBeUndefined();
});

describe('with a subscription', () => {
  const publication = slot;
  beforeEach(async () => {
    await source.query(`create table moving (id int primary key); create publication ${publication} for table moving`);
    await source.query(`select pg_drop_replication_slot('${slot}')`);
    await source.query(`select pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
    await target.query('create table moving (id int primary key)');
    await target.query(
      `create subscription ${slot} connection '${pair.source.url('guarded')}' publication ${publication} with (create_slot = false, copy_data = false)`,
    );
    await until('the stream runs', async () => (await slots()).some(({ active }) => active));
  });
  afterEach(async () => {
    await target.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'blocker'`);
    await target.query(`alter subscription ${slot} disable`);
    await target.query(`alter subscription ${slot} set (slot_name = none)`);
    await target.query(`drop subscription ${slot}`);
    await target.query('drop table moving; drop schema if exists cutover cascade');
    await source.query(`drop publication ${publication}; drop table moving`);
  });

  it('slots move on a server where nobody writes', async () => {
    const mine = async (): Promise<string | undefined> =>
      (
        await source.query<{ at: string }>(
          `select confirmed_flush_lsn::text as at from pg_replication_slots where slot_name = $1`,
          [slot],
        )
      ).rows[0]?.at;
    await until('the stream has caught up', async () =>
      (await slots()).some(({ slot_name, behind }) => slot_name === slot && behind === '0'),
    );
    const before = await mine();
    const watching = guard({ level: 'alert' });
    await until('the position of the slot has moved', async () => (await mine()) !== before, 5_000);
    // Nothing is held back, so that the level falls and ends the watch.
    expect((await watching).level).toBe('fine');
  });

  it('halves the speed of a copy beside a stream that hangs, gives it back when all is calm, and drops a slot that is in use', async () => {
    await openLedger(target, scope.migration);
    await target.query(copyLedgerDdl);
    await target.query(`
      insert into cutover.copied_table (id, source_oid, schema_name, table_name, columns, format, persistence, bytes_estimated, rows_estimated)
        values (1, 1, 'public', 'big', '{}', 'binary', 'p', 1, 1);
      insert into cutover.chunk (id, table_id, kind, bytes_estimated, state, bytes, started_at, finished_at)
        select n, 1, 'ctid', 1, 'done', 5e6, clock_timestamp() - interval '5 s', clock_timestamp() from generate_series(1, 10) n;
      insert into cutover.chunk (id, table_id, kind, bytes_estimated) values (11, 1, 'ctid', 1);
      insert into cutover.setting (key, value) values ('maxBytesPerSecond', '40000000')`);
    const blocker = await session(pair.target.url('guarded'), 'blocker');
    await blocker.query('begin; lock table moving');
    await source.query('insert into moving values (1)');
    await until('the apply hangs', async () => {
      const { rowCount } = await target.query(
        `select from pg_locks where not granted and relation = 'moving'::regclass`,
      );
      return rowCount === 1;
    });
    await writeWal(290);
    const slowed = await guard();
    expect(slowed.level).toBe('slow');
    expect(slowed.detail).toContain('Brake: the copy is limited to 5.0 MB a second');
    expect((await readTuning(target)).maxBytesPerSecond).toBeCloseTo(5e6, -5);
    await guard({ ...once, level: 'slow' });
    expect((await readTuning(target)).maxBytesPerSecond).toBeCloseTo(5e6, -5);

    expect((await guard({ level: 'slow', walBudgetMegabytes: 4_000 })).level).toBe('fine');
    expect((await readTuning(target)).maxBytesPerSecond).toBe(40_000_000);

    const dropped = await guardUntil('drop', { walBudgetMegabytes: 200 });
    expect(dropped).toMatchObject({ level: 'drop', dropped: [slot] });
    expect((await slots()).map(({ slot_name }) => slot_name)).toEqual([others]);
  });
});
