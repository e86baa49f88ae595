import { Client } from 'pg';
import { createFileStore } from '../../activities/artifacts/file-store';
import type { PostgresDependencies } from '../../activities/dependencies';
import { failureType } from '../../activities/errors';
import { PostgresConnections } from '../../activities/postgres/connection';
import { createFenceActivities } from '../../activities/postgres/fence';
import { openLedger } from '../../activities/postgres/ledger';
import { createLeftoverActivities } from '../../activities/postgres/leftovers';
import type { PostgresScope } from '../../activities/postgres/scope';
import { ensureMarker } from '../../activities/postgres/stream/marker';
import { groupStream, migrationKey, streamPrefix } from '../../activities/postgres/stream/names';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';

let pair: PostgresPair;
let target: Client;
let dependencies: PostgresDependencies;
const scope: PostgresScope = {
  migration: 'shop-to-18',
  source: { env: 'SOURCE' },
  target: { env: 'TARGET' },
  tables: { include: ['*.*'], exclude: [] },
};

beforeAll(async () => {
  pair = await startPair();
  await pair.source.createDatabase('shop');
  target = new Client({ connectionString: await pair.target.createDatabase('shop'), application_name: 'shop' });
  await target.connect();
  const connections = new PostgresConnections({ SOURCE: pair.source.url('shop'), TARGET: pair.target.url('shop') });
  dependencies = { connections, tools: {}, artifacts: createFileStore('file:///tmp/cutover-unused') };
});
afterAll(async () => {
  await target.end();
  await pair.stop();
});

const look = (kept = {}) => createLeftoverActivities(dependencies).findLeftovers({ scope, kept });

const kinds = [
  ...['schema', 'fence', 'replication slot', 'publication', 'subscription', 'event trigger', 'function'],
  ...['marker table', 'replication origin', 'session'],
];
const mine = streamPrefix(scope.migration);

it('nothing is left on untouched servers, and every kind of thing was looked for on both sides', async () => {
  const found = await look();
  expect(found.every(({ state }) => state === 'gone')).toBe(true);
  expect(found.map(({ kind, where }) => `${where}: ${kind}`)).toEqual([
    ...kinds.map((kind) => `source: ${kind}`),
    ...kinds.map((kind) => `target: ${kind}`),
  ]);
});

it('whatever is still there is named with what it does or how to remove it', async () => {
  await openLedger(target, scope.migration);
  await target.query(
    `create publication ${mine}l1 for all tables; create subscription ${mine}g1 connection 'host=nowhere' publication p with (connect = false)`,
  );
  const lane = new Client({ connectionString: pair.target.url('shop'), application_name: 'cutover copy lane 1' });
  await lane.connect();
  const present = (await look()).filter(({ state }) => state === 'present');
  expect(present.map(({ kind, name }) => `${kind} ${name.replace(/\d+\)/, 'n)')}`)).toEqual([
    'schema cutover',
    `publication ${mine}l1`,
    `subscription ${mine}g1`,
    'session cutover copy lane 1 (pid n)',
  ]);
  await lane.end();
  await target.query(`drop publication ${mine}l1`);
  await target.query(`alter subscription ${mine}g1 set (slot_name = none)`);
  await target.query(`drop subscription ${mine}g1`);
  await target.query('drop schema cutover cascade');
  expect((await look()).filter(({ state }) => state !== 'gone')).toEqual([]);
});

it('what another migration streams with is kept, and told whose it is; its schema of markers too', async () => {
  const source = new Client({ connectionString: pair.source.url('shop'), application_name: 'test' });
  await source.connect();
  const other = groupStream('orders-to-18', 1);
  await ensureMarker(source, other);
  await source.query(`create publication ${other.name} for table cutover.${other.marker}`);
  const states = async () =>
    (await look())
      .filter(({ where, state }) => where === 'source' && state !== 'gone')
      .map(({ kind, name, state }) => `${kind} ${name} ${state}`);
  expect(await states()).toEqual([
    'schema cutover kept',
    `publication ${other.name} kept`,
    `marker table ${other.marker} kept`,
  ]);
  expect((await look()).find(({ name }) => name === other.name)?.why).toContain(migrationKey('orders-to-18'));
  await ensureMarker(source, groupStream(scope.migration, 1));
  expect(await states()).toContain('schema cutover present');
  await source.query(`drop publication ${other.name}; drop schema cutover cascade`);
  await source.end();
});

it('a fence that is meant to stay is kept, one that is not is left behind, and one that is missing is told', async () => {
  const fence = createFenceActivities(dependencies);
  const former = await fence.inspectAccess({ scope, side: 'source' });
  await fence.raiseFence({ scope, side: 'source', former });
  const state = async (kept: object) =>
    (await look(kept)).find(({ kind, where }) => kind === 'fence' && where === 'source');
  expect(await state({ sourceFence: true })).toMatchObject({ state: 'kept', name: 'shop' });
  expect(await state({})).toMatchObject({ state: 'present', why: 'new sessions are still refused' });
  await fence.lowerFence({ scope, side: 'source' });
  expect(await state({ sourceFence: true })).toMatchObject({
    state: 'gone',
    why: 'it was meant to stay, but somebody has lowered it',
  });
});

it('a side that cannot be looked at is not called clean', async () => {
  const connections = new PostgresConnections({
    SOURCE: pair.source.url('shop'),
    TARGET: 'postgresql://postgres@127.0.0.1:1/shop',
  });
  const found = createLeftoverActivities({ ...dependencies, connections }).findLeftovers({ scope, kept: {} });
  expect(await found.then(() => 'clean', failureType)).toBe('TargetUnavailable');
});
