// kill -9 of whatever can die while Calico moves, where it hurts most. Afterwards both sides agree, key for key, and every key is accounted for.
import { approveSignal, rollbackSignal } from '../../workflows/messages';
import { begun, CalicoWorld, finished, seen } from '../fixtures/calico-world';
import { until } from '../fixtures/until';
import { gateOpen, type MigrationHandle } from '../fixtures/workflow-rig';

let world: CalicoWorld;
beforeAll(async () => {
  world = await CalicoWorld.start();
}, 900_000);
afterAll(() => world.stop(), 60_000);

async function expectMoved(handle: MigrationHandle): Promise<void> {
  const { result, status } = await finished(handle);
  expect(result).toMatchObject({ outcome: 'completed', differences: 0 });
  expect(await world.afterMove(status)).toEqual([]);
}

/** The activity has failed and is tried again. */
async function untilTriedAgain(handle: MigrationHandle, activity: string): Promise<void> {
  await until(
    `${activity} is tried again`,
    async () => {
      const { pendingActivities } = (await handle.describe()).raw;
      return (pendingActivities ?? []).some(
        ({ activityType, attempt }) => activityType?.name === activity && (attempt ?? 0) > 1,
      );
    },
    90_000,
  );
}

/** Some seven seconds for the import, so that a kill falls into its middle. */
const slowly = { maxWritesPerSecond: 20 };

describe('kill -9', () => {
  beforeEach(() => world.fresh());

  it('of the worker in the middle of the import loses nothing and imports nothing twice', async () => {
    const handle = await world.start(slowly);
    await world.untilImporting(handle);
    await world.replaceWorker();
    const { result, status } = await finished(handle);
    expect(result).toMatchObject({ outcome: 'completed', differences: 0 });
    const sum = (field: 'wanted' | 'created' | 'equal'): number =>
      (status.imports ?? []).reduce((total, kind) => total + kind[field], 0);
    // The try that ended it found what the killed one had written.
    expect(sum('equal')).toBeGreaterThanOrEqual(10);
    expect(sum('equal') + sum('created')).toBe(sum('wanted'));
    expect(await world.afterMove(status)).toEqual([]);
  });

  it.each(['nodes', 'compare', 'unlock'])('of the worker during step %s loses nothing', async (step) => {
    const handle = await world.start();
    await seen(handle, begun(step), step);
    await world.replaceWorker();
    await expectMoved(handle);
  });

  it('of the worker during the rollout loses nothing', async () => {
    world.standIn.stall();
    const handle = await world.start();
    await seen(handle, begun('rollout'), 'the rollout');
    await world.replaceWorker();
    world.standIn.resume();
    await expectMoved(handle);
  });

  it('of the worker on the way back leaves both sides as they were', async () => {
    const handle = await world.start({ gates: { start: 'auto', cutover: {} } });
    await seen(handle, gateOpen('cutover'), 'gate cutover');
    await handle.signal(rollbackSignal, { by: 'anna', reason: 'trying the way back' });
    await seen(handle, ({ steps }) => steps.some(({ state }) => state === 'undoing'), 'the first undo');
    await world.replaceWorker();
    expect((await finished(handle)).result).toMatchObject({ outcome: 'rolled-back' });
    expect(await world.afterWayBack()).toEqual([]);
  });

  it('of the apiserver, and then of its etcd, in the middle of the import loses nothing', async () => {
    const handle = await world.start(slowly);
    await world.untilImporting(handle);
    world.kubernetes.kill();
    await world.kubernetes.restart();
    await world.untilImporting(handle, 30);
    world.kubernetes.etcd.kill();
    await world.kubernetes.etcd.restart();
    await expectMoved(handle);
  });

  it("of Calico's etcd before the backup and before the look for drift only delays them", async () => {
    world.standIn.stall();
    const handle = await world.start({ gates: { cutover: 'auto', unlock: 'auto' } });
    await seen(handle, gateOpen('start'), 'gate start');
    world.calicoEtcd.kill();
    await handle.signal(approveSignal, { gate: 'start', by: 'anna' });
    await untilTriedAgain(handle, 'takeEtcdSnapshot');
    await world.calicoEtcd.restart();
    await seen(handle, begun('rollout'), 'the rollout');
    world.calicoEtcd.kill();
    world.standIn.resume();
    await untilTriedAgain(handle, 'findEtcdDrift');
    await world.calicoEtcd.restart();
    await expectMoved(handle);
  });

  it('of the Temporal server in the middle of the import loses nothing', async () => {
    const handle = await world.start(slowly);
    await world.untilImporting(handle);
    world.temporal.kill();
    await world.temporal.restart();
    await expectMoved(handle);
  });
});
