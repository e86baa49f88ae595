// Runbook section 3 on real servers: production is PostgreSQL 15 and 18 with a shop that writes all the time, and two more servers are for the
// rehearsal. One with a planted failure never opens the gate; one that passes opens it with its table, and its times are compared afterwards.
import pg from 'pg';
import { approveSignal, journalQuery, rejectSignal, reportQuery, rollbackSignal } from '../../workflows/messages';
import { startShopWorld, type ShopWorld } from '../fixtures/shop-world';
import { phaseIs, until } from '../fixtures/workflow-rig';

const rehearsal = { source: { env: 'SCRATCH_SOURCE_URL' }, target: { env: 'SCRATCH_TARGET_URL' } };
const gates = { start: 'auto', cutover: 'auto', accept: 'auto', 'retire-source': 'auto' } as const;
const patience = 180_000;

let world: ShopWorld;
beforeAll(async () => {
  world = await startShopWorld({ orders: 300, rate: 50, documents: false, scratch: true });
}, 600_000);
afterAll(() => world.stop(), 60_000);

/** What is in the scratch databases, with fences, roles, slots and subscriptions of their servers. */
async function leftOnScratch(): Promise<string[]> {
  const { source = '', target = '' } = world.scratchUrls ?? {};
  const left = await Promise.all(
    [source, target].map(async (connectionString) => {
      const client = new pg.Client({ connectionString });
      await client.connect();
      try {
        const { rows } = await client.query<{ name: string }>(`
          select 'table ' || oid::regclass as name from pg_class where relkind = 'r' and oid >= 16384
          union all select 'schema ' || nspname from pg_namespace where oid >= 16384 and nspname !~ '^pg_t'
          union all select 'role ' || rolname from pg_roles where oid >= 16384
          union all select 'slot ' || slot_name from pg_replication_slots
          union all select 'subscription ' || subname from pg_subscription
          union all select 'fence' from pg_database where datname = current_database() and datconnlimit <> -1`);
        return rows.map(({ name }) => name);
      } finally {
        await client.end();
      }
    }),
  );
  return left.flat();
}

it('never opens the gate when it fails, leaves production alone, and goes away with it', async () => {
  const planted = { name: 'planted', sql: 'select count(*) from shop.orders', expect: '0' };
  const handle = await world.start({ gates, rehearsal, validation: { assertions: [planted] } });
  const { blocked, gates: passed } = await until(handle, phaseIs('blocked'), patience);
  expect(blocked?.failure).toMatch(/step declared-checks failed.*planted: fail/);
  expect(blocked).toMatchObject({ step: 'rehearse', skippable: false });
  expect(passed.map(({ name }) => name)).toEqual(['start']);
  // The shop was never stopped.
  const count = 'select count(*) as orders from shop.orders';
  const [before] = await world.query('source', count);
  await expect(
    (async () => {
      while ((await world.query('source', count))[0]?.orders === before?.orders)
        await new Promise((go) => setTimeout(go, 50));
    })(),
  ).resolves.toBeUndefined();
  expect(await world.query('target', `select from pg_namespace where nspname in ('shop', 'cutover')`)).toEqual([]);

  await handle.signal(rollbackSignal, { by: 'anna', reason: 'the plan is wrong' });
  expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
  expect(await leftOnScratch()).toEqual([]);
}, 300_000);

it('goes over and back by streams without a loss, and leaves nothing on the scratch servers', async () => {
  const handle = await world.start({
    gates,
    rehearsal,
    strategy: 'cdc',
    cdc: { tablesWithoutKey: 'full', largeObjects: 'refuse' },
  });
  const { gates: open } = await until(handle, ({ gate, phase }) => gate === 'go-live' || phase === 'blocked', patience);
  const evidence = open.at(-1)?.evidence.join('\n');
  expect(evidence).toContain('rollback rehearsed: yes, by a hand-over back, without a loss');
  expect(await leftOnScratch()).toEqual([]);
  await handle.signal(rejectSignal, { gate: 'go-live', by: 'ben', reason: 'it was only tried' });
  expect(await handle.result()).toMatchObject({ outcome: 'rejected' });
}, 300_000);

it('opens the gate with its table when it passes, its worker killed on the way, and the report compares what it predicted', async () => {
  const handle = await world.start({ gates, rehearsal });
  await until(handle, ({ steps }) => steps.at(-1)?.id === 'rehearse', patience);
  const child = world.client.workflow.getHandle(`${handle.workflowId}-rehearsal-1`);
  const isThere = (): Promise<boolean> =>
    child.describe().then(
      () => true,
      () => false,
    );
  while (!(await isThere())) await new Promise((go) => setTimeout(go, 50));
  await until(child, ({ steps }) => steps.some(({ id }) => id === 'copy-data'), patience);
  await world.replaceWorker();
  const { gates: open } = await until(handle, ({ gate, phase }) => gate === 'go-live' || phase === 'blocked', patience);
  const evidence = open.at(-1)?.evidence.join('\n') ?? '';
  expect(evidence).toMatch(/rehearsal .*-rehearsal-1: passed, there and back in/);
  expect(evidence).toMatch(/rows migrated: [\d ]+; errors: none/);
  expect(evidence).toMatch(/validation: passed, \d+ of \d+/);
  expect(evidence).toMatch(/rollback rehearsed: yes, by undoing everything before the switch/);
  expect(evidence).toMatch(/each count equal to the source's at the moment of the snapshot/);
  expect(evidence).toMatch(/predicted from the rehearsal: .* writes stopped for/);
  expect(await leftOnScratch()).toEqual([]);
  await handle.signal(approveSignal, { gate: 'go-live', by: 'anna' });
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  const { rehearsal: record, prediction } = await handle.query(journalQuery);
  expect(record).toMatchObject({ outcome: 'passed', validationPassed: true, rollback: { rehearsed: true } });
  expect(prediction?.steps.map(({ id }) => id)).toContain('copy-data');
  const report = await handle.query(reportQuery);
  const copy = /Predicted against actual[^]*?\| Copy the rows \| ([^|]+) \| ([^|]+) \| ([^|]+)%/.exec(report);
  expect(copy).not.toBeNull();
}, 300_000);
