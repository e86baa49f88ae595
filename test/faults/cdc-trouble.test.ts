// What goes wrong around a migration by CDC while nothing dies: transactions left open, a lost snapshot, a full server, rows that collide,
// changes of the schema, writers that nobody knew of, a lost slot. Each is named, and when it is mended the migration goes on.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { blockedAt, done, gateIs, open, type CdcShop, type Condition } from '../fixtures/cdc-shop';
import { CdcWorld } from '../fixtures/cdc-world';
import { HiddenWriter } from '../fixtures/hidden-writer';
import { until } from '../fixtures/until';
import { compareLedger } from '../../examples/application/compare-ledger';
import { rollbackSignal, tuneSignal } from '../../workflows/messages';

let world: CdcWorld;
beforeAll(async () => {
  world = await CdcWorld.start({
    settings: {
      source: { max_prepared_transactions: '5' },
      target: { max_connections: '40', wal_retrieve_retry_interval: '500ms' },
    },
  });
}, 600_000);
afterAll(() => world.stop(), 60_000);

/** Stations of one migration, in the order in which it comes to them. */
describe('a migration that meets one trouble after the other', () => {
  let shop: CdcShop;
  /** Of the test itself, behind the fence. */
  let target: Client;
  beforeAll(async () => {
    shop = await world.shop();
    await shop.start({
      gates: { accept: 'auto', 'retire-source': 'auto' },
      copy: { lanes: 2, chunkMegabytes: 1, maxBytesPerSecond: 300_000 },
      maxDowntime: '10m',
    });
    await shop.seen('gate start', gateIs('start'));
  });

  it('names the open and the prepared transaction that keep the slot from being made, and goes on without them', async () => {
    const idle = await open(shop.applicationUrl('source'));
    await idle.query('begin; update shop.campaigns set name = name where id = 1');
    await shop.query(
      'source',
      `begin; update shop.campaigns set name = name where id = 2; prepare transaction 'left behind'`,
    );
    await shop.approve('start');
    let shown = '';
    await until(
      'both are named',
      async () => {
        shown = (await shop.activity('holdSnapshot'))?.heartbeat ?? shown;
        return shown.includes('left behind') && shown.includes('idle in transaction');
      },
      300_000,
    );
    await shop.query('source', `rollback prepared 'left behind'`);
    await idle.end();
    await shop.seen('the copy', ({ copy }) => (copy?.tablesDone ?? 0) > 0);
  });

  let finished: Written[];
  it('opens another group for what is not finished when the snapshot is lost', async () => {
    target = await shop.session('target');
    await target.query('set default_transaction_read_only = off');
    finished = await finishedTables(target);
    await shop.query(
      'source',
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'cutover snapshot of %'`,
    );
    await until(
      'another group is opened',
      async () => {
        const { rows } = await target.query<{ groups: number }>(
          'select count(*)::int as groups from cutover.copy_group',
        );
        return rows[0]?.groups === 2;
      },
      300_000,
    );
  });

  it('waits for a target that has no connection left', async () => {
    const hogs = await takeEveryConnection(world.target.url());
    try {
      // The lanes have theirs; whatever comes after the copy has none.
      await shop.migration.signal(tuneSignal, { maxBytesPerSecond: 0 });
      await until(
        'an activity finds no connection',
        async () => {
          // Those that somebody has given back since: the lanes of the lost snapshot, the prober.
          hogs.push(...(await takeEveryConnection(world.target.url())));
          const { pendingActivities } = (await shop.migration.describe()).raw;
          return (pendingActivities ?? []).some(({ lastFailure }) =>
            /too many clients/.test(lastFailure?.message ?? ''),
          );
        },
        300_000,
      );
      // For a station to come: an order that the application has yet to take, that the target will be sent, and has already.
      const [later] = await shop.query('source', 'select (max(id) + 20)::text as id from shop.orders');
      await target.query('insert into shop.orders (id, customer_id, total) values ($1, 1, 1)', [later?.id]);
    } finally {
      for (const hog of hogs) await hog.end();
    }
    await shop.seen('the copy, done', done('copy-data'));
  });

  it('has copied no table again that was finished when the snapshot was lost', async () => {
    expect(finished.length).toBeGreaterThan(0);
    const now = await finishedTables(target);
    const group = async (number: number): Promise<string[]> =>
      (
        await target.query<{ name: string }>(
          `select format('%I.%I', schema_name, table_name) as name from cutover.copied_table where group_id = $1`,
          [number],
        )
      ).rows.map(({ name }) => name);
    expect(await group(1)).toEqual(expect.arrayContaining(finished.map(({ name }) => name)));
    expect(await group(2)).not.toEqual([]);
    for (const { name, rows } of finished) expect(now.find((table) => table.name === name)?.rows).toMatchObject(rows);
  });

  it('names the table on which the stream fails, and goes on when the row is gone that was in its way', async () => {
    const { blocked } = await shop.seen('a conflict', blockedAt('catch-up'));
    expect(blocked?.failure).toMatch(/^TargetConflict: .*shop\.orders/);
    await target.query('delete from shop.orders where customer_id = 1 and total = 1 and shipping = $1', ['{}']);
    await shop.retry();
    await shop.seen('the streams, caught up', done('catch-up'));
    await shop.seen('gate cutover', gateIs('cutover'));
  });

  it('shows a change of the schema, and begins no outage with it', async () => {
    await target.end();
    await shop.query('source', 'alter table shop.campaigns add column surprise text');
    await shop.approve('cutover');
    const { blocked, steps } = await shop.seen('the difference', blockedAt('ready'));
    expect(blocked?.failure).toContain('surprise');
    expect(steps.some(({ id }) => id === 'maintenance-mode')).toBe(false);
    await shop.query('source', 'alter table shop.campaigns drop column surprise');
  });

  it('goes on when the change is taken back, loses nothing of those who know of no maintenance mode, and names who cannot be kept out', async () => {
    const ordinary = new HiddenWriter(shop.applicationUrl('source'), 'hidden ordinary');
    const idle = await open(shop.applicationUrl('source'));
    shop.door.beforeNext('maintenance-mode', async () => {
      await idle.query(`begin; insert into shop.audit_log (action) values ('never committed')`);
      await shop.query(
        'source',
        `begin; insert into shop.audit_log (action) values ('prepared'); prepare transaction 'too late'`,
      );
    });
    await shop.retry();
    const prepared = await shop.seen('the prepared transaction', fenceFailed(/^PreconditionFailed: .*too late/));
    expect(prepared.handOvers).toMatchObject([{ to: 'target' }]);
    await shop.moreWrites(20);

    await shop.query('source', `commit prepared 'too late'`);
    await shop.seen('another look', (status) => blockedAt('ready')(status) || gateIs('cutover')(status));
    await shop.retry();
    const superuser = new HiddenWriter(shop.urls.source, 'hidden superuser');
    await shop.approve('cutover');
    await shop.seen('the superuser', fenceFailed(/^VerificationMismatch: .*hidden superuser/));
    await shop.moreWrites(20);
    await superuser.stop();
    await shop.approve('cutover');
    expect((await shop.finished()).result).toMatchObject({ outcome: 'completed', differences: 0 });
    await ordinary.stop();
    await idle.end();
    const counts = await shop.query(
      'target',
      `select action, count(*)::int as lines, count(distinct detail)::int as different from shop.audit_log
        where action ~ '^hidden' or action in ('never committed', 'prepared') group by action order by action`,
    );
    expect(counts).toEqual([
      { action: ordinary.name, lines: ordinary.acknowledged, different: ordinary.acknowledged },
      { action: superuser.name, lines: superuser.acknowledged, different: superuser.acknowledged },
      { action: 'prepared', lines: 1, different: 0 },
    ]);
    expect(await shop.wrongs({ active: 'target', fenced: 'source' })).toEqual([]);
  });
});

it('ends as it began when the slot is lost', async () => {
  const shop = await world.shop();
  await shop.start();
  await shop.seen('gate cutover', gateIs('cutover'));
  const source = await shop.session('source');
  await until('the slot is dropped', async () => {
    await source.query(`select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name ~ '_g1$'`);
    await sleep(5);
    return source
      .query(`select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name ~ '_g1$'`)
      .then(
        () => true,
        () => false,
      );
  });
  await source.end();
  await shop.approve('cutover');
  const { blocked } = await shop.seen('what is lost', blockedAt('ready'));
  expect(blocked?.failure).toMatch(/the replication slot cutover_\w+_g1 is gone from the source/);
  await shop.rollBack('the slot is lost');
  expect((await shop.finished()).result).toMatchObject({ outcome: 'rolled-back' });
  expect(await shop.wrongs({ active: 'source' })).toEqual([]);
});

// The last of this file: the target does not come back.
it('opens the source again, complete, when the target dies for good after the switch', async () => {
  const shop = await world.shop();
  await shop.start({ monitor: '1h', rollbackTriggers: { probes: [], interval: '10m' } });
  await shop.approve('cutover');
  await shop.seen('the reverse window', ({ phase }) => phase === 'monitor');
  await shop.moreWrites(100);
  // What has reached nobody but the target is lost with it, and has to be: here that is nothing.
  await shop.application.stop();
  await sleep(1_000);
  world.target.kill();
  await shop.atRate(100);
  await shop.rollBack('the target is gone');
  await shop.seen('what keeps it from going back without a loss', blockedAt('ready'), 120_000);
  await shop.rollBack('the target is gone');
  const { loss } = await shop.seen('the words', (status) => status.loss !== undefined, 120_000);
  expect(loss).toMatchObject({ words: 'lose what only the target has' });
  await shop.migration.signal(rollbackSignal, { by: 'anna', reason: 'it is gone', words: loss?.words ?? '' });
  const { result, status } = await shop.finished(240_000);
  expect(result).toMatchObject({ outcome: 'rolled-back' });
  expect(status.steps.filter(({ state }) => state === 'skipped').map(({ id }) => id)).toEqual([
    'remove-streams',
    'back-inspect-access',
    'clean-up',
    'leftovers',
  ]);
  await shop.moreWrites(20);
  await shop.application.stop();
  const source = await shop.session('source');
  const { missing, doubled } = await compareLedger(shop.application.ledgerPath, source);
  expect({ missing, doubled }).toEqual({ missing: [], doubled: [] });
  const { rows } = await source.query(
    `select slot_name as name from pg_replication_slots where database = current_database() union all select pubname from pg_publication
     union all select subname from pg_subscription s join pg_database d on d.oid = s.subdbid where d.datname = current_database()
     union all select nspname from pg_namespace where nspname = 'cutover'`,
  );
  expect(rows).toEqual([]);
  await source.end();
}, 420_000);

/** The fence, raised for the last time, said so; and the attempt was given up. */
function fenceFailed(why: RegExp): Condition {
  return ({ steps }) => why.test(steps.findLast(({ id }) => id === 'fence')?.failure ?? '');
}

interface Written {
  name: string;
  /** By the transaction that has written them. */
  rows: Record<string, number>;
}

/** Tables of which every chunk is in. */
async function finishedTables(target: Client): Promise<Written[]> {
  const { rows } = await target.query<{ name: string }>(
    `select format('%I.%I', t.schema_name, t.table_name) as name
       from cutover.copied_table t join cutover.chunk c on c.table_id = t.id
      group by t.id having bool_and(c.state = 'done') and sum(c.rows) > 0`,
  );
  const tables: Written[] = [];
  for (const { name } of rows) {
    const written = await target.query<{ xid: string; rows: number }>(
      `select xmin::text as xid, count(*)::int as rows from only ${name} group by 1`,
    );
    tables.push({ name, rows: Object.fromEntries(written.rows.map(({ xid, rows: count }) => [xid, count])) });
  }
  return tables;
}

async function takeEveryConnection(url: string): Promise<Client[]> {
  const taken: Client[] = [];
  for (;;) {
    try {
      taken.push(await open(url));
    } catch {
      return taken;
    }
  }
}
