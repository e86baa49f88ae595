import type { Client } from 'pg';
import { failureType } from '../../activities/errors';
import { createFenceActivities } from '../../activities/postgres/fence';
import { createLeftoverActivities } from '../../activities/postgres/leftovers';
import { groupStream, legStream, migrationKey } from '../../activities/postgres/stream/names';
import { allObjects, findObjects } from '../../activities/postgres/stream/objects';
import { removeStreamObjects } from '../../activities/postgres/stream/remove';
import { openSide } from '../../activities/postgres/stream/sides';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';
import { streamRig, type StreamRig } from '../fixtures/stream-rig';
import { until } from '../fixtures/until';

let pair: PostgresPair;
beforeAll(async () => {
  pair = await startPair();
});
afterAll(() => pair.stop());

const shop = `
create table public.orders (id int primary key, note text);
create table public.items (id int primary key, price int);`;

async function shopRig(): Promise<StreamRig> {
  const rig = await streamRig(pair, shop);
  await rig.group(1, ['public.orders']);
  await rig.group(2, ['public.items']);
  return rig;
}

/** Whatever is left that is not the ledger, which the migration drops itself. */
async function left({ scope, dependencies }: StreamRig): Promise<string[]> {
  const found = await createLeftoverActivities(dependencies).findLeftovers({ scope, kept: {} });
  return found
    .filter(({ kind, where, state }) => state === 'present' && !(kind === 'schema' && where === 'target'))
    .map(({ kind, name, where }) => `${kind} ${name} of the ${where}`);
}

async function active(client: Client, slot: string): Promise<boolean> {
  const { rows } = await client.query<{ active: boolean }>(
    'select active from pg_replication_slots where slot_name = $1',
    [slot],
  );
  return rows[0]?.active ?? false;
}

it('whatever half of a migration is there is removed while it streams, and nothing of another one', async () => {
  const [rig, other] = [await shopRig(), await shopRig()];
  const { activities, scope, source, target } = rig;
  await activities.subscribe({ scope, leg: 0 });
  await other.activities.subscribe({ scope: other.scope, leg: 0 });
  // In the middle of a turn: the way back is there, half of the way forward too; and a subscription whose slot somebody took away.
  await rig.prepare(1);
  const back = legStream(scope.migration, 1);
  await target.query('select pg_create_logical_replication_slot($1, $2)', [back.name, 'pgoutput']);
  await target.query(`alter subscription ${groupStream(scope.migration, 2).name} disable`);
  await target.query(`alter subscription ${groupStream(scope.migration, 2).name} set (slot_name = none)`);
  await source.query(
    `create function cutover.cutover_${migrationKey(scope.migration)}_ddl() returns event_trigger language plpgsql as $$ begin end $$`,
  );
  await source.query(
    `create event trigger cutover_${migrationKey(scope.migration)}_ddl on ddl_command_end execute function cutover.cutover_${migrationKey(scope.migration)}_ddl()`,
  );
  expect((await left(rig)).length).toBeGreaterThan(8);

  const { removed, left: refused } = await activities.removeStreams({ scope });
  expect(refused).toEqual([]);
  expect(removed).toContain(`replication slot ${back.name} of the target`);
  expect(removed).toContain('schema cutover of the source');
  expect(await left(rig)).toEqual([]);
  expect((await activities.removeStreams({ scope })).removed).toEqual([]);

  // The other migration is in databases of its own, on the same servers; slots are the servers'.
  expect(await findObjects(other.source, { key: migrationKey(other.scope.migration) })).toHaveLength(6);
  await other.source.query(`insert into orders values (1, 'streams on')`);
  await other.activities.awaitCaughtUp({ scope: other.scope, leg: 0, maxLagMs: 5_000 });
  await other.activities.removeStreams({ scope: other.scope });
  for (const side of [source, target]) {
    expect((await side.query('select from pg_replication_origin')).rowCount).toBe(0);
    expect((await side.query('select from pg_replication_slots')).rowCount).toBe(0);
  }
  await rig.end();
  await other.end();
});

it('slots are dropped although the other side streams from them, and cannot be asked to stop', async () => {
  const rig = await shopRig();
  const { activities, scope, source, dependencies } = rig;
  const { streams } = await activities.subscribe({ scope, leg: 0 });
  expect(await active(source, streams[0] ?? '')).toBe(true);
  const alone = await openSide(dependencies.connections, scope, 'source', 'removal of streams');
  const { left: refused } = await removeStreamObjects({ source: alone }, allObjects(scope.migration));
  await alone.end();
  expect(refused).toEqual([]);
  expect(await findObjects(source, allObjects(scope.migration))).toEqual([]);
  await activities.removeStreams({ scope });
  expect(await left(rig)).toEqual([]);
  await rig.end();
});

it('two migrations from one database: each takes its own markers, the last one the schema', async () => {
  const rig = await shopRig();
  const { activities, scope, source } = rig;
  const second = { ...scope, migration: 'another-target' };
  await source.query(`create table cutover.marker_${migrationKey(second.migration)}_g1 (passed int)`);
  expect((await activities.removeStreams({ scope })).removed).not.toContain('schema cutover of the source');
  expect(await left(rig)).toEqual([]);
  expect((await activities.removeStreams({ scope: second })).removed).toEqual([
    `marker table marker_${migrationKey(second.migration)}_g1 of the source`,
    'schema cutover of the source',
  ]);
  await rig.end();
});

it.each(['source', 'target'] as const)(
  'with the %s away the other side is cleaned, and the rest when it is back',
  async (away) => {
    const rig = await shopRig();
    const { activities, scope } = rig;
    await activities.subscribe({ scope, leg: 0 });
    await rig[away].end();
    pair[away].kill();
    const here = away === 'source' ? 'target' : 'source';
    try {
      const told = await activities.removeStreams({ scope }).then(() => 'removed', failureType);
      expect(told).toBe(away === 'source' ? 'SourceUnavailable' : 'TargetUnavailable');
      expect(await findObjects(rig[here], { key: migrationKey(scope.migration) })).toEqual([]);
      expect((await rig[here].query('select from pg_replication_origin')).rowCount).toBe(0);
    } finally {
      await pair[away].restart();
    }
    await rig.reopen(away);
    expect((await activities.removeStreams({ scope })).left).toEqual([]);
    expect(await left(rig)).toEqual([]);
    await rig.end();
  },
);

it('a role that is no superuser but owns the database follows, turns the streams and leaves nothing', async () => {
  const rig = await shopRig();
  const { activities, scope, source, target, database } = rig;
  const owner = `owner_of_${database}`;
  await target.query(`create role ${owner} login replication password 'secret'`);
  await target.query(`grant pg_create_subscription to ${owner}; alter database ${database} owner to ${owner}`);
  await target.query(
    `do $$ declare t text; begin
       for t in select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('public', 'cutover') loop
         execute format('alter table %s owner to ${owner}', t); end loop;
       alter schema cutover owner to ${owner}; alter schema public owner to ${owner}; end $$`,
  );
  const url = new URL(rig.environment.TARGET ?? '');
  url.username = owner;
  url.password = 'secret';
  rig.environment.TARGET = url.href;
  await activities.subscribe({ scope, leg: 0 });
  await source.query(`insert into orders values (1, 'a')`);
  await activities.awaitCaughtUp({ scope, leg: 0, maxLagMs: 5_000 });
  const fence = createFenceActivities(rig.dependencies);
  const former = await fence.inspectAccess({ scope, side: 'target' });
  expect(former.mechanism).toBe('revoke-connect');
  const stream = await rig.prepare(1);
  await target.query(
    `alter publication ${stream.name} owner to ${owner}; alter table cutover.${stream.marker} owner to ${owner}`,
  );
  await rig.shut();
  await activities.turnStreams({ scope, leg: 0 });
  await target.query(`insert into orders values (2, 'b')`);
  await until('the source follows', async () => (await source.query('select from orders')).rowCount === 2);
  expect(await active(target, stream.name)).toBe(true);
  expect((await activities.dropLeg({ scope, leg: 0 })).dropped).toHaveLength(10);
  expect((await activities.removeStreams({ scope })).left).toEqual([]);
  for (const side of ['source', 'target'] as const)
    expect(await fence.lowerFence({ scope, side })).toEqual({ lowered: true });
  expect(await left(rig)).toEqual([]);
  await rig.end();
});
