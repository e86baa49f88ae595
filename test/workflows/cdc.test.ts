// A migration by CDC as its workflow sees it: what happens in which order, and what is undone when. Real Temporal, fake activities.
import { approveSignal, recopySignal, rejectSignal, rollbackSignal, statusQuery } from '../../workflows/messages';
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
});
afterAll(() => server.stop());

const cdc: Partial<PostgresPlanInput> = { strategy: 'cdc', gates: 'auto' };
/** People decide on the cutover alone. */
const asked: Partial<PostgresPlanInput> = {
  strategy: 'cdc',
  gates: { start: 'auto', accept: 'auto', 'retire-source': 'auto' },
};
const rollBack = (handle: MigrationHandle) =>
  handle.signal(rollbackSignal, { by: 'test', reason: 'trying the way back' });
const approve = (handle: MigrationHandle) => handle.signal(approveSignal, { gate: 'cutover', by: 'test' });

/** The named calls, in their order. */
function inOrder(calls: string[], names: string[]): string[] {
  return calls.filter((call) => names.includes(call));
}

describe('a migration by CDC', () => {
  it('shuts the target before it follows, proves before the outage, and opens one side only when the other is shut and follows', () =>
    server.withWorker(async ({ world, start }) => {
      const handle = await start(cdc);
      expect(await handle.result()).toMatchObject({ outcome: 'completed', differences: 0 });
      const order = inOrder(world.calls, [
        'raiseFence',
        'openGroup',
        'awaitSnapshot',
        'copyLane',
        'closeGroup',
        'buildPostData',
        'subscribe',
        'awaitCaughtUp',
        'rehearseTurn',
        'compareMoving',
        'observeStreams',
        'setMaintenanceMode',
        'freezeAndDrain',
        'turnStreams',
        'lowerFence',
        'switchDatastore',
        'setNormalMode',
        'dropLeg',
        'watchTarget',
        'removeStreams',
        'removeLedger',
      ]);
      expect([...new Set(order)]).toEqual([
        'raiseFence',
        'openGroup',
        'awaitSnapshot',
        'copyLane',
        'closeGroup',
        'buildPostData',
        'subscribe',
        'awaitCaughtUp',
        'rehearseTurn',
        'compareMoving',
        'observeStreams',
        'setMaintenanceMode',
        'freezeAndDrain',
        'turnStreams',
        'lowerFence',
        'switchDatastore',
        'setNormalMode',
        'dropLeg',
        'watchTarget',
        'removeStreams',
        'removeLedger',
      ]);
      expect(world.inputs.get('lowerFence')).toMatchObject({ side: 'target' });
      const { handOvers } = await handle.query(statusQuery);
      expect(handOvers).toMatchObject([{ from: 'source', to: 'target', outcome: 'switched', freezeMs: 180 }]);
    }));

  it('copies only what is unfinished again when the snapshot is lost, in a group of its own', () =>
    server.withWorker(async ({ world, start }) => {
      world.failNext('copyLane', 1, 'SnapshotLost');
      const handle = await start(cdc);
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      expect(inOrder(world.calls, ['openGroup', 'closeLostGroup', 'closeGroup'])).toEqual([
        'openGroup',
        'closeLostGroup',
        'openGroup',
        'closeGroup',
      ]);
      expect(world.inputs.get('closeGroup')).toMatchObject({ group: 2 });
    }));

  it('goes back inside the reverse window without words, and forward once more without another copy', () =>
    server.withWorker(async ({ world, start }) => {
      const handle = await start({ ...asked, monitor: '1h' });
      await until(handle, gateOpen('cutover'));
      await approve(handle);
      await until(handle, phaseIs('monitor'));
      world.hold('watchTarget');
      await rollBack(handle);
      await until(handle, gateOpen('cutover'));
      const back = await handle.query(statusQuery);
      expect(back.handOvers).toMatchObject([
        { from: 'source', to: 'target', outcome: 'switched' },
        { from: 'target', to: 'source', outcome: 'switched' },
      ]);
      expect(back.pointOfNoReturnAt).toBeUndefined();
      world.release('watchTarget');
      await approve(handle);
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      expect(world.calls.filter((call) => call === 'openGroup')).toHaveLength(1);
      expect(world.inputs.get('freezeAndDrain')).toMatchObject({ leg: 2 });
    }));

  it('ends rolled back, with the streams gone and the target shut, when the way forward is rejected after going back', () =>
    server.withWorker(async ({ world, start }) => {
      world.hold('watchTarget');
      const handle = await start({ ...asked, monitor: '1h' });
      await until(handle, gateOpen('cutover'));
      await approve(handle);
      await until(handle, phaseIs('monitor'));
      await rollBack(handle);
      await until(handle, gateOpen('cutover'));
      await handle.signal(rejectSignal, { gate: 'cutover', by: 'test' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(inOrder(world.calls, ['removeStreams', 'removeLedger', 'clearTarget'])).toEqual([
        'removeStreams',
        'removeLedger',
      ]);
      expect(world.inputs.get('findLeftovers')).toMatchObject({ kept: { sourceFence: false, targetFence: true } });
    }));

  it('opens the source again by itself when the deadline passes, goes on streaming, and gets there at the second try', () =>
    server.withWorker(async ({ world, start }) => {
      world.hold('turnStreams');
      const handle = await start({ ...cdc, maxDowntime: '2s' });
      await until(handle, ({ handOvers }) => handOvers?.[0]?.outcome === 'given-up', 30_000);
      world.release('turnStreams');
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      const calls = inOrder(world.calls, [
        'freezeAndDrain',
        'turnBack',
        'lowerFence',
        'setNormalMode',
        'removeStreams',
      ]);
      expect(calls.slice(0, 5)).toEqual([
        'freezeAndDrain',
        'turnBack',
        'lowerFence',
        'setNormalMode',
        'freezeAndDrain',
      ]);
      expect((await handle.query(statusQuery)).handOvers).toMatchObject([
        { outcome: 'given-up' },
        { outcome: 'switched' },
      ]);
    }));

  it('goes back by itself when the application cannot be switched in time after the target was opened', () =>
    server.withWorker(async ({ world, start }) => {
      world.hold('switchDatastore');
      const handle = await start({ ...cdc, maxDowntime: '2s' });
      await until(handle, ({ handOvers }) => handOvers?.[1] !== undefined, 30_000);
      world.release('switchDatastore');
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(world.inputs.get('switchDatastore')).toMatchObject({ to: 'source' });
      expect(world.inputs.get('lowerFence')).toMatchObject({ side: 'source' });
    }));

  it('undoes everything, streams before the fence and the fence before the schema, when it is rolled back before a switch', () =>
    server.withWorker(async ({ world, start }) => {
      const handle = await start(asked);
      await until(handle, gateOpen('cutover'));
      await rollBack(handle);
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(inOrder(world.calls, ['stopCopy', 'removeStreams', 'lowerFence', 'clearTarget', 'removeLedger'])).toEqual([
        'stopCopy',
        'removeStreams',
        'lowerFence',
        'clearTarget',
        'removeLedger',
      ]);
    }));

  it('does not begin an outage while something is wrong, and says what', () =>
    server.withWorker(async ({ world, start }) => {
      const good = await world.activities.observeStreams({} as never);
      const problem = '+ column public.orders.note text';
      const handle = await start(asked);
      await until(handle, gateOpen('cutover'));
      world.answerWith('observeStreams', { ...good, problems: [problem] });
      await approve(handle);
      const blocked = await until(handle, phaseIs('blocked'));
      expect(blocked.blocked).toMatchObject({ step: 'ready', failure: expect.stringContaining(problem) as string });
      expect(world.calls).not.toContain('setMaintenanceMode');
      world.answerWith('observeStreams', good);
      await handle.signal('retry', { by: 'test' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
    }));

  it('copies one table again by itself when its comparison fails and a person asks for it', () =>
    server.withWorker(async ({ world, start }) => {
      world.failNext('compareMoving', 1, 'VerificationMismatch');
      const handle = await start(cdc);
      await until(handle, ({ blocked }) => blocked?.step === 'validate-moving');
      await handle.signal(recopySignal, { table: 'public.orders', by: 'test' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      expect(inOrder(world.calls, ['recopyTables', 'openGroup', 'subscribe'])).toEqual([
        'openGroup',
        'subscribe',
        'recopyTables',
        'openGroup',
        'subscribe',
      ]);
    }));

  it('ends without harm when the slot guardian had to drop the slots', () =>
    server.withWorker(async ({ world, start }) => {
      const handle = await start(asked);
      await until(handle, gateOpen('cutover'));
      await handle.signal('slot-guardian', { level: 'drop', detail: 'the disk was nearly full' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(world.calls).toContain('removeStreams');
      expect(world.calls).not.toContain('setMaintenanceMode');
    }));

  it('rolls back by itself on a breach, since that loses nothing', () =>
    server.withWorker(async ({ world, start }) => {
      world.answerWith('watchTarget', {
        samples: 10,
        errors: 9,
        errorRatePercent: 90,
        breaches: ['90 % errors'],
        endedBy: 'breach',
      });
      const handle = await start(cdc);
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect((await handle.query(statusQuery)).handOvers).toMatchObject([
        { to: 'target' },
        { to: 'source', why: expect.stringContaining('90 % errors') as string },
      ]);
    }));

  it('without reverse replication asks for the words before it loses anything', () =>
    server.withWorker(async ({ world, start }) => {
      world.hold('watchTarget');
      const handle = await start({ ...cdc, reverseReplication: false, monitor: '1h' });
      await until(handle, phaseIs('monitor'));
      await rollBack(handle);
      const { loss } = await until(handle, (status) => status.loss !== undefined);
      await handle.signal(rollbackSignal, { by: 'test', reason: 'all the same', words: loss!.words });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(world.calls).not.toContain('turnStreams');
    }));
});
