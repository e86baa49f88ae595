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
  return (
    await client.query<Record<string, unknown>>(
      `select id, note from orders union all select id, price::text from items order by 1, 2`,
    )
  ).rows;
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
  await rig.shut();
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

/** Connections whose sessions, all together, run only so many statements: then all of them are cut, as when the worker is killed. */
class DyingConnections extends PostgresConnections {
  private statements = 0;
  private readonly opened: Client[] = [];

  constructor(
    environment: Record<string, string>,
    private readonly lives: number,
  ) {
    super(environment);
  }

  override async open(reference: ConnectionReference, options: SessionOptions): Promise<Client> {
    const client = await super.open(reference, options);
    this.opened.push(client);
    const run: unknown = Reflect.get(client, 'query');
    const counted = (...values: unknown[]): unknown => {
      this.statements += 1;
      if (this.statements > this.lives) {
        for (const one of this.opened)
          (one as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
        return Promise.reject(new Error('killed'));
      }
      return Reflect.apply(run as (...values: unknown[]) => unknown, client, values);
    };
    Object.defineProperty(client, 'query', { value: counted, configurable: true });
    return client;
  }
}

it('a turn that is killed at any statement is finished by the next call, or undone by turnBack', async () => {
  const { activities, scope, source, target } = await shopRig();
  await activities.subscribe({ scope, leg: 0 });
  await rig.prepare(1);
  await expect(activities.turnStreams({ scope, leg: 0 })).rejects.toThrow('its fence is not up');
  await rig.shut();
  let killed = 0;
  for (let lives = 1; ; lives += 1) {
    const connections = new DyingConnections(rig.environment, lives);
    const dying = createStreamActivities({ ...rig.dependencies, connections });
    const finished = await dying.turnStreams({ scope, leg: 0 }).then(
      () => true,
      () => false,
    );
    if (finished) break;
    killed += 1;
    // Twice out of three times somebody goes on, once it is undone as it is.
    if (lives % 3 !== 0) await activities.turnStreams({ scope, leg: 0 });
    await activities.turnBack({ scope, leg: 0 });
    const way = await target.query(
      'select subname, subenabled from pg_subscription where subdbid = (select oid from pg_database where datname = current_database()) order by 1',
    );
    expect(way.rows.map(({ subenabled }: { subenabled: boolean }) => subenabled)).toEqual([true, true]);
    expect(await left(source)).toMatchObject({ subscriptions: 0, slots: 2 });
    expect(await left(target)).toMatchObject({ slots: 0 });
    await source.query('insert into orders values ($1, $2)', [100 + lives, 'while the source writes']);
    await activities.awaitCaughtUp({ scope, leg: 0, maxLagMs: 5_000 });
    expect(await rows(target)).toEqual(await rows(source));
  }
  expect(killed).toBeGreaterThan(10);
  await activities.turnBack({ scope, leg: 0 });
  // A slot from before the leg was stopped would send the source its own rows again, which has no `origin` to tell them by.
  await target.query('select pg_create_logical_replication_slot($1, $2)', [
    legStream(scope.migration, 1).name,
    'pgoutput',
  ]);
  await source.query(`insert into orders values (3, 'through the leg that ends')`);
  await activities.awaitCaughtUp({ scope, leg: 0, maxLagMs: 5_000 });
  await activities.turnStreams({ scope, leg: 0 });
  await target.query(`insert into orders values (2, 'after the switch')`);
  await drained(rig, 1);
  expect(await rows(source)).toEqual(await rows(target));
});

it('a change that cannot be applied is told within seconds, with its table, without its values; mended, the stream goes on', async () => {
  const { activities, scope, source, target } = await shopRig();
  await activities.subscribe({ scope, leg: 0 });
  await target.query(`insert into orders values (7, 'was here before')`);
  await source.query(`insert into items values (8, 8)`);
  await source.query(
    `begin; insert into orders values (6, 'fine'); insert into orders values (7, 'secret value'); commit`,
  );
  const told = await failureOf(activities.awaitCaughtUp({ scope, leg: 0, maxLagMs: 5_000 }));
  expect(told.type).toBe('TargetConflict');
  expect(told.message).toContain('a transaction on public.orders');
  expect(told.message).not.toContain('secret value');
  const seen = await activities.observeStreams({ scope, leg: 0, until: { maxLagMs: 500 } });
  expect(seen.problems.join('\n')).toMatch(/_g1 stands at a transaction on public\.orders and has failed \d+ times/);
  await target.query('delete from orders where id = 7');
  await activities.awaitCaughtUp({ scope, leg: 0, maxLagMs: 5_000 });
  expect(await rows(target)).toEqual(await rows(source));
});

it('waiting shows how far it is, and ends when it is cancelled', async () => {
  const { activities, scope, source, target } = await shopRig();
  await activities.subscribe({ scope, leg: 0 });
  await target.query('begin; lock table orders');
  await source.query(`insert into orders select n, repeat('x', 100) from generate_series(100, 20000) n`);
  const stop = new AbortController();
  const reports: unknown[] = [];
  const looking = { signal: stop.signal, report: (progress: unknown) => reports.push(progress) };
  const waiting = withOnlooker(looking, () => activities.awaitCaughtUp({ scope, leg: 0, maxLagMs: 5_000 }));
  waiting.catch(() => undefined);
  await until('progress is shown', () => JSON.stringify(reports).includes('bytesPerSecond'));
  const { problems } = await activities.observeStreams({ scope, leg: 0, until: { maxLagMs: 200 } });
  expect(problems.join()).toMatch(/its worker waits for a lock of pid \d+: role postgres, program test/);
  expect(reports.at(-1)).toMatchObject({ lagBytes: expect.any(Number) as number });
  stop.abort();
  await expect(waiting).rejects.toThrow('abort');
  await target.query('rollback');
  expect((await activities.awaitCaughtUp({ scope, leg: 0, maxLagMs: 5_000 })).lagMs).toBeLessThan(5_000);
});

it('a slot that the server has given up, or that is gone, is a lost stream', async () => {
  const { activities, scope, source, target } = await shopRig();
  const [first = '', second = ''] = (await activities.subscribe({ scope, leg: 0 })).streams;
  await target.query(`alter subscription ${first} disable`);
  await target.query(`alter subscription ${second} disable`);
  await until('nobody holds the slot', async () => {
    const { rows: slots } = await source.query<{ active: boolean }>(
      'select active from pg_replication_slots where slot_name = $1',
      [second],
    );
    return slots[0]?.active === false;
  });
  await query(pair.source.url(), [`alter system set max_slot_wal_keep_size = '1MB'`, 'select pg_reload_conf()']);
  try {
    await until('the server gives the slot up', async () => {
      await source.query(
        `select pg_logical_emit_message(false, 'cutover', repeat('x', 4000000)); select pg_switch_wal()`,
      );
      await source.query('checkpoint');
      const { rows: slots } = await source.query<{ wal_status: string }>(
        'select wal_status from pg_replication_slots where slot_name = $1',
        [second],
      );
      return slots[0]?.wal_status === 'lost';
    });
  } finally {
    await query(pair.source.url(), ['alter system reset max_slot_wal_keep_size', 'select pg_reload_conf()']);
  }
  const told = await failureOf(activities.awaitCaughtUp({ scope, leg: 0, maxLagMs: 5_000 }));
  expect(told.type).toBe('StreamLost');
  expect(told.message).toContain(`${first} of the source has been invalidated`);
  const { streams, problems } = await activities.observeStreams({ scope, leg: 0 });
  expect(streams.find(({ name }) => name === second)?.state).toBe('broken');
  expect(problems.join()).toContain('invalidated');
  await source.query('select pg_drop_replication_slot($1)', [first]);
  expect((await failureOf(activities.subscribe({ scope, leg: 0 }))).message).toContain(
    `${first} is gone from the source`,
  );
});

it('a cutover may begin exactly when the following side is shut, its streams run, and nothing is in the way', async () => {
  const { activities, scope, source, target } = await shopRig();
  await activities.subscribe({ scope, leg: 0 });
  const fence = createFenceActivities(rig.dependencies);
  const problems = async (): Promise<string> =>
    (await activities.observeStreams({ scope, leg: 0, until: { maxLagMs: 5_000 } })).problems.join('\n');
  expect(await problems()).toMatch(/the fence on .* of the target is not up/);
  const former = await fence.inspectAccess({ scope, side: 'target' });
  await target.end();
  await fence.raiseFence({ scope, side: 'target', former });
  expect(await problems()).toBe('');

  await rig.reopen('target', '-c default_transaction_read_only=off');
  expect(await problems()).toBe('');
  await rig.target.query('begin');
  await rig.target.query('create temporary table mine (id int)');
  expect(await problems()).toMatch(/somebody else writes to the target, which follows: .*program test/);
  await rig.target.query('rollback');
  await rig.target.query(
    `alter subscription ${(await activities.subscribe({ scope, leg: 0 })).streams[0] ?? ''} disable`,
  );
  await source.query(`create table late (id int primary key)`);
  await rig.target.query(`create table late (id int primary key)`);
  await source.query(
    `alter publication ${(await activities.subscribe({ scope, leg: 0 })).streams[1] ?? ''} add table late`,
  );
  expect(await problems()).toContain('changes of public.late are published on the source');
  await fence.lowerFence({ scope, side: 'target' });
});

it('passwords with quotes, spaces and backslashes reach the other server, and nobody sees them', async () => {
  const { activities, scope, source } = await shopRig();
  const password = `it's "quite" \\ odd 100% = p#s?s/w:rd`;
  await source.query(`create role mover login superuser password '${password.replaceAll("'", "''")}'`);
  const url = new URL(rig.environment.SOURCE ?? '');
  url.username = 'mover';
  url.password = '';
  const odd = url.href.replace('mover@', `mover:${encodeURIComponent(password)}@`);
  rig.environment.LINK = odd;
  const linked = { ...scope, links: { sourceFromTarget: { env: 'LINK' } } };
  await query(pair.target.url(), [
    `alter system set log_statement = 'all'`,
    `alter system set log_min_duration_statement = 0`,
    'select pg_reload_conf()',
  ]);
  const seen: string[] = [];
  const onlooker = new Client({ connectionString: rig.environment.TARGET });
  await onlooker.connect();
  let done = false;
  const looking = (async () => {
    while (!done)
      seen.push(
        ...(await onlooker.query<{ query: string }>('select query from pg_stat_activity')).rows.map((row) => row.query),
      );
  })();
  await activities.subscribe({ scope: linked, leg: 0 });
  await activities.awaitCaughtUp({ scope: linked, leg: 0, maxLagMs: 5_000 });
  rig.environment.LINK = odd.replace(/@[^/]*\//, '@127.0.0.1:1/');
  await rig.prepare(1);
  const backwards = { ...scope, links: { targetFromSource: { env: 'LINK' } } };
  const told = await failureOf(activities.rehearseTurn({ scope: backwards, leg: 0 }));
  expect(failureType(told)).toBe('TargetUnavailable');
  expect(told.message).toMatch(
    /could not be made on the source: its server cannot connect to the target by env LINK.*cdc\.targetFromSource/,
  );
  done = true;
  await looking;
  await onlooker.end();
  const logs = await Promise.all(
    [pair.source, pair.target].map(({ folder }) => readFile(join(folder, 'postgres.log'), 'utf8')),
  );
  expect(logs[1]).toContain('pg_stat_activity');
  for (const text of [...logs, seen.join('\n'), told.message]) {
    for (const part of ['quite', 'p#s?s', 'p%23s'])
      expect(text.replaceAll(/.*create role mover.*/g, '')).not.toContain(part);
  }
  await query(pair.target.url(), [
    'alter system reset log_statement',
    'alter system reset log_min_duration_statement',
    'select pg_reload_conf()',
  ]);
  await activities.removeStreams({ scope });
  await source.query('drop role mover');
});

it('addresses are handed to libpq as they are meant', () => {
  const text = (url: string): string =>
    libpqString(url, 'cutover_x').conninfo.replace(/ application_name='cutover_x'$/, '');
  expect(text('postgresql://u:p@h:6432/d')).toBe(
    `host='h' port='6432' dbname='d' user='u' password='p' connect_timeout='10'`,
  );
  expect(text('postgresql://u@/d?host=/var/run/pg')).toBe(
    `host='/var/run/pg' dbname='d' user='u' connect_timeout='10'`,
  );
  expect(text('postgresql://u@%2Fvar%2Frun%2Fpg/d')).toBe(
    `host='/var/run/pg' dbname='d' user='u' connect_timeout='10'`,
  );
  expect(text(`postgresql://u:${encodeURIComponent(`a'b\\c d`)}@[::1]/d`)).toBe(
    `host='::1' dbname='d' user='u' password='a\\'b\\\\c d' connect_timeout='10'`,
  );
  expect(
    text(
      'postgresql://u@h/d?sslmode=verify-full&sslrootcert=/not/on/the/worker.crt&uselibpqcompat=true&connect_timeout=3',
    ),
  ).toBe(`host='h' dbname='d' user='u' sslmode='verify-full' sslrootcert='/not/on/the/worker.crt' connect_timeout='3'`);
});
