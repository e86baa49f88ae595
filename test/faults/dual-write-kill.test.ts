// kill -9 of the worker in each kind of work that dual writing has, from the backfill to the end of the repeats; the way back has its own in
// `test/e2e/dual-write`. Where the work would be over too soon to be met, a lock holds it until the worker is dead.
import pg from 'pg';
import type { PostgresPlanInput } from '../../plan/postgres';
import { approveSignal, type MigrationStatus } from '../../workflows/messages';
import { startShopWorld, type ShopWorld } from '../fixtures/shop-world';
import { until, type MigrationHandle } from '../fixtures/workflow-rig';

const plan: Partial<PostgresPlanInput> = {
  strategy: 'dual-write',
  snapshot: { kind: 'none', reason: 'the shop of a test has no backup' },
  gates: { start: 'auto', 'retire-source': 'auto' },
  copy: { lanes: 2, chunkMegabytes: 1, maxBytesPerSecond: 800_000 },
  dualWrite: { parityRounds: 1, roundInterval: '200ms', settle: '500ms' },
};
const patienceMs = 180_000;

let world: ShopWorld;
beforeAll(async () => {
  world = await startShopWorld({ orders: 800, rate: 40, documents: false, everyTableKeyed: true });
}, 300_000);
afterAll(() => world.stop(), 60_000);

const runs = (id: string) => (status: MigrationStatus) =>
  status.steps.findLast((step) => step.id === id)?.state === 'running';
const open = (name: string) => (status: MigrationStatus) => status.gate === name;
const approve = (handle: MigrationHandle, gate: string) => handle.signal(approveSignal, { gate, by: 'anna' });

/** Polls; blocked fails at once, with the reason. Repairs that nobody waits for are approved as they come. */
async function seen(handle: MigrationHandle, wanted: (status: MigrationStatus) => boolean): Promise<MigrationStatus> {
  for (;;) {
    const status = await until(
      handle,
      (now) => {
        if (now.blocked) throw new Error(`blocked at ${now.blocked.step}: ${now.blocked.failure}`);
        return wanted(now) || now.gate === 'repair';
      },
      patienceMs,
    );
    if (wanted(status)) return status;
    await approve(handle, 'repair');
    await until(handle, ({ gate }) => gate !== 'repair', patienceMs);
  }
}

/** While nobody can write to the audit log of a side, which every write of the shop and most repairs do. */
async function whileHeld<Result>(side: 'source' | 'target', work: () => Promise<Result>): Promise<Result> {
  const client = new pg.Client({ connectionString: side === 'source' ? world.sourceUrl : world.targetUrl });
  await client.connect();
  try {
    await client.query('begin; lock table shop.audit_log in exclusive mode');
    return await work();
  } finally {
    await client.end();
  }
}

/** Kills the worker in that step, which begins when the gate is approved. */
const killAfter = (handle: MigrationHandle, gate: string, step: string, held: 'source' | 'target') =>
  whileHeld(held, async () => {
    await approve(handle, gate);
    await seen(handle, runs(step));
    world.worker.kill();
  });

const lost = async (side: 'source' | 'target'): Promise<string[]> => {
  const { acknowledged, missing, doubled } = await world.judge(side);
  expect(acknowledged).toBeGreaterThan(100);
  return [...missing, ...doubled];
};

it('during backfill, comparison, repair, switch, window and end loses and doubles no row', async () => {
  await world.administer('faults', { failRepeatsPercent: 5 });
  const handle = await world.start({ ...plan, monitor: '15s' });
  for (const step of ['copy-data', 'reconcile']) {
    await seen(handle, runs(step));
    await world.replaceWorker();
  }
  await seen(handle, open('repair'));
  await world.administer('faults', {});
  await killAfter(handle, 'repair', 'repair', 'target');
  await world.replaceWorker();
  await seen(handle, open('cutover'));
  await killAfter(handle, 'cutover', 'switch-datastore', 'source');
  await world.replaceWorker();
  await seen(handle, runs('monitor'));
  await world.replaceWorker();
  await seen(handle, open('accept'));
  await killAfter(handle, 'accept', 'dual-write-off', 'target');
  await world.replaceWorker();
  expect(await handle.result()).toMatchObject({ outcome: 'completed', differences: 0 });
  expect(await lost('target')).toEqual([]);
  expect(world.application.status()).toMatchObject({ active: 'target', dualWrite: { enabled: false } });
}, 900_000);
