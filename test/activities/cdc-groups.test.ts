import { MockActivityEnvironment } from '@temporalio/testing';
import { failureType } from '../../activities/errors';
import { ensureMarker } from '../../activities/postgres/stream/marker';
import { groupStream } from '../../activities/postgres/stream/names';
import { ensurePublication, publishedTables } from '../../activities/postgres/stream/publication';
import { startPostgres } from '../../local/postgres-server';
import { failureOf } from '../fixtures/failure-of';
import { awkwardTables, groupRig, running, type GroupRig, type Running } from '../fixtures/group-rig';
import type { PostgresPair } from '../fixtures/postgres-pair';
import { until } from '../fixtures/until';

let pair: PostgresPair;
const rigs: GroupRig[] = [];

async function freshRig(fill: string): Promise<GroupRig> {
  const rig = await groupRig(pair, fill);
  rigs.push(rig);
  return rig;
}

beforeAll(async () => {
  const [source, target] = await Promise.all([
    startPostgres({ major: 15, settings: { max_prepared_transactions: '4' } }),
    startPostgres({ major: 18 }),
  ]);
  pair = {
    source,
    target,
    async stop() {
      await Promise.all([source.stop(), target.stop()]);
    },
  };
});
afterEach(async () => {
  // Slots and workers of a server are few.
  for (const rig of rigs.splice(0)) await rig.end();
});
afterAll(() => pair.stop());

async function prepared(rig: GroupRig, chunkMegabytes = 0.5) {
  const { scope, activities } = rig.copy;
  await activities.prepareLedger({ scope });
  const { archive } = await rig.activities.dumpSchema({ scope });
  await activities.planChunks({ scope, chunkMegabytes, strategy: 'cdc' });
  await rig.activities.prepareStreaming({ scope, leg: 0, tablesWithoutKey: 'full' });
  return archive;
}

interface Session {
  query(sql: string): Promise<{ rows: unknown[] }>;
}

async function one<Row extends object>(session: Session, sql: string): Promise<Row> {
  return (await session.query(sql)).rows[0] as Row;
}

async function expectEqual({ copy }: GroupRig): Promise<void> {
  const { records } = await copy.activities.compareTables({
    scope: { ...copy.scope, tables: { include: ['*.*'], exclude: ['public.cache'] } },
    checksum: 'all',
    lanes: 2,
    attempt: `${Math.random()}`,
  });
  expect(records.map(({ outcome, differences }) => ({ outcome, differences }))).toEqual([
    { outcome: 'pass', differences: undefined },
    { outcome: 'pass', differences: undefined },
  ]);
}

async function laneSessions(session: Session): Promise<number> {
  const sql = `select count(*)::int as n from pg_stat_activity where datname = current_database() and application_name like 'cutover copy lane%'`;
  return (await one<{ n: number }>(session, sql)).n;
}

function inFlight(lane: Running<unknown>): boolean {
  const progress = lane.progress();
  return (
    typeof progress === 'object' &&
    progress !== null &&
    'bytesInFlight' in progress &&
    Number(progress.bytesInFlight) > 0
  );
}

describe('copy groups', () => {
  it('whose first snapshot is lost in the middle of the copy bring every row and every change, while an application writes', async () => {
    const rig = await freshRig(awkwardTables);
    const { scope, source, target } = rig.copy;
    const copy = rig.copy.activities;
    const archive = await prepared(rig);
    const application = await rig.write();
    await until('the application writes', () => application.written() > 20);

    const opened = await rig.activities.openGroup({ scope, group: 1 });
    expect(opened.tables).toBe(8);
    expect(await rig.activities.openGroup({ scope, group: 1 })).toEqual(opened);
    const holder = rig.hold(1);
    await rig.activities.awaitSnapshot({ scope, group: 1 });
    // All but one chunk of the biggest table are kept from the lanes: every other table gets finished.
    await target.query('begin');
    const kept = await target.query(
      `select from cutover.chunk where table_id = 1 and id <> (select min(id) from cutover.chunk where table_id = 1) for update`,
    );
    expect(kept.rowCount).toBeGreaterThan(3);
    await Promise.all([0, 1].map((lane) => copy.copyLane({ scope, lane, group: 1 })));
    // What a lane has read it has let go of, though its transaction goes on: the application truncates without waiting.
    await target.query('commit');
    await copy.tuneCopy({ scope, maxBytesPerSecond: 50_000 });
    const lanes = [0, 1].map((lane) => running(() => copy.copyLane({ scope, lane, group: 1 })));
    await until('chunks are on their way', () => lanes.every(inFlight));
    await rig.endHolder(1);
    expect(failureType(await holder.done.catch((error: unknown) => error))).toBe('SnapshotLost');
    for (const lane of lanes) lane.cancel();
    await Promise.allSettled(lanes.map(({ done }) => done));

    const { finished, unfinished } = await rig.activities.closeLostGroup({ scope, group: 1 });
    expect({ finished, unfinished }).toEqual({ finished: 7, unfinished: 1 });
    expect(await rig.activities.closeLostGroup({ scope, group: 1 })).toEqual({ finished, unfinished });
    expect((await laneSessions(source)) + (await laneSessions(target))).toBe(0);
    expect(await one(target, `select count(*)::int as n from "Odd Schema"."Big.Table"`)).toEqual({ n: 0 });
    expect((await failureOf(copy.copyLane({ scope, lane: 0, group: 1 }))).type).toBe('SnapshotLost');
    expect((await failureOf(rig.hold(1).done)).type).toBe('SnapshotLost');

    await copy.tuneCopy({ scope, maxBytesPerSecond: 0 });
    const before = application.written();
    await rig.copyGroup(2);
    expect(application.written()).toBeGreaterThan(before);
    await copy.summarizeCopy({ scope });
    await rig.activities.buildPostData({ scope, archive, lanes: 2, foreignKeys: false });
    for (const group of [1, 2]) await rig.subscribe(group);
    await until('changes stream', () => application.written() > before + 50);
    expect(await application.stop()).toBeGreaterThan(100);
    await rig.drained([1, 2]);
    await expectEqual(rig);

    await rig.activities.buildPostData({ scope, archive, lanes: 2 });
    const keys = `select count(*)::int as n from pg_constraint where contype = 'f' and convalidated and conrelid = 'public.child'::regclass`;
    expect(await one(target, keys)).toEqual({ n: 1 });
  });

  it('let single tables be copied again while everything else streams on', async () => {
    const rig = await freshRig(awkwardTables);
    const { scope, source, target } = rig.copy;
    const archive = await prepared(rig);
    const application = await rig.write();
    await rig.copyGroup(1);
    await rig.activities.buildPostData({ scope, archive, lanes: 2, foreignKeys: false });
    await rig.subscribe(1);
    await rig.drained([1]);
    await rig.activities.buildPostData({ scope, archive, lanes: 2 });
    await target.query('set session_replication_role = replica');
    // Each table by itself, and locked as a whole: row by row they could lock each other out with what the stream applies.
    for (const [table, change] of [
      ['public.parent', 'delete from public.parent where id < 500'],
      ['public."No Key"', `update public."No Key" set x = 'wrong'`],
    ])
      await target.query(`begin; lock table ${table} in exclusive mode; ${change}; commit`);

    expect(await rig.activities.recopyTables({ scope, tables: ['public.parent', 'public.No Key'] })).toEqual({
      tables: 2,
    });
    expect(await one(target, `select count(*)::int as n from public.parent`)).toEqual({ n: 0 });
    await rig.copyGroup(2);
    await rig.subscribe(2);
    // The second group is taken apart altogether: nothing of it is left.
    await rig.activities.recopyTables({ scope, tables: ['public.parent', 'public.No Key'] });
    const { name } = groupStream(scope.migration, 2);
    expect(await namedLike(target, name)).toEqual([]);
    expect(await namedLike(source, name)).toEqual([]);
    await rig.copyGroup(3);
    await rig.subscribe(3);
    await application.stop();
    await rig.drained([1, 3]);
    await expectEqual(rig);
    // Whoever has stopped a stream may be handing over: from then on the rows are not the copy's to throw away.
    await target.query(`alter subscription ${groupStream(scope.migration, 1).name} disable`);
    const stopped = await failureOf(rig.activities.recopyTables({ scope, tables: ['public.child'] }));
    expect(stopped).toMatchObject({ type: 'PreconditionFailed' });
    const refused = await failureOf(rig.activities.recopyTables({ scope, tables: ['public.cache', 'public.nowhere'] }));
    expect(refused).toMatchObject({ type: 'PreconditionFailed' });
    expect(refused.message).toContain('public.cache, public.nowhere');
  });

  it('without their slot keep nothing: every table is copied anew', async () => {
    const rig = await freshRig(awkwardTables);
    const { scope, source, target } = rig.copy;
    await prepared(rig);
    await rig.activities.openGroup({ scope, group: 1 });
    const holder = rig.hold(1);
    await rig.activities.awaitSnapshot({ scope, group: 1 });
    await rig.copy.activities.copyLane({ scope, lane: 0, group: 1 });
    await source.query(`select pg_drop_replication_slot($1)`, [groupStream(scope.migration, 1).name]);
    const lost = await failureOf(holder.done);
    expect(lost).toMatchObject({ type: 'SnapshotLost' });
    expect(lost.message).toContain('is gone from the source');
    expect(await rig.activities.closeLostGroup({ scope, group: 1 })).toEqual({ finished: 0, unfinished: 8 });
    expect(await namedLike(source, groupStream(scope.migration, 1).name)).toEqual([]);
    expect(await one(target, `select count(*)::int as n from public.child`)).toEqual({ n: 0 });
    await rig.copyGroup(2);
    await expectEqual(rig);
    expect((await failureOf(rig.activities.closeGroup({ scope, group: 1 }))).type).toBe('SnapshotLost');
  });

  it('let the application truncate what a lane has read, though the lane reads on', async () => {
    const rig = await freshRig(awkwardTables);
    const { scope, source, target } = rig.copy;
    await prepared(rig);
    await rig.activities.openGroup({ scope, group: 1 });
    const holder = rig.hold(1);
    await rig.activities.awaitSnapshot({ scope, group: 1 });
    const kept = await rig.copy.anotherSession();
    await kept.query('begin');
    await kept.query(`select from cutover.chunk where table_id = 1 and id > 1 for update`);
    await target.query('begin');
    await target.query('lock table public.log in access exclusive mode');
    const lane = running(() => rig.copy.activities.copyLane({ scope, lane: 0, group: 1 }));
    const waiting = `select count(*)::int as n from pg_locks where not granted and relation = 'public.log'::regclass`;
    await until('the lane waits with one table', async () => (await one<{ n: number }>(target, waiting)).n === 1);
    const readBefore = `select count(*)::int as n from cutover.chunk c join cutover.copied_table t on t.id = table_id where table_name = 'child' and state = 'todo'`;
    expect(await one(target, readBefore)).toEqual({ n: 0 });
    await source.query(`set lock_timeout = '2s'`);
    await source.query(`truncate public.child`);
    await source.query(`insert into public.child select i, i, 'after' from generate_series(1, 10) i`);
    await source.query(`reset lock_timeout`);
    await target.query('commit');
    await lane.done;
    await kept.query('commit');
    // Page ranges of a table that was rewritten mean something else: it is copied anew, as it is then.
    await source.query(`vacuum full "Odd Schema"."Big.Table"`);
    const rewritten = await failureOf(rig.copy.activities.copyLane({ scope, lane: 0, group: 1 }));
    expect(rewritten).toMatchObject({ type: 'SnapshotLost' });
    expect(rewritten.message).toContain('Odd Schema.Big.Table was rewritten');
    holder.cancel();
    expect((await holder.done).heldMs).toBeGreaterThan(0);
    expect(await rig.activities.closeLostGroup({ scope, group: 1 })).toEqual({ finished: 7, unfinished: 1 });
    await rig.copyGroup(2);
    await rig.subscribe(1);
    await rig.subscribe(2);
    await rig.drained([1, 2]);
    await expectEqual(rig);
  });
});

describe('the holder of a snapshot', () => {
  it('names who keeps the slot from being made, gives up in time and leaves no slot', async () => {
    const rig = await freshRig('create table public.t (id int primary key)');
    const { scope, source } = rig.copy;
    await prepared(rig);
    await rig.activities.openGroup({ scope, group: 1 });
    await source.query(`begin; insert into public.t values (1); prepare transaction 'left over'`);
    await source.query(`begin; insert into public.t values (2)`);
    const holder = rig.hold(1, 2_000);
    await until('the heartbeat names them', () => {
      const told = JSON.stringify(holder.progress() ?? '');
      return told.includes('left over') && told.includes('program test');
    });
    const refused = await failureOf(holder.done);
    expect(refused).toMatchObject({ type: 'PreconditionFailed' });
    expect(refused.message).toContain('the prepared transaction left over of role postgres');
    expect(refused.message).toContain(`ROLLBACK PREPARED 'left over'`);
    expect(refused.message).toMatch(/pid \d+: role postgres, program test, database copy_\S+, idle in transaction/);
    expect(await namedLike(source, 'cutover_')).toEqual([groupStream(scope.migration, 1).name]);

    expect(await rig.activities.closeLostGroup({ scope, group: 1 })).toEqual({ finished: 0, unfinished: 1 });
    await rig.activities.openGroup({ scope, group: 2 });
    const cancelled = rig.hold(2);
    await until('it waits', () => JSON.stringify(cancelled.progress() ?? '').includes('left over'));
    cancelled.cancel();
    await expect(cancelled.done).rejects.toMatchObject({ name: 'AbortError' });
    expect(await namedLike(source, 'cutover_')).toEqual([groupStream(scope.migration, 2).name]);
    await source.query('commit');
    await source.query(`rollback prepared 'left over'`);
    await rig.activities.closeLostGroup({ scope, group: 2 });

    // A worker that is stopped cancels its activities too, but the snapshot ends without anybody having asked for it.
    await rig.activities.openGroup({ scope, group: 3 });
    const worker = new MockActivityEnvironment();
    const stopped = worker.run(() => rig.activities.holdSnapshot({ scope, group: 3, slotTimeoutMs: 20_000 }));
    await rig.activities.awaitSnapshot({ scope, group: 3 });
    worker.cancel('WORKER_SHUTDOWN');
    expect((await failureOf(stopped)).type).toBe('SnapshotLost');
    await rig.activities.closeLostGroup({ scope, group: 3 });
    await rig.copyGroup(4);
    await expectEqual(rig);
  });

  it('is never taken for somebody else: a lane reads under the snapshot of its own group or not at all', async () => {
    const rig = await freshRig('create table public.t (id int primary key); insert into public.t values (1)');
    const { scope, source, target } = rig.copy;
    const copy = rig.copy.activities;
    await prepared(rig);
    await rig.activities.openGroup({ scope, group: 1 });
    expect((await failureOf(copy.copyLane({ scope, lane: 0, group: 1 }))).message).toContain('none was exported');
    const holder = rig.hold(1);
    await rig.activities.awaitSnapshot({ scope, group: 1 });
    await rig.endHolder(1);
    await Promise.allSettled([holder.done]);
    await until('the snapshot is gone', async () =>
      (await failureOf(copy.copyLane({ scope, lane: 0, group: 1 }))).message.includes('has ended'),
    );
    // After a restart of the source a stranger's snapshot may have the name of ours.
    await source.query('begin isolation level repeatable read; insert into public.t values (2)');
    const { name } = await one<{ name: string }>(source, 'select pg_export_snapshot() as name');
    await target.query('update cutover.copy_group set snapshot = $1', [name]);
    expect((await failureOf(copy.copyLane({ scope, lane: 0, group: 1 }))).type).toBe('SnapshotLost');
    await source.query('commit');
    expect(await one(target, 'select count(*)::int as n from public.t')).toEqual({ n: 0 });
    expect((await failureOf(rig.hold(1).done)).message).toContain('another attempt had begun');
  });
});

describe('what streams need of the side that writes', () => {
  it('are replica identities by decision, the same on both sides, put back at the end', async () => {
    const rig = await freshRig(`
create table public.fine (id int primary key);
create table public."No Key" (a int not null, b int not null, c text);
create unique index "by c" on public."No Key" (c);
create unique index "by a, b" on public."No Key" (b, a);
create table public.late (id int primary key deferrable);
create table public.silent (id int primary key);
alter table public.silent replica identity nothing;
create table public.log (line text);`);
    const { scope, source, target } = rig.copy;
    await rig.copy.activities.prepareLedger({ scope });
    const { archive } = await rig.activities.dumpSchema({ scope });
    await rig.copy.activities.planChunks({ scope, chunkMegabytes: 1, strategy: 'cdc' });
    const refused = await failureOf(rig.activities.prepareStreaming({ scope, leg: 0, tablesWithoutKey: 'refuse' }));
    expect(refused).toMatchObject({ type: 'PreconditionFailed' });
    expect(refused.message).toContain('without a key: public.late, public.log.');
    const before = await identities(source);
    expect(before).toEqual({ fine: 'd', 'No Key': 'd', late: 'd', silent: 'n', log: 'd' });

    const changed = ['public.No Key', 'public.late', 'public.log', 'public.silent'];
    const prepare = { scope, leg: 0, tablesWithoutKey: 'full' } as const;
    expect(await rig.activities.prepareStreaming(prepare)).toEqual({ tables: 5, identitiesChanged: changed });
    expect(await rig.activities.prepareStreaming(prepare)).toEqual({ tables: 5, identitiesChanged: changed });
    const streaming = { fine: 'd', 'No Key': 'i "by a, b"', late: 'f', silent: 'd', log: 'f' };
    expect(await identities(source)).toEqual(streaming);
    await rig.activities.buildPostData({ scope, archive, lanes: 1, foreignKeys: false });
    expect(await identities(target)).toEqual(streaming);

    // The way back has publication and markers before there is any outage.
    const back = await rig.activities.prepareStreaming({ scope, leg: 1, tablesWithoutKey: 'full' });
    expect(back).toEqual({ tables: 5, identitiesChanged: changed });
    const published = `select tablename as name from pg_publication_tables order by tablename collate "C"`;
    const { rows } = await target.query<{ name: string }>(published);
    expect(rows.map(({ name }) => name.replace(/_[0-9a-f]{10}_/, '_'))).toEqual([
      'No Key',
      'fine',
      'late',
      'log',
      'marker_l1',
      'silent',
    ]);

    expect((await rig.activities.restoreIdentities({ scope })).restored).toEqual(changed);
    expect(await identities(source)).toEqual(before);
    expect(await identities(target)).toEqual(before);
    expect(await rig.activities.restoreIdentities({ scope })).toEqual({ restored: [] });
  });

  it('is one publication, however many tables, and exactly these', async () => {
    const rig = await freshRig('');
    const { scope, source } = rig.copy;
    const stream = groupStream(scope.migration, 1);
    const tables = Array.from({ length: 1_250 }, (_, index) => ({ schema: 'public', name: `T ${index}` }));
    for (const piece of [0, 1]) {
      const some = tables.slice(piece * 625, piece * 625 + 625);
      await source.query(some.map(({ name }) => `create table public."${name}" (id int primary key)`).join(';'));
    }
    await ensureMarker(source, stream);
    await ensurePublication(source, stream, tables, { side: 'source' });
    expect(await publishedTables(source, stream.name)).toHaveLength(1_251);
    await ensurePublication(source, stream, tables.slice(1), { side: 'source' });
    expect(await publishedTables(source, stream.name)).toHaveLength(1_250);
    const gone = ensurePublication(source, stream, [...tables, { schema: 'public', name: 'dropped' }], {
      side: 'source',
    });
    const refused = await failureOf(gone);
    expect(refused).toMatchObject({ type: 'SchemaChanged' });
    expect(refused.message).toContain('public.dropped');
  });
});

describe('under the fence', () => {
  it('unlogged tables are copied whole, there and back', async () => {
    const rig = await freshRig(awkwardTables);
    const { scope, source, target } = rig.copy;
    await prepared(rig);
    await rig.copyGroup(1);
    expect(await one(target, 'select count(*)::int as n from public.cache')).toEqual({ n: 0 });
    expect(await rig.activities.copyUnlogged({ scope, from: 'source' })).toEqual({ tables: 1, rows: '400' });
    await target.query(`update public.cache set v = 'new' where id <= 100; delete from public.cache where id > 300`);
    expect(await rig.activities.copyUnlogged({ scope, from: 'target' })).toEqual({ tables: 1, rows: '300' });
    const counts = `select count(*)::int as n, count(*) filter (where v = 'new')::int as fresh from public.cache`;
    expect(await one(source, counts)).toEqual({ n: 300, fresh: 100 });
  });
});

describe('foreign keys', () => {
  it('are built once the streams have brought the rows that they need, and not before', async () => {
    const rig = await freshRig(awkwardTables);
    const { scope, target } = rig.copy;
    const archive = await prepared(rig);
    await rig.copyGroup(1);
    await rig.activities.buildPostData({ scope, archive, lanes: 2, foreignKeys: false });
    const keys = `select count(*)::int as n from pg_constraint where contype = 'f' and connamespace = 'public'::regnamespace`;
    expect(await one(target, keys)).toEqual({ n: 0 });
    await target.query(`delete from public.parent where id = 7`);
    const early = await failureOf(rig.activities.buildPostData({ scope, archive, lanes: 2 }));
    expect(early).toMatchObject({ type: 'NotReadyYet', nonRetryable: false });
    expect(early.message).toMatch(/child_parent_fkey.*Streams may still be bringing/);
    await target.query(`insert into public.parent values (7)`);
    await rig.activities.buildPostData({ scope, archive, lanes: 2 });
    expect(await one(target, keys)).toEqual({ n: 1 });
  });
});

/** Streams' objects whose names begin so: publications, slots, subscriptions. */
async function namedLike(session: Session, prefix: string): Promise<string[]> {
  const { rows } = await session.query(`
    select pubname as name from pg_publication where starts_with(pubname, '${prefix}')
    union all select slot_name from pg_replication_slots where starts_with(slot_name, '${prefix}') and database = current_database()
    union all select subname from pg_subscription where starts_with(subname, '${prefix}') and subdbid = (select oid from pg_database where datname = current_database())`);
  return (rows as { name: string }[]).map(({ name }) => name);
}

async function identities(session: Session): Promise<Record<string, string>> {
  const { rows } = await session.query(`
    select c.relname as name, concat_ws(' ', c.relreplident, (select quote_ident(i.relname) from pg_index x join pg_class i on i.oid = x.indexrelid where x.indrelid = c.oid and x.indisreplident)) as identity
      from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'`);
  return Object.fromEntries(
    (rows as { name: string; identity: string }[]).map(({ name, identity }) => [name, identity]),
  );
}
