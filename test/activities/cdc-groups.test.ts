import type { ApplicationFailure } from '@temporalio/common';
import { failureType } from '../../activities/errors';
import { groupStream } from '../../activities/postgres/stream/names';
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
afterAll(async () => {
  for (const rig of rigs) await rig.end();
  await pair.stop();
});

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
    const { tuneCopy, copyLane, summarizeCopy } = rig.copy.activities;
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
    await Promise.all([0, 1].map((lane) => copyLane({ scope, lane, group: 1 })));
    // What a lane has read it has let go of, though its transaction goes on: the application truncates without waiting.
    await target.query('commit');
    await tuneCopy({ scope, maxBytesPerSecond: 50_000 });
    const lanes = [0, 1].map((lane) => running(() => copyLane({ scope, lane, group: 1 })));
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
    expect((await failureOf(copyLane({ scope, lane: 0, group: 1 }))).type).toBe('SnapshotLost');
    expect((await failureOf(rig.hold(1).done)).type).toBe('SnapshotLost');

    await tuneCopy({ scope, maxBytesPerSecond: 0 });
    const before = application.written();
    await rig.copyGroup(2);
    expect(application.written()).toBeGreaterThan(before);
    await summarizeCopy({ scope });
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
});
void ({} as ApplicationFailure);
void groupStream;
