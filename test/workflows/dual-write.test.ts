// A migration by dual writing as its workflow sees it: what happens in which order, and what is undone when. Real Temporal, fake activities.
import {
  approveSignal,
  rejectSignal,
  rollbackSignal,
  statusQuery,
  type MigrationStatus,
} from '../../workflows/messages';
import type { FakeWorld } from '../fixtures/fake-activities';
import { dualWriteAnswers } from '../fixtures/fake-dual-write';
import { artifact } from '../fixtures/fake-calico';
import type { PostgresPlanInput } from '../../plan/postgres';
import {
  gateOpen,
  phaseIs,
  startWorkflowServer,
  until,
  type MigrationHandle,
  type WorkflowServer,
} from '../fixtures/workflow-rig';

let server: WorkflowServer;
beforeAll(async () => {
  server = await startWorkflowServer();
}, 300_000);
afterAll(() => server.stop());

const dualWrite = { roundInterval: '20ms', settle: '10ms' };
const automatic: Partial<PostgresPlanInput> = { strategy: 'dual-write', gates: 'auto', dualWrite };
/** People decide on repairs and on the cutover. */
const asked: Partial<PostgresPlanInput> = {
  strategy: 'dual-write',
  gates: { start: 'auto', accept: 'auto', 'retire-source': 'auto' },
  dualWrite,
};

const equal = dualWriteAnswers.compareLive;
const unequal = {
  ...equal,
  differing: 3,
  byTable: [{ table: 'public.orders', insert: 1, update: 1, delete: 1 }],
  lines: ['public.orders key=(1): missing on the target', '3 rows differ in all'],
  differences: artifact('differences.json'),
};

/** Nothing to take away. */
const lacking = { ...unequal, byTable: [{ table: 'public.orders', insert: 2, update: 1, delete: 0 }] };

const approve = (handle: MigrationHandle, gate: string) => handle.signal(approveSignal, { gate, by: 'test' });
const reject = (handle: MigrationHandle, gate: string) => handle.signal(rejectSignal, { gate, by: 'test' });
const rollBack = (handle: MigrationHandle) =>
  handle.signal(rollbackSignal, { by: 'test', reason: 'trying the way back' });

/** The named calls, in their order, each run of equal ones as one. */
function inOrder(calls: string[], names: string[]): string[] {
  return calls.filter((call) => names.includes(call)).filter((call, at, all) => call !== all[at - 1]);
}

const main = [
  'buildPostData',
  'planChunks',
  'checkTargetHealth',
  'setDualWrite',
  'copyLane',
  'compareLive',
  'repairRows',
  'carryLiveSequences',
  'switchDatastore',
  'watchTarget',
  'raiseFence',
  'removeLedger',
  'clearTarget',
  'setMaintenanceMode',
];

const seen = async (handle: MigrationHandle): Promise<MigrationStatus> => handle.query(statusQuery);

/** How often it was called since a mark. */
const callsOf = (world: FakeWorld, name: string): number => world.calls.filter((call) => call === name).length;

describe('a migration by dual writing', () => {
  it('builds keys before the application writes to both, fills in, proves parity, switches without a freeze, and fences at the end', () =>
    server.withWorker(async ({ world, start }) => {
      const handle = await start(automatic);
      expect(await handle.result()).toMatchObject({ outcome: 'completed', differences: 0 });
      expect(inOrder(world.calls, main)).toEqual([
        'buildPostData',
        'planChunks',
        'checkTargetHealth',
        'setDualWrite',
        'copyLane',
        'compareLive',
        'buildPostData',
        'compareLive',
        'checkTargetHealth',
        'compareLive',
        'carryLiveSequences',
        'switchDatastore',
        'watchTarget',
        'setDualWrite',
        'raiseFence',
        'removeLedger',
      ]);
      expect(world.inputs.get('setDualWrite')).toMatchObject({ enabled: false });
      expect(world.inputs.get('copyLane')).toMatchObject({ merge: true });
      expect(world.inputs.get('switchDatastore')).toMatchObject({ to: 'target', failedRepeats: 0 });
      // One before the foreign keys, three in a row, one at the switch.
      expect(callsOf(world, 'compareLive')).toBeGreaterThanOrEqual(5);
      const { handOvers, reconciliation, downtime } = await seen(handle);
      expect(handOvers).toMatchObject([{ from: 'source', to: 'target', outcome: 'switched', freezeMs: 180 }]);
      expect(reconciliation?.endedAt).toBeDefined();
      expect(downtime).toMatchObject({ durationMs: 180 });
    }));

  it('shows what it would repair, repairs once approved, and begins its rounds anew', () =>
    server.withWorker(async ({ world, start }) => {
      world.answerWith('compareLive', unequal);
      const handle = await start(asked);
      const { gates } = await until(handle, gateOpen('repair'));
      expect(gates.at(-1)?.evidence.join('\n')).toMatch(/insert 1, update 1, delete 1[\s\S]*key=\(1\): missing/);
      expect(world.calls).not.toContain('repairRows');
      world.answerWith('compareLive', equal);
      await approve(handle, 'repair');
      await until(handle, gateOpen('cutover'));
      expect(world.inputs.get('repairRows')).toMatchObject({
        judge: 'source',
        differences: artifact('differences.json'),
      });
      const { reconciliation, gates: now } = await seen(handle);
      expect(reconciliation).toMatchObject({ parityInARow: 3, repaired: { repairs: 1, inserted: 1 } });
      expect(now.at(-1)?.evidence.join('\n')).toMatch(/3 round\(s\) in a row[\s\S]*1 repairs/);
      await approve(handle, 'cutover');
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
    }));

  it('undoes everything when the cutover is rejected: one side again before the target is put back', () =>
    server.withWorker(async ({ world, start }) => {
      const handle = await start(asked);
      await until(handle, gateOpen('cutover'));
      await reject(handle, 'cutover');
      expect(await handle.result()).toMatchObject({ outcome: 'rejected' });
      expect(inOrder(world.calls, ['setDualWrite', 'clearTarget', 'removeLedger', 'switchDatastore'])).toEqual([
        'setDualWrite',
        'clearTarget',
        'removeLedger',
      ]);
      expect(callsOf(world, 'setDualWrite')).toBe(2);
    }));

  it('goes back in the window without words, with the target as judge', () =>
    server.withWorker(async ({ world, start }) => {
      world.hold('watchTarget');
      const handle = await start({ ...asked, monitor: '1h' });
      await until(handle, gateOpen('cutover'));
      await approve(handle, 'cutover');
      await until(handle, phaseIs('monitor'));
      world.answerWith('compareLive', lacking);
      const held = world.hold('repairRows');
      const before = world.calls.length;
      await rollBack(handle);
      await until(handle, () => world.calls.slice(before).includes('repairRows'));
      world.answerWith('compareLive', equal);
      held.release();
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(world.inputs.get('repairRows')).toMatchObject({ judge: 'target' });
      expect(world.inputs.get('carryLiveSequences')).toMatchObject({ to: 'source' });
      // A round beside the watch may have begun before the signal arrived.
      const begun = world.calls.indexOf('setDualWrite', before);
      const back = inOrder(world.calls.slice(begun), main).filter((call) => call !== 'watchTarget');
      expect(back).toEqual([
        'setDualWrite',
        'compareLive',
        'repairRows',
        'compareLive',
        'carryLiveSequences',
        'switchDatastore',
        'setDualWrite',
        'raiseFence',
        'removeLedger',
      ]);
      expect(world.inputs.get('findLeftovers')).toMatchObject({ kept: { sourceFence: false, targetFence: true } });
      expect((await seen(handle)).gates.map(({ name }) => name)).not.toContain('repair');
    }));

  it('asks before the way back takes rows from the source that the target has no more', () =>
    server.withWorker(async ({ world, start }) => {
      world.hold('watchTarget');
      const handle = await start({ ...asked, monitor: '1h' });
      await until(handle, gateOpen('cutover'));
      await approve(handle, 'cutover');
      await until(handle, phaseIs('monitor'));
      world.answerWith('compareLive', unequal);
      await rollBack(handle);
      const { gates } = await until(handle, gateOpen('repair'));
      expect(gates.at(-1)?.evidence[0]).toContain('whether the target has lost rows that the source still has');
      expect(world.calls).not.toContain('repairRows');
      world.answerWith('compareLive', equal);
      await approve(handle, 'repair');
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(callsOf(world, 'repairRows')).toBe(1);
    }));

  it('goes back by itself on a breach in the window, both sides compared first', () =>
    server.withWorker(async ({ world, start }) => {
      world.answerWith('watchTarget', {
        samples: 10,
        errors: 9,
        errorRatePercent: 90,
        breaches: ['90 % errors'],
        endedBy: 'breach',
      });
      const handle = await start({ ...automatic, monitor: '1h' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      const { gates, reason } = await seen(handle);
      expect(reason).toContain('rolled back by a trigger: 90 % errors');
      expect(gates.map(({ name }) => name)).not.toContain('continue-after-breach');
      const after = world.calls.slice(world.calls.indexOf('watchTarget'));
      expect(inOrder(after, ['compareLive', 'switchDatastore'])).toEqual(['compareLive', 'switchDatastore']);
    }));

  it('compares again when a repeat has failed meanwhile', () =>
    server.withWorker(async ({ world, start }) => {
      world.failNext('switchDatastore', 2, 'PreconditionFailed', { status: 409 });
      const handle = await start(automatic);
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      const { steps } = await seen(handle);
      expect(steps.filter(({ id }) => id === 'switch-datastore').map(({ state }) => state)).toEqual([
        'done',
        'done',
        'done',
      ]);
    }));

  it('carries sequences once more before a switch that comes late', () =>
    server.withWorker(async ({ world, start }) => {
      world.hold('switchDatastore');
      const handle = await start(automatic);
      const further = () =>
        (world.inputs.get('carryLiveSequences') as { onlyForward?: boolean } | undefined)?.onlyForward;
      await until(handle, () => further() === true, 60_000);
      world.release('switchDatastore');
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      const { steps } = await seen(handle);
      expect(steps.filter(({ id }) => id === 'switch-datastore')).toMatchObject([{ state: 'done', retries: 0 }]);
    }));

  it('keeps the target, ends dual writing and fences the source when it is cancelled after the switch', () =>
    server.withWorker(async ({ world, start }) => {
      world.hold('watchTarget');
      const handle = await start({ ...automatic, monitor: '1h' });
      await until(handle, phaseIs('monitor'));
      await handle.cancel();
      await expect(handle.result()).rejects.toThrow();
      expect(inOrder(world.calls, main).slice(-3)).toEqual(['setDualWrite', 'raiseFence', 'removeLedger']);
      expect(world.inputs.get('setDualWrite')).toMatchObject({ enabled: false });
      expect(callsOf(world, 'switchDatastore')).toBe(1);
    }));
});
