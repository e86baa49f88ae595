import { Client } from 'pg';
import { createFileStore } from '../../activities/artifacts/file-store';
import type { PostgresDependencies } from '../../activities/dependencies';
import { failureType } from '../../activities/errors';
import { PostgresConnections } from '../../activities/postgres/connection';
import { createFenceActivities } from '../../activities/postgres/fence';
import { openLedger } from '../../activities/postgres/ledger';
import { createLeftoverActivities } from '../../activities/postgres/leftovers';
import type { PostgresScope } from '../../activities/postgres/scope';
import { scratchDatabase } from '../../activities/postgres/snapshot/scratch';
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

it('nothing is left on untouched servers, and every kind of thing was looked for on both sides', async () => {
  const found = await look();
  expect(found.every(({ state }) => state === 'gone')).toBe(true);
  expect(found.map(({ kind, where }) => `${where}: ${kind}`)).toEqual([
    ...['fence', 'replication slot', 'publication', 'subscription', 'scratch database', 'session'].map(
      (kind) => `source: ${kind}`,
    ),
    ...['schema', 'fence', 'replication slot', 'publication', 'subscription', 'scratch database', 'session'].map(
      (kind) => `target: ${kind}`,
    ),
  ]);
});

it('whatever is still there is named with what it does or how to remove it', async () => {
  await openLedger(target, scope.migration);
  await target.query(
    `create publication cutover_shop for all tables; create subscription cutover_back connection 'host=nowhere' publication p with (connect = false)`,
  );
  await target.query(`create database ${scratchDatabase(scope.migration)}`);
  const lane = new Client({ connectionString: pair.target.url('shop'), application_name: 'cutover copy lane 1' });
  await lane.connect();
  const present = (await look()).filter(({ state }) => state === 'present');
  expect(present.map(({ kind, name }) => `${kind} ${name.replace(/\d+\)/, 'n)')}`)).toEqual([
    'schema cutover',
    'publication cutover_shop',
    'subscription cutover_back',
    `scratch database ${scratchDatabase(scope.migration)}`,
    'session cutover copy lane 1 (pid n)',
  ]);
  await lane.end();
  await target.query(`drop publication cutover_shop`);
  await target.query(`alter subscription cutover_back set (slot_name = none)`);
  await target.query(`drop subscription cutover_back`);
  await target.query(`drop database ${scratchDatabase(scope.migration)}`);
  await target.query('drop schema cutover cascade');
  expect((await look()).filter(({ state }) => state !== 'gone')).toEqual([]);
});

it('a fence that is meant to stay is kept, one that is not is left behind, and one that is missing is told', async () => {
  const fence = createFenceActivities(dependencies);
  const former = await fence.inspectAccess({ scope, side: 'source' });
  await fence.raiseFence({ scope, side: 'source', former });
  const state = async (kept: object) =>
    (await look(kept)).find(({ kind, where }) => kind === 'fence' && where === 'source');
  expect(await state({ sourceFence: true })).toMatchObject({ state: 'kept', name: 'shop' });
  expect(await state({})).toMatchObject({ state: 'present', why: 'new sessions are still refused' });
  await fence.lowerFence({ scope, side: 'source', former });
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
