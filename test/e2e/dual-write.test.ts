// Dual writing from end to end, on real servers and under load: rehearsed without the application, then for real, with repeats that fail on both
// ways, and a worker that is killed on the way back. No acknowledged write is missing or doubled, and the application hardly notices. Workers
// killed on the way there are in `test/faults/dual-write-kill`.
import { startShopWorld, type ShopWorld } from '../fixtures/shop-world';
import { until, type MigrationHandle } from '../fixtures/workflow-rig';
import { approveSignal, journalQuery, rollbackSignal, type MigrationStatus } from '../../workflows/messages';
import type { PostgresPlanInput } from '../../plan/postgres';

const plan: Partial<PostgresPlanInput> = {
  strategy: 'dual-write',
  rehearsal: { source: { env: 'SCRATCH_SOURCE_URL' }, target: { env: 'SCRATCH_TARGET_URL' } },
  gates: { start: 'auto', 'go-live': 'auto', accept: 'auto', 'retire-source': 'auto' },
  dualWrite: { repair: 'auto', parityRounds: 1, roundInterval: '200ms', settle: '500ms' },
  monitor: '1h',
};
const patience = 180_000;

let world: ShopWorld;
beforeAll(async () => {
  world = await startShopWorld({ orders: 300, rate: 60, documents: false, everyTableKeyed: true, scratch: true });
}, 300_000);
afterAll(() => world.stop(), 60_000);

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
const gate = (name: string) => (status: MigrationStatus) => status.gate === name;
const written = async (handle: MigrationHandle, more: number) => {
  const { acknowledged } = world.application.status();
  await seen(handle, () => world.application.status().acknowledged > acknowledged + more);
};

it('is rehearsed, repairs what was not repeated, switches without a stop, and goes back with everything written since', async () => {
  await world.administer('faults', { failRepeatsPercent: 5, seed: 5 });
  const handle = await world.start(plan);
  await seen(handle, ({ reconciliation }) => (reconciliation?.repaired.repairs ?? 0) > 0);
  await world.administer('faults', {});
  const ready = await seen(handle, gate('cutover'));
  expect(ready.reconciliation).toMatchObject({ judge: 'source', problems: [] });
  expect(ready.reconciliation?.repeatsFailed).toBeGreaterThan(0);
  const { rehearsal } = await handle.query(journalQuery);
  expect(rehearsal).toMatchObject({ outcome: 'passed', validationPassed: true, rollback: { rehearsed: true } });

  await handle.signal(approveSignal, { gate: 'cutover', by: 'anna' });
  await seen(handle, ({ steps }) => steps.some(({ id, state }) => id === 'monitor' && state === 'running'));
  expect(world.application.status().active).toBe('target');
  await world.administer('faults', { failRepeatsPercent: 20, seed: 6 });
  await written(handle, 100);
  await world.administer('faults', {});
  await handle.signal(rollbackSignal, { by: 'anna', reason: 'trying the way back' });
  await seen(handle, ({ steps, phase }) => phase === 'rolling-back' && steps.at(-1)?.id === 'reconcile');
  await world.replaceWorker();
  // The shop deletes too: where those repeats were lost, people are asked before the source loses the rows.
  const { gate: open, gates } = await seen(
    handle,
    (status) => status.gate === 'repair' || status.reportUrl !== undefined,
  );
  if (open === 'repair') {
    expect(gates.at(-1)?.evidence[0]).toContain('whether the target has lost rows that the source still has');
    await handle.signal(approveSignal, { gate: 'repair', by: 'anna' });
  }
  const end = await seen(handle, ({ reportUrl }) => reportUrl !== undefined);
  expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
  const [there, back] = end.handOvers ?? [];
  expect([there, back]).toMatchObject([
    { to: 'target', outcome: 'switched' },
    { to: 'source', outcome: 'switched' },
  ]);
  // Milliseconds, where nothing else keeps this machine busy.
  expect(Math.max(there?.freezeMs ?? Infinity, back?.freezeMs ?? Infinity)).toBeLessThan(5_000);
  expect(end.reconciliation?.repaired.repairs).toBeGreaterThan(ready.reconciliation?.repaired.repairs ?? Infinity);
  expect(world.application.status()).toMatchObject({ active: 'source', failed: 0, dualWrite: { enabled: false } });
  const { missing, doubled, bySide } = await world.judge('source');
  expect({ missing, doubled }).toEqual({ missing: [], doubled: [] });
  expect(Math.min(bySide.source, bySide.target)).toBeGreaterThan(100);
}, 600_000);
