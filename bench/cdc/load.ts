// The load of the benchmark, a process of its own: writers that each send one statement after the other, at a rate over all of them, and the
// admin endpoints by which a migration stops them and takes them to the other side. One statement a write, so that the rate is the
// servers' and not the application's. Every acknowledged write is remembered, and looked up at the end (`POST /verify`).
// Environment: BENCH_SOURCE, BENCH_TARGET (connection strings), BENCH_RATE, BENCH_WRITERS, BENCH_ORDERS. Prints {"url"} when it writes.
import { createServer, type IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { Acknowledged } from './acknowledged';
import type { LoadStatus, Side } from './load-process';

const sideNames: Record<string, Side> = { 'source-database': 'source', 'new-database': 'target' };
const pauseAfterFailureMs = 5;

class Load {
  active: Side = 'source';
  readonly acknowledged = new Acknowledged();
  failed = 0;
  private lastFailure?: string;
  private paused = false;
  private stopped = false;
  private readonly inFlight = new Set<Promise<void>>();
  private readonly pools: Record<Side, pg.Pool>;
  private running: Promise<void>[] = [];

  constructor(
    urls: Record<Side, string>,
    private readonly rate: number,
    private readonly writers: number,
    private readonly orders: number,
  ) {
    this.pools = { source: poolOf(urls.source, writers), target: poolOf(urls.target, writers) };
  }

  async start(): Promise<void> {
    await this.acknowledged.begin(this.pools.source);
    this.running = Array.from({ length: this.writers }, (_, writer) => this.write(writer));
  }

  status(): LoadStatus {
    const { count, unknown, switches } = this.acknowledged;
    return {
      mode: this.paused ? 'maintenance' : 'normal',
      active: this.active,
      at: performance.timeOrigin + performance.now(),
      acknowledged: count,
      failed: this.failed,
      unknown,
      switches,
      lastSwitch: switches.at(-1) ?? null,
      lastFailure: this.lastFailure ?? null,
    };
  }

  /** Resolves when every write in flight has been acknowledged or has failed. */
  async pause(): Promise<void> {
    this.paused = true;
    await Promise.all(this.inFlight);
  }

  resume(): void {
    this.paused = false;
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.running);
    await Promise.all([this.pools.source.end(), this.pools.target.end()]);
  }

  private async write(writer: number): Promise<void> {
    const intervalMs = (this.writers * 1_000) / this.rate;
    let dueAt = performance.now() + (intervalMs * writer) / this.writers;
    while (!this.stopped) {
      const waitMs = dueAt - performance.now();
      // A timer of Node is late by up to a millisecond and more; the schedule is kept by not waiting where the next is due.
      if (waitMs > 0.5) await sleep(waitMs);
      if (this.paused) {
        await sleep(1);
        continue;
      }
      const written = this.writeOnce();
      const settled = written.then(() => undefined);
      this.inFlight.add(settled);
      const wentWell = await written;
      this.inFlight.delete(settled);
      if (!wentWell) await sleep(pauseAfterFailureMs);
      // Behind by more than a tenth of a second it goes on from now: no burst after a freeze.
      dueAt = Math.max(dueAt + intervalMs, performance.now() - 100);
    }
  }

  private async writeOnce(): Promise<boolean> {
    const side = this.active;
    const pool = this.pools[side];
    const order = 1 + Math.floor(Math.random() * this.orders);
    let sent = false;
    try {
      const client = await pool.connect();
      let broken = true;
      try {
        sent = true;
        if (Math.random() < 0.6) {
          const { rows } = await client.query<{ id: string }>({ ...insertEvent, values: [order] });
          this.acknowledged.inserted(Number(rows[0]?.id), side);
        } else {
          await client.query({ ...updateOrder, values: [order] });
          this.acknowledged.updated(order, side);
        }
        broken = false;
      } finally {
        client.release(broken);
      }
      return true;
    } catch (error) {
      this.failed += 1;
      this.lastFailure = error instanceof Error ? error.message : String(error);
      // An answer of the server is a no; a connection lost while it worked is neither yes nor no.
      if (sent && !(error instanceof pg.DatabaseError && !/^(08|57P0|XX)/.test(error.code ?? '')))
        this.acknowledged.uncertain(order);
      return false;
    }
  }

  verify(side: Side): Promise<string[]> {
    return this.acknowledged.lookUp(this.pools[side]);
  }

  async targetHealth(): Promise<boolean> {
    return this.pools.target.query('select 1').then(
      () => true,
      () => false,
    );
  }
}

const insertEvent = {
  name: 'insert-event',
  text: `insert into events (order_id, kind, payload) values ($1, 'load', jsonb_build_object('order', $1::bigint, 'text', md5($1::text))) returning id::text as id`,
};
const updateOrder = {
  name: 'update-order',
  text: 'update orders set version = version + 1, total = total + 0.01 where id = $1',
};

function poolOf(connectionString: string, max: number): pg.Pool {
  const pool = new pg.Pool({ connectionString, max, application_name: 'bench load', connectionTimeoutMillis: 2_000 });
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}

async function answer(load: Load, request: IncomingMessage): Promise<{ status: number; body: object }> {
  const body = await jsonOf(request);
  switch (`${request.method} ${request.url}`) {
    case 'POST /admin/maintenance-mode':
      await load.pause();
      return { status: 200, body: load.status() };
    case 'POST /admin/normal-mode':
      load.resume();
      return { status: 200, body: load.status() };
    case 'POST /admin/switch-datastore': {
      const side = sideNames[String(body.target)];
      if (!side) return { status: 400, body: { error: `unknown target ${String(body.target)}` } };
      load.active = side;
      return { status: 200, body: load.status() };
    }
    case 'POST /admin/target-health-check':
      return { status: (await load.targetHealth()) ? 200 : 503, body: {} };
    case 'GET /admin/status':
      return { status: 200, body: load.status() };
    case 'POST /verify': {
      const wrong = await load.verify(body.side === 'target' ? 'target' : 'source');
      return { status: 200, body: { wrong } };
    }
    default:
      return { status: 404, body: {} };
  }
}

async function jsonOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = '';
  for await (const part of request as AsyncIterable<Buffer>) text += part.toString();
  const value: unknown = text === '' ? {} : JSON.parse(text);
  return value !== null && typeof value === 'object' ? { ...value } : {};
}

async function main(): Promise<void> {
  const { BENCH_SOURCE = '', BENCH_TARGET = '', BENCH_RATE, BENCH_WRITERS, BENCH_ORDERS } = process.env;
  const load = new Load(
    { source: BENCH_SOURCE, target: BENCH_TARGET },
    Number(BENCH_RATE),
    Number(BENCH_WRITERS),
    Number(BENCH_ORDERS),
  );
  await load.start();
  const server = createServer((request, response) => {
    answer(load, request)
      .catch((error: unknown) => ({ status: 503, body: { error: String(error) } }))
      .then(({ status, body }) =>
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
      )
      .catch(() => undefined);
  });
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    const port = address !== null && typeof address === 'object' ? address.port : 0;
    process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`);
  });
  process.once('SIGTERM', () => void load.stop().finally(() => process.exit(0)));
}

main().catch((error: unknown) => {
  process.stderr.write(`the load could not begin: ${String(error)}\n`);
  process.exitCode = 1;
});
