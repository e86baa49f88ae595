import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Pool } from 'pg';
import { createApplicationActivities } from '../../activities/application/admin';
import { failureType } from '../../activities/errors';
import { compareLedger, type Side } from '../../examples/application/ledger';
import { repeatWrite } from '../../examples/application/repeat-write';
import { Faults } from '../../examples/application/faults';
import { Repeats } from '../../examples/application/repeats';
import { startApplication, type RunningApplication } from '../../examples/application/server';
import { writeOrder } from '../../examples/application/write-order';
import { loadSampleData } from '../../examples/sample-data/load';
import type { Application } from '../../plan/postgres';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';
import { until } from '../fixtures/until';

const token = 'tok-shop-7c02';
const activities = createApplicationActivities({ environment: { ADMIN_TOKEN: token } });
const sides = ['source', 'target'] as const;
const tables = ['customers', 'products', 'orders', 'order_items', 'payments', 'events', 'audit_log'];
const waitMs = 60_000;
let pair: PostgresPair;
let databases = 0;
let database: string;
let folder: string;
let shop: RunningApplication;
let admin: Record<Side, Client>;

const application = (): Application => ({
  adminUrl: shop.url,
  switchTarget: 'new-database',
  switchSource: 'source-database',
  token: { env: 'ADMIN_TOKEN' },
  timeout: '30s',
});
const setDualWrite = (enabled: boolean) => activities.setDualWrite({ application: application(), enabled });
const normal = () => activities.setNormalMode({ application: application() });
const rest = () =>
  activities.setMaintenanceMode({ application: application(), enabled: true, migration: 'test', reason: 'test' });
const told = () => shop.status().dualWrite;

async function start(adminToken: string | undefined = token): Promise<RunningApplication> {
  return startApplication({
    sourceUrl: pair.source.url(database, 'shop'),
    targetUrl: pair.target.url(database, 'shop'),
    ledgerPath: join(folder, 'ledger.jsonl'),
    rate: 300,
    writers: 8,
    adminToken,
  });
}

async function inject(faults: object): Promise<number> {
  const { status } = await fetch(`${shop.url}/admin/faults`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
    body: JSON.stringify(faults),
  });
  return status;
}

async function untilWritten(more: number): Promise<void> {
  const before = shop.status().acknowledged;
  await until(`${more} more writes are acknowledged`, () => shop.status().acknowledged >= before + more, waitMs);
}

/** Every row of every table that the shop writes, whole. */
async function contents(side: Side): Promise<Record<string, string>> {
  const all: Record<string, string> = {};
  for (const table of tables) {
    const { rows } = await admin[side].query<{ digest: string }>(
      `select count(*) || ' ' || md5(string_agg(line, '' order by line collate "C")) as digest
       from (select md5(t::text) as line from shop.${table} as t) as lines`,
    );
    all[table] = rows[0]?.digest ?? '';
  }
  return all;
}

async function ledgerOn(side: Side) {
  const { acknowledged, missing, doubled, bySide } = await compareLedger(shop.ledgerPath, admin[side]);
  return { acknowledged, missing, doubled, bySide };
}

/** As a migration does before sides change places: ids on the new side begin beyond those that were repeated. */
async function carrySequences(to: Side): Promise<void> {
  await admin[to].query(`
    select setval(pg_get_serial_sequence('shop.orders', 'id'), (select max(id) + 10000 from shop.orders));
    select setval(pg_get_serial_sequence('shop.payments', 'id'), (select max(id) + 10000 from shop.payments));
    select setval('shop.event_id', (select max(id) + 10000 from shop.events))`);
}

beforeAll(async () => {
  pair = await startPair();
  for (const server of [pair.source, pair.target]) {
    const options = { rows: 200, documents: false, everyTableKeyed: true, rolePassword: server.password };
    await loadSampleData(await server.createDatabase('filled'), options);
  }
});
afterAll(() => pair.stop());

// Both sides begin equal, as a backfill leaves them, and the shop rests.
beforeEach(async () => {
  database = `dual${(databases += 1)}`;
  for (const side of sides) {
    const session = new Client(pair[side].url('postgres'));
    await session.connect();
    await session.query(`create database ${database} template filled`);
    await session.end();
  }
  admin = { source: new Client(pair.source.url(database)), target: new Client(pair.target.url(database)) };
  for (const side of sides) {
    await admin[side].connect();
    await admin[side].query('set timezone to utc');
  }
  folder = await mkdtemp(join(tmpdir(), 'cutover-dual-'));
  await writeFile(join(folder, 'ledger.jsonl.state'), JSON.stringify({ active: 'source', mode: 'maintenance' }));
  shop = await start();
});
afterEach(async () => {
  await shop.stop();
  for (const side of sides) await admin[side].end();
  await rm(folder, { recursive: true, force: true });
});

describe('the demo application, asked to write to both sides', () => {
  it('leaves the same rows with the same ids and values on both, also when repeats overtake each other', async () => {
    expect(await contents('target')).toEqual(await contents('source'));
    expect(await setDualWrite(true)).toMatchObject({ status: 200 });
    await setDualWrite(true);
    // The sample has few products and customers: most are written by several writers at a time.
    expect(await inject({ lateRepeatsPercent: 30, lateMs: 25, seed: 1 })).toBe(200);
    await normal();
    await untilWritten(500);
    await rest();
    const { acknowledged, failed } = shop.status();
    expect(await activities.readDualWrite({ application: application() })).toEqual({
      enabled: true,
      repeated: acknowledged,
      failedRepeats: 0,
      lastFailure: null,
    });
    expect(failed).toBe(0);
    const source = await contents('source');
    expect(await contents('target')).toEqual(source);

    await setDualWrite(false);
    await setDualWrite(false);
    await normal();
    await untilWritten(20);
    expect(told()).toMatchObject({ enabled: false, repeated: acknowledged });
    expect(await contents('target')).toEqual(source);
    await shop.stop();
    expect(await ledgerOn('source')).toMatchObject({ missing: [], doubled: [] });
  });

  it('counts what the other side does not take, tells no customer, and goes on', async () => {
    await setDualWrite(true);
    await inject({ failRepeatsPercent: 20, seed: 7 });
    await normal();
    await untilWritten(200);
    await inject({});
    await rest();
    const { acknowledged, failed } = shop.status();
    const { repeated, failedRepeats, lastFailure } = told();
    expect([failed, repeated + failedRepeats]).toEqual([0, acknowledged]);
    expect(failedRepeats).toBeGreaterThan(10);
    expect(lastFailure?.message).toContain('a fault that was asked for');
    expect((await ledgerOn('source')).missing).toEqual([]);
    const notes = (await ledgerOn('target')).missing.filter((line) => line.includes('not in shop.audit_log'));
    expect(notes).toHaveLength(failedRepeats);
  });

  it('writes on while the other side is not there, and repeats again when it is', async () => {
    await setDualWrite(true);
    await normal();
    await untilWritten(20);
    await admin.target.query('alter role shop nologin');
    try {
      await admin.target.query(`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'shop'`);
      await untilWritten(100);
      expect(shop.status().failed).toBe(0);
      expect(told().failedRepeats).toBeGreaterThan(20);
      await setDualWrite(false);
      expect(await setDualWrite(true).catch(failureType)).toBe('ApplicationUnavailable');
      expect(told().enabled).toBe(false);
    } finally {
      await admin.target.query('alter role shop login');
    }
    await setDualWrite(true);
    const { repeated } = told();
    await until('writes are repeated again', () => told().repeated > repeated + 20, waitMs);
  });

  it('writes on while the other side hangs: one writer alone waits for it', async () => {
    await setDualWrite(true);
    await normal();
    await untilWritten(20);
    await admin.target.query('begin; lock table shop.audit_log in exclusive mode');
    await untilWritten(200);
    expect(shop.status().failed).toBe(0);
    expect(told().lastFailure?.message).toMatch(/^(not tried: )?canceling statement due to statement timeout$/);
    await admin.target.query('commit');
    const { repeated } = told();
    await until('writes are repeated again', () => told().repeated > repeated + 20, waitMs);
  });

  it('answers when the writes in flight have ended, which are not repeated, while every later one is', async () => {
    await normal();
    await untilWritten(20);
    await admin.source.query('begin; lock table shop.audit_log in exclusive mode');
    await until('all writers wait for the lock', async () => {
      const { rows } = await admin.source.query<{ waiting: string }>(
        `select count(*)::text as waiting from pg_stat_activity where datname = current_database() and application_name = 'shop' and wait_event_type = 'Lock'`,
      );
      return rows[0]?.waiting === '8';
    });
    const before = shop.status().acknowledged;
    let answered = false;
    const call = setDualWrite(true).then(() => {
      answered = true;
    });
    await until('dual write is known', () => told().enabled);
    expect(answered).toBe(false);
    await admin.source.query('commit');
    await call;
    await untilWritten(30);
    await rest();
    expect(told()).toMatchObject({ repeated: shop.status().acknowledged - before - 8, failedRepeats: 0 });
  });

  it('changes sides under load without maintenance mode, and back, and no acknowledged write is missing on either side', async () => {
    await setDualWrite(true);
    await inject({ lateRepeatsPercent: 10, lateMs: 20 });
    await normal();
    await untilWritten(100);
    await carrySequences('target');
    const { failedRepeats } = told();
    const stale = activities.switchDatastore({
      application: application(),
      to: 'target',
      failedRepeats: failedRepeats + 1,
    });
    expect(await stale.catch(failureType)).toBe('PreconditionFailed');
    await untilWritten(10);
    expect(shop.status().active).toBe('source');

    await activities.switchDatastore({ application: application(), to: 'target', failedRepeats });
    await activities.switchDatastore({ application: application(), to: 'target', failedRepeats });
    expect((await activities.measureFreeze({ application: application() })).freezeMs).toBeGreaterThan(0);
    expect(shop.status().lastSwitch).toMatchObject({ from: 'source', to: 'target' });
    await untilWritten(100);
    await carrySequences('source');
    await activities.switchDatastore({ application: application(), to: 'source', failedRepeats });
    await untilWritten(50);
    await rest();
    expect(shop.status()).toMatchObject({ failed: 0, dualWrite: { failedRepeats: 0, lastFailure: null } });
    expect(await contents('target')).toEqual(await contents('source'));
    for (const side of sides) {
      const { missing, doubled, bySide } = await ledgerOn(side);
      expect({ missing, doubled }).toEqual({ missing: [], doubled: [] });
      expect(Math.min(bySide.source, bySide.target)).toBeGreaterThanOrEqual(100);
    }
  });

  it('goes on writing to both when it is started again, and owns up to what may be missing when it was killed', async () => {
    await setDualWrite(true);
    await normal();
    await untilWritten(30);
    await shop.stop();
    shop = await start();
    await untilWritten(30);
    await shop.stop();
    expect(told()).toMatchObject({ enabled: true, failedRepeats: 0, lastFailure: null });
    expect(await contents('target')).toEqual(await contents('source'));

    const statePath = join(folder, 'ledger.jsonl.state');
    const state = JSON.parse(await readFile(statePath, 'utf8')) as object;
    await writeFile(statePath, JSON.stringify({ ...state, rested: false }));
    shop = await start();
    expect(told()).toMatchObject({ enabled: true, failedRepeats: 1 });
    expect(told().lastFailure?.message).toContain('killed while writing to both');
  });

  it('refuses a side without tables, a body without sense, and faults where no token is asked for', async () => {
    await admin.target.query('drop schema shop cascade');
    expect(await setDualWrite(true).catch(failureType)).toBe('PreconditionFailed');
    expect(told().enabled).toBe(false);
    const headers = { authorization: `Bearer ${token}` };
    expect((await fetch(`${shop.url}/admin/dual-write`, { method: 'POST', headers })).status).toBe(400);
    expect(await inject({ failRepeatsPercent: 200 })).toBe(400);
    expect(await inject({ failRepeats: 5 })).toBe(400);
    await shop.stop();
    shop = await startApplication({
      sourceUrl: pair.source.url(database, 'shop'),
      targetUrl: pair.target.url(database, 'shop'),
      ledgerPath: join(folder, 'ledger.jsonl'),
    });
    expect(await inject({ failRepeatsPercent: 5 })).toBe(403);
  });
});

describe('a repeated write', () => {
  it('is made also where somebody else puts the same rows there at that moment', async () => {
    const [source, target] = sides.map((side) => new Pool({ connectionString: pair[side].url(database, 'shop') }));
    if (!source || !target) throw new Error('no pools');
    const repeats = new Repeats(0, () => undefined, new Faults());
    const from = await source.connect();
    try {
      for (let order = 0; order < 50; order += 1) {
        const ids = { order: crypto.randomUUID(), write: crypto.randomUUID() };
        const written = await writeOrder(from, { kind: 'create', ...ids, withRows: true });
        // Keys are refused now and then, by tables that many sessions put one row into, whatever ON CONFLICT says.
        await Promise.all([1, 2, 3].map(() => repeats.repeat(target, written)));
      }
      expect(repeats.counts).toEqual({ repeated: 150, failedRepeats: 0 });
      expect(await contents('target')).toEqual(await contents('source'));
    } finally {
      from.release();
      await Promise.all([source.end(), target.end()]);
    }
  });

  it('made twice, or after a newer one of the same rows, changes nothing', async () => {
    // One customer and one product: every write is of the same rows.
    for (const side of sides) {
      await admin[side].query('truncate shop.customers, shop.products cascade');
      await admin[side].query(`
        insert into shop.customers (id, reference, email, name, created_at, updated_at) overriding system value
          values (1, '00000000-0000-0000-0000-000000000001', 'a@b', 'Ada', '2025-01-01', '2025-01-01');
        insert into shop.products (id, sku, name, description, price, stock, updated_at) values (1, 'S', 'Bike', '', 10, 100, '2025-01-01')`);
    }
    const pools = {
      source: new Pool({ connectionString: pair.source.url(database, 'shop') }),
      target: new Pool({ connectionString: pair.target.url(database, 'shop') }),
    };
    const [from, to] = [await pools.source.connect(), await pools.target.connect()];
    const write = async (kind: 'create' | 'cancel' | 'delete', order: string): Promise<string> => {
      const { rows } = await writeOrder(from, { kind, order, write: crypto.randomUUID(), withRows: true });
      if (rows === undefined) throw new Error('the write gave no rows');
      return rows;
    };
    try {
      const [kept, gone] = [crypto.randomUUID(), crypto.randomUUID()];
      const [first, second] = [await write('create', kept), await write('create', gone)];
      const [cancelled, deleted] = [await write('cancel', kept), await write('delete', gone)];
      // The rows that both share are newer in the second; the cancelled order comes before the order was placed.
      for (const rows of [second, cancelled, first, first, second, cancelled, deleted, deleted])
        await repeatWrite(to, rows);
      expect(await contents('target')).toEqual(await contents('source'));
    } finally {
      to.release();
      from.release();
      await Promise.all([pools.source.end(), pools.target.end()]);
    }
  });
});
