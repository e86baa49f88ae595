// A migration by CDC as its workflow sees it: what happens in which order, and what is undone when. Real Temporal, fake activities.
import {
  approveSignal,
  journalQuery,
  pauseSignal,
  recopySignal,
  rejectSignal,
  resumeSignal,
  retrySignal,
  rollbackSignal,
  statusQuery,
} from '../../workflows/messages';
import { guardianId } from '../../workflows/slot-guardian-messages';
import type { FakeWorld } from '../fixtures/fake-activities';
import type { PostgresPlanInput } from '../../plan/postgres';
import {
  gateOpen,
  phaseIs,
  startWorkflowServer,
  until,
  type MigrationHandle,
  type Rig,
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
      world.hold('watchTarget');
      const handle = await start({ ...asked, monitor: '1h' });
      await until(handle, gateOpen('cutover'));
      await approve(handle);
      await until(handle, phaseIs('monitor'));
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
      const handle = await start({ ...cdc, maxDowntime: '10s' });
      await until(handle, ({ handOvers }) => handOvers?.[0]?.outcome === 'given-up', 60_000);
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

  it('gives an attempt up at once when the freeze finds what time does not heal, and gets there at the second try', () =>
    server.withWorker(async ({ world, start }) => {
      world.failNext('freezeAndDrain', 1, 'VerificationMismatch');
      const handle = await start(cdc);
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      const calls = inOrder(world.calls, [
        'setMaintenanceMode',
        'freezeAndDrain',
        'lowerFence',
        'setNormalMode',
        'turnBack',
      ]);
      expect(calls.slice(0, 4)).toEqual(['setMaintenanceMode', 'freezeAndDrain', 'lowerFence', 'setNormalMode']);
      expect((await handle.query(statusQuery)).handOvers).toMatchObject([
        { outcome: 'given-up' },
        { outcome: 'switched' },
      ]);
    }));

  it('goes back by itself when the application cannot be switched in time after the target was opened', () =>
    server.withWorker(async ({ world, start }) => {
      world.hold('switchDatastore');
      const handle = await start({ ...cdc, maxDowntime: '10s' });
      await until(handle, ({ handOvers }) => handOvers?.[1] !== undefined, 60_000);
      world.release('switchDatastore');
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(world.inputs.get('switchDatastore')).toMatchObject({ to: 'source' });
      expect(world.inputs.get('lowerFence')).toMatchObject({ side: 'source' });
    }));

  it('undoes everything, streams first, then the copy behind the fence, then the fence, when it is rolled back before a switch', () =>
    server.withWorker(async ({ world, start }) => {
      const handle = await start(asked);
      await until(handle, gateOpen('cutover'));
      await rollBack(handle);
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(inOrder(world.calls, ['stopCopy', 'removeStreams', 'lowerFence', 'clearTarget', 'removeLedger'])).toEqual([
        'stopCopy',
        'removeStreams',
        'clearTarget',
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

  it.each([
    ['nothing follows the target', { reverseReplication: false }, []],
    ['the stream back is in trouble', {}, ['the slot of the way back is lost']],
  ])('asks people after a breach, and goes nowhere by itself, where %s', (_why, plan, problems) =>
    server.withWorker(async ({ world, start }) => {
      world.answerWith('watchTarget', {
        samples: 10,
        errors: 9,
        errorRatePercent: 90,
        breaches: ['90 % errors'],
        endedBy: 'breach',
      });
      world.hold('watchTarget');
      const good = await world.activities.observeStreams({} as never);
      const handle = await start({ ...cdc, ...plan, gates: { start: 'auto', cutover: 'auto' }, monitor: '1h' });
      await until(handle, phaseIs('monitor'));
      if (problems.length > 0) {
        world.answerWith('observeStreams', { ...good, problems });
        await until(handle, ({ replication }) => replication?.problems.length === 1, 60_000);
      }
      world.release('watchTarget');
      const { gates, phase } = await until(handle, gateOpen('continue-after-breach'), 60_000);
      expect(gates.at(-1)?.evidence[0]).toBe('90 % errors');
      expect(phase).toBe('monitor');
      expect(world.calls.filter((name) => name === 'setNormalMode')).toHaveLength(1);
    }),
  );

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

  describe('at the worst moment', () => {
    const inWindow = { ...asked, monitor: '1h' } satisfies Partial<PostgresPlanInput>;
    /** Over to the target and in the reverse window, where the watch does not end. */
    const untilWindow = async ({ world, start }: Rig, plan: Partial<PostgresPlanInput> = inWindow) => {
      world.hold('watchTarget');
      const handle = await start(plan);
      await until(handle, gateOpen('cutover'));
      await approve(handle);
      await until(handle, phaseIs('monitor'));
      return handle;
    };
    const heldAt = (world: FakeWorld, name: string, times = 1) =>
      untilSeen(() => world.calls.filter((call) => call === name).length >= times);

    it('ends rolled back when rollback comes while the old streams are dropped after going back', () =>
      server.withWorker(async (rig) => {
        const handle = await untilWindow(rig);
        rig.world.hold('dropLeg');
        await rollBack(handle);
        await heldAt(rig.world, 'dropLeg', 2);
        await rollBack(handle);
        expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
        const { handOvers } = await handle.query(statusQuery);
        expect(handOvers?.at(-1)).toMatchObject({ to: 'source', outcome: 'switched' });
      }));

    it('loses nothing when rollback comes between the acceptance and the end of the streams', () =>
      server.withWorker(async ({ world, start }) => {
        const handle = await start({ ...asked, gates: { start: 'auto', 'retire-source': 'auto' } });
        await until(handle, gateOpen('cutover'));
        await approve(handle);
        await until(handle, gateOpen('accept'));
        world.hold('markWrites');
        await handle.signal(approveSignal, { gate: 'accept', by: 'test' });
        await heldAt(world, 'markWrites', 2);
        await rollBack(handle);
        await until(handle, gateOpen('cutover'));
        expect((await handle.query(statusQuery)).handOvers).toMatchObject([
          { to: 'target', outcome: 'switched' },
          { to: 'source', outcome: 'switched' },
        ]);
      }));

    it('opens the target and switches the application when it is cancelled after the point of no return', () =>
      server.withWorker(async ({ world, start }) => {
        world.hold('switchDatastore');
        const handle = await start(cdc);
        await heldAt(world, 'switchDatastore');
        await handle.cancel();
        await untilSeen(() => world.calls.includes('switchDatastore~'));
        world.release('switchDatastore');
        await expect(handle.result()).rejects.toThrow();
        const { handOvers, downtime, outcome } = await handle.query(statusQuery);
        expect(world.calls).toContain('setNormalMode');
        expect(handOvers).toMatchObject([{ to: 'target', outcome: 'switched' }]);
        expect(downtime?.endedAt).toBeDefined();
        expect(outcome).toBe('completed');
      }));

    it('lets no pause keep both sides shut after the point of no return', () =>
      server.withWorker(async ({ world, start }) => {
        world.hold('lowerFence');
        const handle = await start({ ...cdc, reverseReplication: false });
        await heldAt(world, 'lowerFence');
        await handle.signal(pauseSignal, { by: 'test' });
        world.release('lowerFence');
        await until(handle, ({ downtime }) => downtime?.endedAt !== undefined);
        await handle.signal(resumeSignal, { by: 'test' });
        expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      }));

    it('begins no outage to go back by streams that are broken, and then asks for the words', () =>
      server.withWorker(async (rig) => {
        const { world } = rig;
        const handle = await untilWindow(rig);
        const good = await world.activities.observeStreams({} as never);
        world.answerWith('observeStreams', { ...good, problems: ['the slot is lost'] });
        await rollBack(handle);
        await until(handle, ({ blocked }) => blocked?.step === 'ready');
        expect(world.calls.filter((call) => call === 'setMaintenanceMode')).toHaveLength(1);
        await rollBack(handle);
        const { loss } = await until(handle, ({ loss: measured }) => measured !== undefined);
        await handle.signal(rollbackSignal, { by: 'test', reason: 'all the same', words: loss!.words });
        expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
        // The streams are gone before the source takes writes again.
        expect(inOrder(world.calls, ['removeStreams', 'measureLoss', 'lowerFence']).slice(-3)).toEqual([
          'removeStreams',
          'measureLoss',
          'lowerFence',
        ]);
      }));

    it(
      'does without a target that is gone, after words of their own, and cleans the source before it is opened',
      () =>
        server.withWorker(async (rig) => {
          const { world } = rig;
          const handle = await untilWindow(rig);
          for (const name of ['prepareFreeze', 'measureLoss', 'removeStreams', 'inspectAccess'] as const)
            world.failNext(name, 1_000, 'TargetUnavailable');
          await rollBack(handle);
          await until(handle, ({ blocked }) => blocked?.step === 'ready');
          await rollBack(handle);
          const { loss } = await until(handle, ({ loss: measured }) => measured !== undefined);
          expect(loss).toMatchObject({ words: 'lose what only the target has' });
          await handle.signal(rollbackSignal, { by: 'test', reason: 'it is gone', words: loss!.words });
          expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
          const { steps } = await handle.query(statusQuery);
          expect(steps.filter(({ state }) => state === 'skipped').map(({ id }) => id)).toEqual([
            'remove-streams',
            'back-inspect-access',
          ]);
        }),
      240_000,
    );

    it('ends as cancelled when that came while it went back', () =>
      server.withWorker(async (rig) => {
        rig.world.hold('watchTarget');
        const handle = await rig.start({ ...cdc, monitor: '1h' });
        await until(handle, phaseIs('monitor'));
        rig.world.hold('switchDatastore');
        await rollBack(handle);
        await heldAt(rig.world, 'switchDatastore', 2);
        await handle.cancel();
        rig.world.release('switchDatastore');
        await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
        const { outcome, handOvers, steps } = await handle.query(statusQuery);
        expect(outcome).toBe('rolled-back');
        expect(handOvers?.at(-1)).toMatchObject({ to: 'source', outcome: 'switched' });
        expect(steps.filter(({ goingBack }) => goingBack).map(({ id }) => id)).toContain('normal-mode');
      }));

    it('refuses a second rollback while it is going back without a loss', () =>
      server.withWorker(async (rig) => {
        const handle = await untilWindow(rig);
        rig.world.hold('switchDatastore');
        await rollBack(handle);
        await heldAt(rig.world, 'switchDatastore', 2);
        await rollBack(handle);
        const { refused, loss } = await until(handle, (status) => status.refused.length > 0);
        expect(refused[0]).toMatchObject({ why: 'the migration is going back already' });
        expect(loss).toBeUndefined();
        rig.world.release('switchDatastore');
        await until(handle, gateOpen('cutover'));
      }));

    it('looks at a breach anew after it has gone back and forward again', () =>
      server.withWorker(async (rig) => {
        const { world } = rig;
        const good = await world.activities.observeStreams({} as never);
        const breach = {
          samples: 9,
          errors: 9,
          errorRatePercent: 100,
          breaches: ['probe x'],
          endedBy: 'breach',
        } as const;
        world.answerWith('watchTarget', { ...breach, breaches: [...breach.breaches] });
        const handle = await rig.start(inWindow);
        await until(handle, gateOpen('cutover'));
        await approve(handle);
        await until(handle, ({ handOvers, gate }) => handOvers?.length === 2 && gate === 'cutover');
        world.answerWith('observeStreams', { ...good, problems: [] });
        world.hold('watchTarget');
        await approve(handle);
        await heldAt(world, 'watchTarget', 2);
        expect(world.inputs.get('watchTarget')).not.toHaveProperty('accepted', ['probe x']);
        expect((await handle.query(journalQuery)).monitoring).toBeUndefined();
      }));

    it('finishes copying a table again that was taken out of its stream, whatever fails meanwhile', () =>
      server.withWorker(async ({ world, start }) => {
        world.failNext('compareMoving', 1, 'VerificationMismatch');
        const handle = await start(cdc);
        await until(handle, ({ blocked }) => blocked?.step === 'validate-moving');
        world.failNext('subscribe', 1);
        await handle.signal(recopySignal, { table: 'public.orders', by: 'test' });
        await until(handle, ({ blocked }) => blocked?.failure.includes('subscribe') === true);
        await handle.signal(retrySignal, { by: 'test' });
        expect(await handle.result()).toMatchObject({ outcome: 'completed' });
        expect(inOrder(world.calls, ['recopyTables', 'subscribe', 'subscribe!', 'compareMoving'])).toEqual([
          'subscribe',
          'compareMoving',
          'recopyTables',
          'subscribe',
          'subscribe!',
          'subscribe',
          'compareMoving',
        ]);
      }));

    it('says in words that nothing follows any more, once the target was accepted', () =>
      server.withWorker(async ({ start }) => {
        const handle = await start({ ...cdc, retainSource: '1h' });
        const { replication } = await until(handle, phaseIs('retention'));
        if (replication) expect(replication.endedAt).toBeDefined();
        const guardian = server.client.workflow.getHandle(guardianId(handle.workflowId));
        expect((await guardian.describe()).status.name).not.toBe('CANCELLED');
      }));

    it('leaves the slot guardian at work while a cancelled migration still has slots', () =>
      server.withWorker(async ({ world, start }) => {
        const handle = await start(asked);
        await until(handle, gateOpen('cutover'));
        world.hold('removeStreams');
        await handle.cancel();
        await heldAt(world, 'removeStreams');
        const guardian = server.client.workflow.getHandle(guardianId(handle.workflowId));
        expect((await guardian.describe()).status.name).toBe('RUNNING');
        expect(world.calls).not.toContain('guardSlots~');
        world.release('removeStreams');
        await expect(handle.result()).rejects.toThrow();
      }));
  });
});

async function untilSeen(seen: () => boolean): Promise<void> {
  const end = Date.now() + 60_000;
  while (!seen()) {
    if (Date.now() > end) throw new Error('it was never seen');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
