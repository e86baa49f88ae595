import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { MockActivityEnvironment } from '@temporalio/testing';
import { Client } from 'pg';
import { createFileStore } from '../../activities/artifacts/file-store';
import type { PostgresDependencies } from '../../activities/dependencies';
import { PostgresConnections } from '../../activities/postgres/connection';
import { createLossActivities } from '../../activities/postgres/loss';
import { createMonitorActivities, type WatchRequest, type WatchResult } from '../../activities/postgres/monitor';
import { addRound, initialState, parseState, windowRateOf } from '../../activities/postgres/monitor-window';
import type { PostgresScope } from '../../activities/postgres/scope';
import { startPostgres, type PostgresServer } from '../../local/postgres-server';

let server: PostgresServer;
let http: Server;
let healthy = true;
let shop: Client;
let root: string;
let dependencies: PostgresDependencies;
const scope: PostgresScope = {
  migration: 'shop-to-18',
  source: { env: 'NONE' },
  target: { env: 'TARGET' },
  tables: { include: ['*.*'], exclude: [] },
};

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'cutover-monitor-'));
  server = await startPostgres({ major: 18 });
  await server.createDatabase('shop');
  await connectShop();
  await shop.query(
    'create table public.orders (id int, note text); create table public.quiet (id int); insert into public.orders select n from generate_series(1, 100) n',
  );
  http = createServer((_request, response) => response.writeHead(healthy ? 200 : 503).end()).listen(0, '127.0.0.1');
  await once(http, 'listening');
  const connections = new PostgresConnections({ TARGET: server.url('shop') });
  dependencies = { connections, tools: {}, artifacts: createFileStore(pathToFileURL(root).href) };
});
afterAll(async () => {
  http.close();
  await shop.end().catch(() => undefined);
  await server.stop();
  await rm(root, { recursive: true, force: true });
});

async function connectShop(): Promise<void> {
  shop = new Client({ connectionString: server.url('shop'), application_name: 'shop' });
  shop.on('error', () => undefined);
  await shop.connect();
}

describe('watching the target', () => {
  const url = () => `http://127.0.0.1:${(http.address() as AddressInfo).port}/`;
  const request = (seconds: number, rest: Partial<WatchRequest> = {}, triggers: object = {}): WatchRequest => ({
    scope,
    triggers: {
      errorRatePercent: 1,
      slowdownPercent: 50,
      probes: [{ name: 'home', url: url() }],
      interval: '50ms',
      window: '2s',
      ...triggers,
    },
    queries: [],
    baseline: [],
    startedIso: new Date().toISOString(),
    untilIso: new Date(Date.now() + seconds * 1_000).toISOString(),
    ...rest,
  });
  const watch = (given: WatchRequest) => createMonitorActivities(dependencies).watchTarget(given);

  beforeEach(() => {
    healthy = true;
  });

  it('ends by time when all is well, with the figures', async () => {
    const seen = await watch(
      request(0.5, {
        queries: [{ name: 'count', sql: 'select count(*) from orders' }],
        baseline: [{ name: 'count', medianMs: 10_000 }],
      }),
    );
    expect(seen).toMatchObject({ errors: 0, errorRatePercent: 0, breaches: [], endedBy: 'time' });
    expect(seen.samples).toBeGreaterThanOrEqual(4);
    expect(seen.slowdownPercent).toBeLessThan(0);
  });

  it('ends at once when the error rate in the window is over the trigger', async () => {
    const watching = watch(request(60));
    await sleep(300);
    healthy = false;
    const seen = await watching;
    expect(seen.endedBy).toBe('breach');
    expect(seen.breaches[0]).toMatch(
      /% errors \(1 of \d+ looks in the last 2s\), more than 1 %; last: probe home: status 503/,
    );
  });

  it('counts a target that is away, or read-only, as errors, and no probe is needed for that', async () => {
    const away = { ...scope, target: { env: 'AWAY' } };
    const connections = new PostgresConnections({ AWAY: 'postgresql://postgres@127.0.0.1:1/shop' });
    const seen = await createMonitorActivities({ ...dependencies, connections }).watchTarget(
      request(60, { scope: away }, { probes: [] }),
    );
    expect(seen).toMatchObject({ samples: 5, errors: 5, errorRatePercent: 100, endedBy: 'breach' });
    await shop.query(`alter database shop set default_transaction_read_only = 'on'`);
    expect((await watch(request(60, {}, { probes: [] }))).breaches[0]).toContain('read-only by default');
    await shop.query('alter database shop reset default_transaction_read_only');
  });

  it('ends when a query stays slower than its baseline by more than the trigger', async () => {
    const queries = [{ name: 'sleepy', sql: 'select pg_sleep(0.03)' }];
    const seen = await watch(request(60, { queries, baseline: [{ name: 'sleepy', medianMs: 5 }] }));
    expect(seen.breaches[0]).toMatch(/query sleepy is \d+.*% slower/);
    expect(seen.slowdownPercent).toBeGreaterThan(50);
  });

  it('counts a query that fails now, though it ran before, as an error', async () => {
    const queries = [{ name: 'gone', sql: 'select 1 from public.gone' }];
    const seen = await watch(request(60, { queries, baseline: [{ name: 'gone', medianMs: 5 }] }));
    expect(seen.breaches[0]).toContain('last: query gone: relation "public.gone" does not exist');
  });

  it('goes on counting where the attempt before it stopped, and begins anew from a heartbeat of another shape', async () => {
    const run = async (heartbeatDetails: unknown): Promise<WatchResult> => {
      const environment = new MockActivityEnvironment({ heartbeatDetails });
      return environment.run(createMonitorActivities(dependencies).watchTarget, request(0.2));
    };
    const state = addRound(initialState, { at: Date.now() - 60_000, samples: 1_000, errors: ['x'] }, 2_000);
    const resumed = await run(state);
    expect(resumed.samples).toBeGreaterThan(1_000);
    expect(resumed).toMatchObject({ errors: 1, endedBy: 'time' });
    expect((await run({ samples: 'many' })).samples).toBeLessThan(100);
  });

  it('stops when it is cancelled', async () => {
    const environment = new MockActivityEnvironment();
    const running = environment.run(createMonitorActivities(dependencies).watchTarget, request(60));
    environment.cancel('CANCELLED');
    await expect(running).rejects.toThrow();
  });

  it('keeps its window small enough for a heartbeat, however long it is', () => {
    let state = initialState;
    for (let second = 0; second < 20_000; second += 1) {
      state = addRound(state, { at: second * 1_000, samples: 10, errors: second % 100 === 0 ? ['x'] : [] }, 3_600_000);
    }
    expect(state.window.length).toBeLessThanOrEqual(101);
    expect(windowRateOf(state).percent).toBeCloseTo(0.1, 2);
    expect(parseState(JSON.parse(JSON.stringify(state)))).toEqual(state);
  });
});

describe('what going back would lose', () => {
  const loss = () => createLossActivities(dependencies);
  /** Statistics of a session are complete when it has ended. */
  async function write(sql: string): Promise<void> {
    await shop.query(sql);
    await shop.end();
    await connectShop();
  }

  it('is counted row by row since the switch, the most written tables first', async () => {
    await write('select 1');
    const mark = await loss().markWrites({ scope });
    expect(await loss().measureLoss({ scope, mark })).toEqual({ writes: '0', detail: [], exact: true });
    await write(
      `insert into public.orders select n from generate_series(1, 40) n; update public.orders set note = 'x' where id <= 2; delete from public.orders where id = 100; insert into public.quiet values (1); create table public.fresh (id int); insert into public.fresh values (1), (2)`,
    );
    const measured = await loss().measureLoss({ scope, mark });
    expect(measured).toEqual({
      writes: '48',
      detail: [
        'public.orders: 40 inserted, 4 updated, 1 deleted',
        'public.fresh: 2 inserted, 0 updated, 0 deleted',
        'public.quiet: 1 inserted, 0 updated, 0 deleted',
      ],
      exact: true,
    });
  });

  it('is called a lower bound after the server crashed, and never nothing', async () => {
    const mark = await loss().markWrites({ scope });
    server.kill();
    await server.restart();
    await connectShop();
    await write('insert into public.quiet select generate_series(1, 7)');
    const measured = await loss().measureLoss({ scope, mark });
    expect(measured.exact).toBe(false);
    expect(Number(measured.writes)).toBeGreaterThanOrEqual(7);
    expect(measured.detail.join()).toMatch(/statistics of the target were reset.*\d+ writing transactions/);
  });
});
