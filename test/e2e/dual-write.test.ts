// Dual writing from end to end, on real servers, under load, with repeats that fail and a worker that is killed: no acknowledged write is
// missing or doubled, there or on the way back, and the application hardly notices.
import { startShopWorld, type ShopWorld } from '../fixtures/shop-world';
import { until, type MigrationHandle } from '../fixtures/workflow-rig';
import { approveSignal, rollbackSignal, type MigrationStatus } from '../../workflows/messages';
import type { PostgresPlanInput } from '../../plan/postgres';

const plan: Partial<PostgresPlanInput> = {
  strategy: 'dual-write',
  snapshot: { kind: 'none', reason: 'the shop of a test has no backup' },
  gates: { start: 'auto', accept: 'auto', 'retire-source': 'auto' },
  dualWrite: { repair: 'auto', parityRounds: 2, roundInterval: '300ms', settle: '700ms' },
  monitor: '1s',
};
const patience = 180_000;

let world: ShopWorld;
beforeEach(async () => {
  world = await startShopWorld({ orders: 1_500, rate: 60, documents: false, everyTableKeyed: true });
}, 300_000);
afterEach(() => world.stop(), 60_000);

/** Polls; blocked fails at once, with the reason. */
function seen(handle: MigrationHandle, wanted: (status: MigrationStatus) => boolean): Promise<MigrationStatus> {
  return until(
    handle,
    (status) => {
      if (status.blocked) throw new Error(`blocked at ${status.blocked.step}: ${status.blocked.failure}`);
      return wanted(status);
    },
    patience,
  );
}
const runs = (id: string) => (status: MigrationStatus) =>
  status.steps.some((step) => step.id === id && step.state === 'running');
const gate = (name: string) => (status: MigrationStatus) => status.gate === name;
const approve = (handle: MigrationHandle, name: string) => handle.signal(approveSignal, { gate: name, by: 'anna' });
const differences = async (side: 'source' | 'target') => {
  const { acknowledged, missing, doubled } = await world.judge(side);
  expect(acknowledged).toBeGreaterThan(100);
  return [...missing, ...doubled];
};

describe('dual writing', () => {
  it('repairs what was not repeated, survives kill -9 of the worker, and switches without a stop', async () => {
    const handle = await world.start({ ...plan, copy: { lanes: 2, chunkMegabytes: 1, maxBytesPerSecond: 1_500_000 } });
    await seen(handle, runs('copy-data'));
    await world.administer('faults', { failRepeatsPercent: 5 });
    await world.replaceWorker();
    await seen(handle, runs('reconcile'));
    await world.replaceWorker();
    await seen(handle, ({ reconciliation }) => (reconciliation?.repaired.repairs ?? 0) > 0);
    await world.administer('faults', {});
    const ready = await seen(handle, gate('cutover'));
    expect(ready.reconciliation).toMatchObject({ judge: 'source', problems: [] });
    expect(ready.reconciliation?.repeatsFailed).toBeGreaterThan(0);
    await approve(handle, 'cutover');
    const end = await seen(handle, ({ reportUrl }) => reportUrl !== undefined);
    expect(await handle.result()).toMatchObject({ outcome: 'completed', differences: 0 });
    // Milliseconds, where nothing else keeps this machine busy.
    expect(end.handOvers).toMatchObject([{ to: 'target', outcome: 'switched' }]);
    expect(end.handOvers?.[0]?.freezeMs).toBeLessThan(5_000);
    expect(await differences('target')).toEqual([]);
    expect(world.application.status()).toMatchObject({ active: 'target', dualWrite: { enabled: false } });
  }, 400_000);

  it('goes back with everything that was written since, also what was not repeated', async () => {
    const handle = await world.start({ ...plan, monitor: '1h' });
    await seen(handle, gate('cutover'));
    await approve(handle, 'cutover');
    await seen(handle, runs('monitor'));
    await world.administer('faults', { failRepeatsPercent: 20 });
    const { acknowledged } = world.application.status();
    await seen(handle, () => world.application.status().acknowledged > acknowledged + 100);
    await world.administer('faults', {});
    await handle.signal(rollbackSignal, { by: 'anna', reason: 'trying the way back' });
    const end = await seen(handle, ({ reportUrl }) => reportUrl !== undefined);
    expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
    expect(end.reconciliation?.repaired.repairs).toBeGreaterThan(0);
    expect(end.handOvers).toMatchObject([{ to: 'target' }, { to: 'source', outcome: 'switched' }]);
    expect(await differences('source')).toEqual([]);
    expect(world.application.status()).toMatchObject({ active: 'source', dualWrite: { enabled: false } });
  }, 400_000);
});
