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
import { measureErrorRate } from '../../activities/application/error-rate';
import { createFileStore } from '../../activities/artifacts/file-store';
import type { PostgresDependencies } from '../../activities/dependencies';
import { PostgresConnections } from '../../activities/postgres/connection';
import { createLossActivities } from '../../activities/postgres/loss';
import { createMonitorActivities, type WatchRequest, type WatchResult } from '../../activities/postgres/monitor';
import {
  addLook,
  addRound,
  initialState,
  parseState,
  triggersOf,
  windowRateOf,
} from '../../activities/postgres/monitor-window';
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

  it('does not take fewer errors than the plan asks for as a breach, whatever their share', async () => {
    healthy = false;
    const seen = await watch(request(0.6, {}, { breachesNeeded: 1_000 }));
    expect(seen).toMatchObject({ errorRatePercent: 50, breaches: [], endedBy: 'time' });
  });

  it('ends at once when the error rate in the window is over the trigger', async () => {
    const watching = watch(request(60));
    await sleep(300);
    healthy = false;
    const seen = await watching;
    expect(seen.endedBy).toBe('breach');
    expect(seen.breaches[0]).toMatch(
      /% errors \(2 of \d+ looks in the last 2s\), more than 1 %; last: probe home: status 503/,
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

  describe('by the trigger of', () => {
    /** Stands in for Prometheus' instant query API. */
    let prometheus: Server;
    let answer: object | string;
    let asked: { url: string; authorization?: string } | undefined;
    const vector = (...values: string[]) => ({
      status: 'success',
      data: { resultType: 'vector', result: values.map((value) => ({ metric: {}, value: [1, value] })) },
    });
    const trigger = () => ({
      prometheus: {
        url: `http://127.0.0.1:${(prometheus.address() as AddressInfo).port}/prom/`,
        query: 'rate(errors[5m])',
        token: { env: 'PROMETHEUS_TOKEN' },
        maxValue: 5,
      },
    });
    const watchBy = (given: WatchRequest) =>
      createMonitorActivities({ ...dependencies, environment: { PROMETHEUS_TOKEN: 'verysecret' } }).watchTarget(given);

    beforeAll(async () => {
      prometheus = createServer((incoming, response) => {
        asked = { url: incoming.url ?? '', authorization: incoming.headers.authorization };
        response.writeHead(200).end(typeof answer === 'string' ? answer : JSON.stringify(answer));
      }).listen(0, '127.0.0.1');
      await once(prometheus, 'listening');
    });
    afterAll(() => void prometheus.close());

    it('Prometheus: fires for values that are too high so many times in a row, and not for others', async () => {
      answer = vector('4.9');
      const fine = await watchBy(request(0.5, {}, trigger()));
      expect(fine).toMatchObject({
        errors: 0,
        endedBy: 'time',
        triggers: [{ name: 'prometheus', bad: 0, unknown: 0 }],
      });
      expect(asked).toEqual({
        url: '/prom/api/v1/query?query=rate%28errors%5B5m%5D%29',
        authorization: 'Bearer verysecret',
      });
      answer = { status: 'success', data: { resultType: 'scalar', result: [1, '7.25'] } };
      const high = await watchBy(request(60, {}, { ...trigger(), breachesNeeded: 3 }));
      expect(high).toMatchObject({
        endedBy: 'breach',
        triggers: [{ name: 'prometheus', looks: 3, bad: 3, breached: true }],
      });
      expect(high.breaches).toEqual(['the Prometheus query gave 7.25, more than 5']);
    });

    it.each([
      ['no sample', vector(), 'gave 0 samples'],
      ['several samples', vector('1', '2'), 'gave 2 samples'],
      ['NaN', vector('NaN'), 'gave NaN, which is no number'],
      ['another shape', '<html>', 'neither a scalar nor a vector'],
    ])('Prometheus: %s is an error of the watch, never fine', async (_what, given, words) => {
      answer = given;
      const seen = await watchBy(request(60, {}, trigger()));
      expect(seen.endedBy).toBe('breach');
      expect(seen.breaches[0]).toContain(words);
      expect(seen.triggers).toMatchObject([{ name: 'prometheus', bad: 0, breached: false }]);
    });

    it('the baseline has measured the same before, so that the report can compare', async () => {
      const { signal } = new AbortController();
      const environment = { PROMETHEUS_TOKEN: 'verysecret' };
      const before = () =>
        measureErrorRate(
          { probes: [{ name: 'home', url: url() }], interval: '50ms', ...trigger() },
          { environment, signal },
        );
      answer = vector('0.5');
      expect(await before()).toEqual({
        probes: { samples: 20, errors: 0, errorRatePercent: 0 },
        prometheusValue: 0.5,
      });
      healthy = false;
      answer = vector('NaN');
      expect(await before()).toEqual({ probes: { samples: 20, errors: 20, errorRatePercent: 100 } });
    });

    it('integrity: fires for a wrong answer and for NULLs where none may be, not for right ones', async () => {
      const integrity = [{ name: 'a hundred orders', sql: 'select count(*) >= 100 from orders', expect: 't' }];
      const declared = {
        notNull: [{ table: 'public.orders', columns: ['id'] }],
        assertions: [
          { name: 'no quiet ones', sql: 'select count(*) from quiet', expect: '0' },
          { name: 'compared with the source only', sql: 'select 1' },
        ],
        smoke: [],
      };
      const fine = await watch(request(0.5, { declared }, { integrity, integrityInterval: '50ms' }));
      expect(fine).toMatchObject({ errors: 0, endedBy: 'time', triggers: [{ name: 'integrity', bad: 0 }] });
      expect(fine.triggers?.[0]?.last).toBe('3 of 3 passed');
      await shop.query('insert into public.quiet values (1); insert into public.orders (id) values (null)');
      const wrong = await watch(request(60, { declared }, { integrity, integrityInterval: '5m' }));
      await shop.query('delete from public.quiet; delete from public.orders where id is null');
      expect(wrong.endedBy).toBe('breach');
      expect(wrong.triggers).toMatchObject([{ name: 'integrity', looks: 2, bad: 2 }]);
      expect(wrong.breaches[0]).toMatch(
        /2 of 3 failed: not null: public.orders.id, 1 NULLs; assertion: no quiet ones, 1/,
      );
      const without = await watch(request(0.3, { declared }, { declaredChecks: false }));
      expect(without.triggers).toBeUndefined();
    });

    it('integrity: a check that cannot be made is an error of the watch, never fine', async () => {
      const integrity = [{ name: 'gone', sql: 'select 1 from public.gone', expect: '1' }];
      const seen = await watch(request(60, {}, { integrity, integrityInterval: '50ms', probes: [] }));
      expect(seen.breaches[0]).toContain('could not be looked at: assertion: gone');
      expect(seen.triggers?.[0]).toMatchObject({ bad: 0, breached: false });
    });

    it('smoke tests: fires when they fail now, not when they pass or are not repeated', async () => {
      const declared = { notNull: [], assertions: [], smoke: [{ name: 'home', url: url(), expectStatus: 200 }] };
      const triggers = { probes: [], smoke: true, smokeInterval: '100ms' };
      const fine = await watch(request(0.5, { declared }, triggers));
      expect(fine).toMatchObject({ endedBy: 'time', triggers: [{ name: 'smoke', bad: 0 }] });
      healthy = false;
      const broken = await watch(request(60, { declared }, triggers));
      expect(broken.breaches).toEqual(['smoke tests: 1 of 1 failed: smoke: home, status 503, expected 200']);
      expect(broken.triggers).toMatchObject([{ name: 'smoke', bad: 2 }]);
      const unwatched = await watch(request(0.3, { declared }, { ...triggers, smoke: false }));
      expect(unwatched).toMatchObject({ endedBy: 'time', breaches: [] });
    });

    it('query times: one slow measurement is no breach where the next is fast', () => {
      const slow = { verdict: 'bad', said: 'slow' } as const;
      let state = addLook(initialState, 'slowdown', slow);
      expect(triggersOf(state, 2)).toMatchObject([{ breached: false }]);
      state = addLook(state, 'slowdown', { verdict: 'unknown', said: 'lost' });
      expect(triggersOf(addLook(state, 'slowdown', slow), 2)).toMatchObject([{ breached: true, unknown: 1 }]);
      state = addLook(state, 'slowdown', { verdict: 'fine', said: 'fast' });
      expect(triggersOf(addLook(state, 'slowdown', slow), 2)).toMatchObject([{ breached: false, bad: 2 }]);
    });
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
