import { Client } from 'pg';
import { failureType } from '../../activities/errors';
import { withOnlooker } from '../../activities/heartbeat';
import { PostgresConnections, type SessionOptions } from '../../activities/postgres/connection';
import { createFenceActivities } from '../../activities/postgres/fence';
import { createStreamActivities } from '../../activities/postgres/stream';
import { libpqString } from '../../activities/postgres/stream/connection-string';
import { passMarker } from '../../activities/postgres/stream/marker';
import { legStream } from '../../activities/postgres/stream/names';
import type { ConnectionReference } from '../../plan/reference';
import { failureOf } from '../fixtures/failure-of';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';
import { streamRig, type StreamRig } from '../fixtures/stream-rig';
import { until } from '../fixtures/until';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

let pair: PostgresPair;
let rig: StreamRig;

beforeAll(async () => {
  pair = await startPair();
  for (const server of [pair.source, pair.target]) {
    // A worker that failed is started again at once, so that tests need not wait five seconds for it.
    await query(
      server.url(),
      `alter system set wal_retrieve_retry_interval = '100ms'; select pg_reload_conf()`.split('; '),
    );
  }
});
afterAll(() => pair.stop());
afterEach(async () => {
  await rig.activities.removeStreams({ scope: rig.scope }).catch(() => undefined);
  await rig.end();
});

const shop = `
create table public.orders (id int primary key, note text);
create table public.items (id int primary key, price int);`;

async function query(url: string, statements: string[]): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
}

async function shopRig(): Promise<StreamRig> {
  rig = await streamRig(pair, shop);
  await rig.group(1, ['public.orders']);
  await rig.group(2, ['public.items']);
  await rig.source.query(`insert into orders values (1, 'a'); insert into items values (1, 0)`);
  return rig;
}

/** Everything committed on the writing side of a leg is on the other. */
async function drained({ scope, source, target }: StreamRig, leg: number): Promise<void> {
  const stream = legStream(scope.migration, leg);
  const sides = { source, target };
  await passMarker(sides[stream.from], sides[stream.to], [stream], { timeoutMs: 10_000 });
}

async function rows(client: Client): Promise<unknown[]> {
  return (await client.query(`select id, note from orders union all select id, price::text from items order by 1, 2`))
    .rows;
}

async function left(client: Client): Promise<unknown> {
  const { rows: counted } = await client.query(`
    select (select count(*) from pg_subscription where subname like 'cutover%')::int as subscriptions,
           (select count(*) from pg_replication_slots where slot_name like 'cutover%')::int as slots,
           (select count(*) from pg_replication_origin)::int as origins,
           (select count(*) from pg_publication)::int as publications,
           (select count(*) from pg_tables where schemaname = 'cutover' and tablename like 'marker%')::int as markers`);
  return counted[0];
}
const nothing = { subscriptions: 0, slots: 0, origins: 0, publications: 0, markers: 0 };

it('streams turn round again and again, each way carries every change once, and a dropped leg leaves nothing', async () => {
  const { activities, scope, source, target } = await shopRig();
  expect((await activities.subscribe({ scope, leg: 0 })).streams).toHaveLength(2);
  const health = await activities.awaitCaughtUp({ scope, leg: 0, maxLagMs: 5_000 });
  expect(health.streams.map(({ tables, state, errors }) => ({ tables, state, errors }))).toEqual([
    { tables: 1, state: 'streaming', errors: 0 },
    { tables: 1, state: 'streaming', errors: 0 },
  ]);
  for (const leg of [0, 1, 2, 3]) {
    await rig.prepare(leg + 1);
    const rehearsed = await activities.rehearseTurn({ scope, leg });
    expect(rehearsed.evidence.length).toBeGreaterThan(2);
    const { parts } = await activities.turnStreams({ scope, leg });
    expect(parts.map(({ name }) => name)).toEqual([
      'connect',
      'former stream stopped',
      'slot of the way back',
      'subscription of the way back',
      'way back seen to stream',
    ]);
    const { dropped } = await activities.dropLeg({ scope, leg });
    expect(dropped.length).toBeGreaterThanOrEqual(5);
    const writer = leg % 2 === 0 ? target : source;
    await writer.query(`insert into orders values ($1, 'from the other side')`, [leg + 10]);
    await writer.query('update items set price = price + 1');
    await drained(rig, leg + 1);
    expect(await rows(source)).toEqual(await rows(target));
  }
  // Nothing went round: each side has had each of the four updates once, by itself or through the stream.
  for (const side of [source, target]) {
    expect((await side.query(`select price from items`)).rows).toEqual([{ price: 4 }]);
    await until('statistics are there', async () => {
      const { rows: counted } = await side.query<{ updates: number }>(
        `select n_tup_upd::int as updates from pg_stat_user_tables where relname = 'items'`,
      );
      return counted[0]?.updates === 4;
    });
  }
  await activities.dropLeg({ scope, leg: 4 });
  expect([await left(source), await left(target)]).toEqual([nothing, nothing]);
});
