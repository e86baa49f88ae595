import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { createApplicationActivities } from '../../activities/application/admin';
import { probe } from '../../activities/application/probes';
import { failureType } from '../../activities/errors';
import { compareLedger, readLedger, type LedgerEntry } from '../../examples/application/ledger';
import { startApplication, type RunningApplication } from '../../examples/application/server';
import { loadSampleData } from '../../examples/sample-data/load';
import type { Application } from '../../plan/postgres';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';

const token = 'tok-shop-51aa';
const activities = createApplicationActivities({ environment: { ADMIN_TOKEN: token } });
let pair: PostgresPair;
let folder: string;
let source: Client;
let target: Client;
let shop: RunningApplication;

async function connect(url: string): Promise<Client> {
  const client = new Client(url);
  await client.connect();
  return client;
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await sleep(20);
  }
}

const application = (): Application => ({
  adminUrl: shop.url,
  switchTarget: 'new-database',
  switchSource: 'source-database',
  token: { env: 'ADMIN_TOKEN' },
  timeout: '20s',
});
const maintenance = () =>
  activities.setMaintenanceMode({ application: application(), enabled: true, migration: 'test', reason: 'test' });

async function start(): Promise<RunningApplication> {
  return startApplication({
    sourceUrl: pair.source.url('shop', 'shop'),
    targetUrl: pair.target.url('shop', 'shop'),
    ledgerPath: join(folder, 'ledger.jsonl'),
    rate: 400,
    adminToken: token,
  });
}

async function entries(): Promise<LedgerEntry[]> {
  const all: LedgerEntry[] = [];
  for await (const entry of readLedger(shop.ledgerPath)) all.push(entry);
  return all;
}

async function untilWritten(more: number): Promise<void> {
  const before = shop.status().acknowledged;
  await until(`${more} more writes are acknowledged`, () => shop.status().acknowledged >= before + more);
}

beforeAll(async () => {
  pair = await startPair();
  for (const server of [pair.source, pair.target]) {
    await loadSampleData(await server.createDatabase('shop'), { rows: 200, rolePassword: server.password });
  }
  source = await connect(pair.source.url('shop'));
  target = await connect(pair.target.url('shop'));
});
afterAll(async () => {
  await source.end();
  await target.end();
  await pair.stop();
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cutover-shop-'));
  shop = await start();
});
afterEach(async () => {
  await shop.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('the demo application', () => {
  it('is taken from one database to the other by the admin activities, and every acknowledged write is where it was made', async () => {
    await untilWritten(300);
    expect(await activities.checkApplication({ application: application() })).toMatchObject({ outcome: 'pass' });
    const early = await activities.switchDatastore({ application: application(), to: 'target' }).catch(failureType);
    expect(early).toBe('PreconditionFailed');

    expect(await maintenance()).toMatchObject({ status: 200 });
    await maintenance();
    expect(await probe({ name: 'health', url: `${shop.url}/health` }, 5_000)).toMatchObject({ ok: false, status: 503 });
    expect(await activities.checkTargetHealth({ application: application() })).toMatchObject({ status: 200 });
    await activities.switchDatastore({ application: application(), to: 'target' });
    await activities.switchDatastore({ application: application(), to: 'target' });
    await activities.setNormalMode({ application: application() });
    await activities.setNormalMode({ application: application() });
    const measured = await activities.measureFreeze({ application: application() });
    await untilWritten(50);
    expect(await probe({ name: 'health', url: `${shop.url}/health` }, 5_000)).toMatchObject({ ok: true, status: 200 });
    expect(await probe({ name: 'orders', url: `${shop.url}/orders/latest` }, 5_000)).toMatchObject({ ok: true });
    await shop.stop();

    const onSource = await compareLedger(shop.ledgerPath, source, { sides: ['source'] });
    expect(onSource).toMatchObject({ missing: [], doubled: [], unknown: 0 });
    const onTarget = await compareLedger(shop.ledgerPath, target, { sides: ['target'] });
    expect(onTarget).toMatchObject({ missing: [], doubled: [] });
    // Nothing was migrated in this test: all that was written before the switch must be found missing.
    const whole = await compareLedger(shop.ledgerPath, target);
    expect(whole.acknowledged).toBe(onSource.acknowledged + onTarget.acknowledged);
    expect(whole.missing.filter((line) => line.includes('not in shop.audit_log'))).toHaveLength(onSource.acknowledged);
    expect(whole.switches).toMatchObject([{ from: 'source', to: 'target' }]);
    // What it tells of its freeze is what its ledger says.
    expect(whole.freezeMs).toBeGreaterThan(0);
    expect(measured.freezeMs).toBeCloseTo(whole.freezeMs ?? 0, 0);
  });

  it('answers maintenance mode only when every write in flight has ended, and then acknowledges none', async () => {
    await untilWritten(20);
    await source.query('begin; lock table shop.audit_log in exclusive mode');
    await until('all four writers wait for the lock', async () => {
      const { rows } = await source.query<{ waiting: string }>(
        `select count(*)::text as waiting from pg_stat_activity where application_name = 'shop' and wait_event_type = 'Lock'`,
      );
      return rows[0]?.waiting === '4';
    });
    const before = shop.status().acknowledged;
    let answered = false;
    const call = maintenance().then(() => {
      answered = true;
    });
    await until('maintenance mode is known', () => shop.status().mode === 'maintenance');
    expect([answered, shop.status().acknowledged]).toEqual([false, before]);
    await source.query('commit');
    await call;

    const { acknowledged } = shop.status();
    expect(acknowledged).toBe(before + 4);
    expect(await entries()).toHaveLength(acknowledged);
    const { rows } = await source.query<{ busy: string }>(
      `select count(*)::text as busy from pg_stat_activity where application_name = 'shop' and state <> 'idle'`,
    );
    expect(rows[0]?.busy).toBe('0');
    await sleep(200);
    expect(shop.status().acknowledged).toBe(acknowledged);
    await activities.setNormalMode({ application: application() });
    await untilWritten(10);
  });

  it('lives through the loss of its sessions and of its right to log in, and writes again when it may', async () => {
    await untilWritten(20);
    await source.query('alter role shop nologin');
    await source.query(`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'shop'`);
    await until('writes fail', () => shop.status().failed >= 10);
    await source.query('alter role shop login');
    await untilWritten(20);
    await shop.stop();
    expect(await compareLedger(shop.ledgerPath, source)).toMatchObject({ missing: [], doubled: [] });
  });

  it('asks a database that refuses it again by one writer alone, and writes within some milliseconds when it may', async () => {
    await untilWritten(20);
    await source.query('alter role shop nologin');
    await source.query(`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'shop'`);
    await until('all writers but one wait', () => shop.status().failed >= 8);
    const { failed } = shop.status();
    const asked = performance.now();
    await until('it has asked some more', () => shop.status().failed >= failed + 5);
    const apartMs = (performance.now() - asked) / 5;
    // Four writers that each asked every ten milliseconds would be twice as quick at least.
    expect(apartMs).toBeGreaterThan(9);
    await source.query('alter role shop login');
    const before = shop.status().acknowledged;
    await until('all write again', () => shop.status().acknowledged > before + 40);
  });

  it('tells of no switch until the new side has taken a write', async () => {
    await untilWritten(5);
    await maintenance();
    await activities.switchDatastore({ application: application(), to: 'target' });
    expect(shop.status()).toMatchObject({ active: 'target', lastSwitch: null });
    const measuring = activities.measureFreeze({ application: application() });
    await activities.setNormalMode({ application: application() });
    expect(await measuring).toEqual({ freezeMs: shop.status().lastSwitch?.freezeMs });
    expect(shop.status().lastSwitch).toMatchObject({ from: 'source', to: 'target' });
  });

  it('stays on the target when it is started again after the switch', async () => {
    await untilWritten(5);
    await maintenance();
    await activities.switchDatastore({ application: application(), to: 'target' });
    const written = (await entries()).length;
    await shop.stop();
    shop = await start();
    expect(shop.status()).toMatchObject({ mode: 'maintenance', active: 'target', acknowledged: 0 });
    await activities.setNormalMode({ application: application() });
    await untilWritten(5);
    const after = (await entries()).slice(written);
    expect(after.every(({ side }) => side === 'target')).toBe(true);
    expect(after[0]?.seq).toBe(written + 1);
  });

  it('refuses a wrong token, an unknown datastore and a body that is no JSON', async () => {
    const stranger = createApplicationActivities({ environment: { ADMIN_TOKEN: 'guess' } });
    expect(await stranger.setNormalMode({ application: application() }).catch(failureType)).toBe('AuthDenied');
    await maintenance();
    const unknown = activities.switchDatastore({
      application: { ...application(), switchTarget: 'nowhere' },
      to: 'target',
    });
    expect(await unknown.catch(failureType)).toBe('PreconditionFailed');
    const headers = { authorization: `Bearer ${token}` };
    expect((await fetch(`${shop.url}/admin/maintenance-mode`, { method: 'POST', headers, body: '[' })).status).toBe(
      400,
    );
  });

  it('is unhealthy on a target that cannot be reached', async () => {
    await target.query('alter role shop nologin');
    try {
      const error = await activities.checkTargetHealth({ application: application() }).catch(failureType);
      expect(error).toBe('ApplicationUnavailable');
    } finally {
      await target.query('alter role shop login');
    }
  });
});

describe('the comparison of the ledger', () => {
  it('finds a planted loss, a planted double and a deleted order that is back, and forgives an unknown outcome', async () => {
    await until('all kinds of writes are in the ledger', async () => {
      const kinds = new Set((await entries()).map(({ kind }) => kind));
      return kinds.size === 3;
    });
    await shop.stop();
    const all = await entries();
    const last = new Map(all.map((entry) => [entry.order, entry]));
    const created = [...last.values()].filter(({ kind }) => kind === 'create');
    const [lostOrder, lostNote, doubled] = created;
    const deleted = [...last.values()].find(({ kind }) => kind === 'delete');
    if (!lostOrder || !lostNote || !doubled || !deleted) throw new Error('too few writes');
    await source.query('delete from shop.orders where reference = $1', [lostOrder.order]);
    await source.query('delete from shop.audit_log where write_id = $1', [lostNote.write]);
    await source.query('insert into shop.audit_log select * from shop.audit_log where write_id = $1', [doubled.write]);
    await source.query('insert into shop.orders (reference, customer_id, total) values ($1, 1, 0)', [deleted.order]);
    const unknown = {
      ...lostOrder,
      seq: 1e6,
      outcome: 'unknown',
      write: crypto.randomUUID(),
      order: crypto.randomUUID(),
    };
    // And a torn last line, as a killed process leaves it.
    const text = await readFile(shop.ledgerPath, 'utf8');
    await writeFile(shop.ledgerPath, `${text}${JSON.stringify(unknown)}\n{"seq":9`);

    const found = await compareLedger(shop.ledgerPath, source);
    expect(found).toMatchObject({ acknowledged: all.length, unknown: 1 });
    expect(found.missing.map((line) => line.replace(/ \(.*\)/, '')).sort()).toEqual(
      [
        `create of order ${lostNote.order}: not in shop.audit_log`,
        `create of order ${lostOrder.order}: not in shop.orders`,
        `delete of order ${deleted.order}: deleted, but in shop.orders`,
      ].sort(),
    );
    expect(found.doubled).toEqual([expect.stringContaining(doubled.write)]);
  });
});

describe('the sample data', () => {
  it('is the same on every server, left alone when complete, and loaded afresh after an interruption', async () => {
    const digest = async (client: Client) => {
      const { rows } = await client.query<{ digest: string }>(`
        select md5(string_agg(line, '' order by line collate "C")) as digest from (
          select md5(t::text) as line from shop.orders as t union all select md5(t::text) from shop.order_items as t
          union all select md5(t::text) from shop.customers as t union all select md5(t::text) from shop.products as t
          union all select md5(t::text) from shop.events as t union all select md5(t::text) from shop.product_pictures as t
          union all select md5(t::text) from shop.daily_sales as t
          union all select md5(lo_get(document)) from shop.contracts) as lines`);
      return rows[0]?.digest;
    };
    const options = { rows: 150, rolePassword: pair.source.password };
    const urls = [await pair.source.createDatabase('sample'), await pair.target.createDatabase('sample')];
    const digests: unknown[] = [];
    for (const url of urls) {
      const interrupted = new AbortController();
      const say = (line: string) => line.startsWith('indexes') && interrupted.abort(new Error('interrupted'));
      await expect(loadSampleData(url, { ...options, say, signal: interrupted.signal })).rejects.toThrow('interrupted');
      expect(await loadSampleData(url, options)).toMatchObject({ loaded: true });
      expect(await loadSampleData(url, options)).toMatchObject({ loaded: false });
      const client = await connect(`${url}?options=-c%20TimeZone%3DUTC`);
      digests.push(await digest(client));
      const { rows } = await client.query<{ objects: string }>(
        'select count(*)::text as objects from pg_largeobject_metadata',
      );
      expect(rows[0]?.objects).toBe('12');
      await client.end();
    }
    expect(digests[0]).toBeTruthy();
    expect(digests[1]).toBe(digests[0]);
  });

  it('leaves a schema of the same name that is not its own untouched', async () => {
    const url = await pair.source.createDatabase('other');
    const client = await connect(url);
    await client.query('create schema shop');
    await client.end();
    await expect(loadSampleData(url, { rows: 10 })).rejects.toThrow('not the sample shop');
  });
});
