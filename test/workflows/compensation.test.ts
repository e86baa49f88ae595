import type { MigrationActivities } from '../../activities';
import {
  approveSignal,
  journalQuery,
  pauseSignal,
  reportQuery,
  resumeSignal,
  retrySignal,
  rollbackSignal,
  skipSignal,
  tuneSignal,
} from '../../workflows/messages';
import { gateOpen, phaseIs, startWorkflowServer, until, type WorkflowServer } from '../fixtures/workflow-rig';

let server: WorkflowServer;
beforeAll(async () => {
  server = await startWorkflowServer();
}, 300_000);
afterAll(() => server.stop());

/** In the order of the forward path; each with the undos that a rollback after its failure must run, in order. */
const undoAll = [
  'stopCopy',
  'lowerFence',
  'setNormalMode',
  'clearTarget',
  'inspectUnchangedTarget',
  'removeRoles',
  'removeLedger',
];
const failures: [step: keyof MigrationActivities, undos: string[]][] = [
  ['preflight', []],
  ['measureBaseline', []],
  ['takeSnapshot', []],
  ['verifySnapshot', []],
  ['prepareLedger', ['removeLedger']],
  ['inspectTarget', ['removeLedger']],
  ['carryRoles', ['removeRoles', 'removeLedger']],
  ['dumpSchema', ['removeRoles', 'removeLedger']],
  ['restorePreData', ['clearTarget', 'inspectUnchangedTarget', 'removeRoles', 'removeLedger']],
  ['setMaintenanceMode', ['setNormalMode', 'clearTarget', 'inspectUnchangedTarget', 'removeRoles', 'removeLedger']],
  ['raiseFence', undoAll.slice(1)],
  ['proveSilence', undoAll.slice(1)],
  ['compareSchemaWithDump', undoAll.slice(1)],
  ['copyLane', undoAll],
  ['copyLargeObjects', undoAll],
  ['buildPostData', undoAll],
  ['carrySequences', undoAll],
  ['compareTables', undoAll],
  ['compareFidelity', undoAll],
  ['checkTargetHealth', undoAll],
  ['switchDatastore', ['switchDatastore', ...undoAll]],
];

describe('a step that fails for good', () => {
  it.each(failures)('%s: blocks, and a rollback undoes what was begun, newest first', (step, undos) =>
    server.withWorker(async ({ start, world }) => {
      world.failNext(step);
      const handle = await start({ gates: 'auto' });
      const status = await until(handle, phaseIs('blocked'));
      expect(status.blocked?.failure).toContain(`${step} was made to fail`);
      const before = world.calls.length;
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'that is enough' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      const after = world.calls.slice(before).filter((name) => name !== 'findLeftovers' && name !== 'writeReport');
      expect(after).toEqual(undos);
    }),
  );

  it('goes on after a retry, and counts it', () =>
    server.withWorker(async ({ start, world }) => {
      world.failNext('buildPostData', 2);
      const handle = await start({ gates: 'auto' });
      await until(handle, phaseIs('blocked'));
      await handle.signal(retrySignal, { by: 'anna' });
      await until(handle, ({ blocked, steps }) => blocked !== undefined && steps.at(-1)?.retries === 1);
      await handle.signal(retrySignal, { by: 'anna' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      const status = await until(handle, () => true);
      expect(status.steps.find(({ id }) => id === 'post-data')).toMatchObject({ state: 'done', retries: 2 });
    }));

  it('is left out only where it may be, and only by its name', () =>
    server.withWorker(async ({ start, world }) => {
      world.failNext('analyzeTarget');
      const handle = await start({ gates: 'auto' });
      await until(handle, phaseIs('blocked'));
      await handle.signal(skipSignal, { step: 'copy-data', by: 'anna', reason: 'wrong name' });
      const refused = await until(handle, (status) => status.refused.length > 0);
      expect(refused.refused[0]?.why).toContain('the blocked step is "analyze"');
      await handle.signal(skipSignal, { step: 'analyze', by: 'anna', reason: 'autovacuum will do it' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      const status = await until(handle, () => true);
      expect(status.steps.find(({ id }) => id === 'analyze')).toMatchObject({ state: 'skipped' });
    }));

  it('stops when the target loses rows in one crash after the other, and does not compare for ever', () =>
    server.withWorker(async ({ start, world }) => {
      // Each time there was something to copy again, and each time it is gone.
      world.answerWith('copyLane', { rows: '5', bytes: 5, chunks: 1 });
      world.answerWith('compareTables', {
        records: [{ name: 'row digests', outcome: 'fail', durationMs: 5 }],
        tables: [{ table: 'public.carts', rows: '5', bytes: 5, equal: false }],
        tablesNotListed: 0,
        unequal: 1,
        artifact: { name: 'tables.json', url: 'file:///tables.json', sha256: 'a'.repeat(64), bytes: 1 },
      });
      const handle = await start({ gates: 'auto' });
      const { blocked } = await until(handle, phaseIs('blocked'), 60_000);
      expect(blocked?.step).toBe('compare-rows');
      expect(world.calls.filter((name) => name === 'compareTables')).toHaveLength(4);
      const { notes } = await handle.query(journalQuery);
      expect(notes.map(({ text }) => text).join('\n')).toContain('copied again 3 times');
    }));

  it('cannot be skipped when the proof depends on it', () =>
    server.withWorker(async ({ start, world }) => {
      world.failNext('compareTables', 1, 'VerificationMismatch');
      const handle = await start({ gates: 'auto' });
      await until(handle, phaseIs('blocked'));
      await handle.signal(skipSignal, { step: 'compare-rows', by: 'anna', reason: 'hurry' });
      const status = await until(handle, ({ refused }) => refused.length > 0);
      expect(status.refused[0]?.why).toContain('cannot be skipped');
      expect(status.phase).toBe('blocked');
    }));
});

describe('the undo', () => {
  it('waits until the copy has really stopped', () =>
    server.withWorker(async ({ start, world }) => {
      world.hold('copyLane', 700);
      const handle = await start({ gates: 'auto', copy: { lanes: 2 } });
      await until(handle, () => world.calls.filter((name) => name === 'copyLane').length === 2);
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'changed my mind' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      const stopped = world.calls.lastIndexOf('copyLane~');
      expect(world.calls.filter((name) => name === 'copyLane~')).toHaveLength(2);
      expect(stopped).toBeLessThan(world.calls.indexOf('stopCopy'));
      expect(world.calls.indexOf('stopCopy')).toBeLessThan(world.calls.indexOf('lowerFence'));
    }));

  it('that fails keeps waiting only what needs it, and is tried again until it works', () =>
    server.withWorker(async ({ start, world }) => {
      world.failNext('clearTarget');
      const handle = await start();
      await until(handle, gateOpen('start'));
      await handle.signal(approveSignal, { gate: 'start', by: 'anna' });
      await until(handle, gateOpen('cutover'));
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'no' });
      await until(handle, ({ blocked }) => blocked?.step === 'undo-pre-data');
      expect(world.calls).not.toContain('removeLedger');
      await handle.signal(retrySignal, { by: 'anna' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(world.calls.filter((name) => name === 'clearTarget')).toHaveLength(2);
    }));

  it('that a person gives up fails the migration, and says what is left', () =>
    server.withWorker(async ({ start, world }) => {
      world.failNext('clearTarget', 100);
      const handle = await start();
      await until(handle, gateOpen('start'));
      await handle.signal(approveSignal, { gate: 'start', by: 'anna' });
      await until(handle, gateOpen('cutover'));
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'no' });
      await until(handle, ({ blocked }) => blocked?.step === 'undo-pre-data');
      await handle.signal(skipSignal, {
        step: 'undo-pre-data',
        by: 'anna',
        reason: 'the target is thrown away anyway',
      });
      await expect(handle.result()).rejects.toMatchObject({
        cause: { type: 'NotUndone', message: expect.stringContaining('Put the target back') as string },
      });
    }));
});

describe('cancellation', () => {
  it.each([
    'preflight',
    'takeSnapshot',
    'restorePreData',
    'raiseFence',
    'copyLane',
    'buildPostData',
    'compareTables',
    'checkTargetHealth',
  ] as const)('during %s rolls back, then the workflow is Canceled', (step) =>
    server.withWorker(async ({ start, world }) => {
      world.hold(step);
      const handle = await start({ gates: 'auto' });
      await until(handle, () => world.calls.includes(step));
      await handle.cancel();
      await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
      expect((await handle.describe()).status.name).toBe('CANCELLED');
      expect(world.calls).toContain('writeReport');
      if (world.calls.includes('raiseFence')) expect(world.calls).toContain('lowerFence');
      if (world.calls.includes('restorePreData')) expect(world.calls).toContain('clearTarget');
    }),
  );

  it('at an open gate rolls back', () =>
    server.withWorker(async ({ start, world }) => {
      const handle = await start({ gates: { start: 'auto' } });
      await until(handle, gateOpen('cutover'));
      await handle.cancel();
      await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
      expect(world.calls).toContain('clearTarget');
    }));

  it('after the point of no return keeps the target, since going back would lose its writes', () =>
    server.withWorker(async ({ start, world }) => {
      world.hold('watchTarget');
      const handle = await start({ gates: 'auto' });
      await until(handle, phaseIs('monitor'));
      await handle.cancel();
      await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
      expect(world.calls).not.toContain('clearTarget');
      expect(world.calls).not.toContain('lowerFence');
      expect(world.calls).toContain('removeLedger');
    }));
});

describe('after the point of no return', () => {
  it('a rollback says what would be lost, asks for the words, and goes back when they are said', () =>
    server.withWorker(async ({ start, world }) => {
      world.hold('watchTarget');
      const handle = await start({ gates: 'auto' });
      await until(handle, phaseIs('monitor'));
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'checkout fails' });
      const asked = await until(handle, ({ refused }) => refused.length > 0);
      expect(asked.refused[0]?.why).toContain('"words": "lose 42 writes"');
      expect(asked.loss).toMatchObject({ writes: '42', words: 'lose 42 writes' });
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'checkout fails', words: 'lose some writes' });
      await until(handle, ({ refused }) => refused.length > 1);
      expect(world.calls).not.toContain('lowerFence');
      const before = world.calls.length;
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'checkout fails', words: 'lose 42 writes' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      const back = world.calls
        .slice(before)
        .filter((name) => !['measureLoss', 'watchTarget~', 'findLeftovers', 'writeReport'].includes(name));
      expect(back).toEqual([
        'setMaintenanceMode',
        'inspectAccess',
        'raiseFence',
        'lowerFence',
        'switchDatastore',
        'setNormalMode',
        'removeLedger',
      ]);
      expect(world.calls).not.toContain('clearTarget');
    }));

  it(
    'a target that cannot be reached is neither counted nor fenced: other words, and the source takes writes all the same',
    () =>
      server.withWorker(async ({ start, world }) => {
        world.hold('watchTarget');
        const handle = await start({ gates: 'auto' });
        await until(handle, phaseIs('monitor'));
        for (const name of ['measureLoss', 'inspectAccess', 'removeLedger', 'findLeftovers'] as const)
          world.failNext(name, 1_000, 'TargetUnavailable');
        await handle.signal(rollbackSignal, { by: 'anna', reason: 'the target is gone' });
        const asked = await until(handle, ({ refused }) => refused.length > 0);
        expect(asked.refused[0]?.why).toMatch(
          /the target cannot be reached[^]*"words": "lose what only the target has"/,
        );
        expect(asked.loss?.writes).toBeUndefined();
        const words = asked.loss?.words ?? '';
        await handle.signal(rollbackSignal, { by: 'anna', reason: 'the target is gone', words });
        expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
        expect(world.calls).not.toContain('lowerFence!');
        expect(world.calls.slice(-1)).toEqual(['writeReport']);
        const report = await handle.query(reportQuery);
        expect(report).toMatch(/Source restored as primary[^|]*\|[^|]*the target could not be fenced/);
        expect(report).toMatch(/could not be looked at/);
        expect(
          world.calls.filter((name) => ['lowerFence', 'switchDatastore', 'setNormalMode'].includes(name)).slice(-3),
        ).toEqual(['lowerFence', 'switchDatastore', 'setNormalMode']);
      }),
    300_000,
  );

  it('a breach opens a gate with its figures and the migration goes on only when a person says so', () =>
    server.withWorker(async ({ start, world }) => {
      world.answerWith('watchTarget', {
        samples: 20,
        errors: 3,
        errorRatePercent: 15,
        breaches: ['15 % errors, more than 1 %'],
        endedBy: 'breach',
      });
      const handle = await start({
        gates: { start: 'auto', cutover: 'auto', accept: 'auto', 'retire-source': 'auto' },
      });
      const status = await until(handle, gateOpen('continue-after-breach'));
      expect(status.gates.at(-1)?.evidence[0]).toBe('15 % errors, more than 1 %');
      await handle.signal(approveSignal, { gate: 'continue-after-breach', by: 'anna', reason: 'a probe was wrong' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
    }));
});

describe('the deadline', () => {
  it('reopens the source by itself and opens the cutover gate for another try', () =>
    server.withWorker(async ({ start, world }) => {
      const held = world.hold('buildPostData');
      const handle = await start({
        maxDowntime: '15s',
        gates: { start: 'auto', accept: 'auto', 'retire-source': 'auto' },
      });
      await until(handle, gateOpen('cutover'));
      await handle.signal(approveSignal, { gate: 'cutover', by: 'anna' });
      const again = await until(handle, (status) => status.gate === 'cutover' && status.gates.length > 2);
      expect(again.gates.at(-1)?.evidence[0]).toContain('attempt 2');
      const undos = world.calls.filter((name) =>
        ['buildPostData~', 'stopCopy', 'lowerFence', 'setNormalMode', 'clearTarget'].includes(name),
      );
      expect(undos).toEqual(['buildPostData~', 'stopCopy', 'lowerFence', 'setNormalMode', 'clearTarget']);
      held.release();
      await handle.signal(approveSignal, { gate: 'cutover', by: 'anna' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
    }));
});

describe('a pause', () => {
  it('stops a copy at once, and resuming goes on with it', () =>
    server.withWorker(async ({ start, world }) => {
      const held = world.hold('copyLane');
      const handle = await start({ gates: 'auto', copy: { lanes: 1 } });
      await until(handle, () => world.calls.includes('copyLane'));
      await handle.signal(pauseSignal, { by: 'anna' });
      await until(handle, ({ paused }) => paused !== undefined && world.calls.includes('copyLane~'));
      held.release();
      await handle.signal(resumeSignal, { by: 'anna' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      const copying = world.calls.slice(0, world.calls.indexOf('summarizeCopy'));
      expect(copying.filter((name) => name === 'copyLane')).toHaveLength(2);
    }));
});

describe('lanes', () => {
  it('added by tune are waited for like the others', () =>
    server.withWorker(async ({ start, world }) => {
      const held = world.hold('copyLane');
      const handle = await start({ gates: 'auto', copy: { lanes: 1 } });
      await until(handle, () => world.calls.includes('copyLane'));
      await handle.signal(tuneSignal, { copyLanes: 3 });
      await until(handle, () => world.calls.filter((name) => name === 'copyLane').length === 3);
      held.release();
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      expect(world.inputs.get('tuneCopy')).toMatchObject({ lanes: 3 });
    }));

  it('added by tune that fail for good block with their own failure, and a retry goes on', () =>
    server.withWorker(async ({ start, world }) => {
      const held = world.hold('copyLane');
      const handle = await start({ gates: 'auto', copy: { lanes: 1 } });
      await until(handle, () => world.calls.includes('copyLane'));
      world.failNext('copyLane');
      await handle.signal(tuneSignal, { copyLanes: 2 });
      const status = await until(handle, phaseIs('blocked'));
      expect(status.blocked?.failure).toContain('copyLane was made to fail');
      held.release();
      await handle.signal(retrySignal, { by: 'anna' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
    }));

  it('tuned before the copy begin as tuned', () =>
    server.withWorker(async ({ start, world }) => {
      const handle = await start({
        gates: { start: 'auto', accept: 'auto', 'retire-source': 'auto' },
        copy: { lanes: 1 },
      });
      await until(handle, gateOpen('cutover'));
      await handle.signal(tuneSignal, { copyLanes: 4 });
      await handle.signal(approveSignal, { gate: 'cutover', by: 'anna' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      expect(world.inputs.get('tuneCopy')).toMatchObject({ lanes: 4 });
    }));
});

describe('a cancellation around the point of no return', () => {
  it('during the switch undoes it', () =>
    server.withWorker(async ({ start, world }) => {
      world.hold('switchDatastore');
      const handle = await start({ gates: 'auto' });
      await until(handle, () => world.calls.includes('switchDatastore'));
      await handle.cancel();
      await until(handle, () => world.calls.includes('switchDatastore~'));
      // The switch back would be held like the switch.
      world.release('switchDatastore');
      await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
      expect(world.calls).toContain('clearTarget');
      expect(world.inputs.get('switchDatastore')).toMatchObject({ to: 'source' });
    }));

  it('after it lets the application write again before anything else', () =>
    server.withWorker(async ({ start, world }) => {
      world.hold('setNormalMode');
      const handle = await start({ gates: 'auto' });
      await until(handle, () => world.calls.includes('setNormalMode'));
      await handle.cancel();
      await until(handle, () => world.calls.includes('setNormalMode~'));
      world.release('setNormalMode');
      await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
      expect(world.calls.lastIndexOf('setNormalMode')).toBeGreaterThan(world.calls.indexOf('setNormalMode~'));
      expect(world.calls).not.toContain('lowerFence');
      expect((await until(handle, () => true)).downtime?.durationMs).toBeGreaterThan(0);
    }));
});

describe('an undo that others depend on', () => {
  it('keeps the target and the application as they are until the switch back has worked', () =>
    server.withWorker(async ({ start, world }) => {
      world.failNext('switchDatastore', 7);
      const handle = await start({ gates: 'auto' });
      await until(handle, phaseIs('blocked'));
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'no' });
      await until(handle, ({ blocked }) => blocked?.step === 'undo-switch-datastore');
      expect(world.calls).toContain('lowerFence');
      expect(world.calls).not.toContain('setNormalMode');
      expect(world.calls).not.toContain('clearTarget');
      world.failNext('switchDatastore', 0);
      await handle.signal(retrySignal, { by: 'anna' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(world.calls.slice(-9)).toEqual(
        expect.arrayContaining(['setNormalMode', 'clearTarget', 'removeRoles', 'removeLedger']),
      );
    }));
});

describe('an ending', () => {
  it('that blocks refuses a rollback, and goes on after a skip', () =>
    server.withWorker(async ({ start, world }) => {
      world.failNext('findLeftovers', 100);
      const handle = await start();
      await until(handle, gateOpen('start'));
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'no' });
      await until(handle, ({ blocked }) => blocked?.step === 'leftovers');
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'again' });
      const status = await until(handle, ({ refused }) => refused.length > 0);
      expect(status.refused[0]?.why).toContain('going back or ending already');
      await handle.signal(skipSignal, { step: 'leftovers', by: 'anna', reason: 'the source is gone' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
    }));

  it('going back by hand waits until the people have really done it', () =>
    server.withWorker(async ({ start, world }) => {
      world.hold('watchTarget');
      const handle = await start({ application: undefined, gates: { start: 'auto', cutover: 'auto' } });
      for (const gate of ['stop-writes', 'switch-application']) {
        await until(handle, gateOpen(gate));
        await handle.signal(approveSignal, { gate, by: 'anna' });
      }
      await until(handle, phaseIs('monitor'));
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'checkout fails' });
      await until(handle, ({ loss }) => loss !== undefined);
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'checkout fails', words: 'lose 42 writes' });
      await until(handle, gateOpen('stop-writes'));
      const lowered = (): boolean => world.calls.includes('lowerFence');
      expect(lowered()).toBe(false);
      await handle.signal(approveSignal, { gate: 'stop-writes', by: 'anna' });
      await until(handle, gateOpen('switch-application'));
      expect(lowered()).toBe(true);
      await handle.signal(approveSignal, { gate: 'switch-application', by: 'anna' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
    }));
});

describe('a plan that is refused', () => {
  it('fails the workflow at once, with every field that is wrong, and starts nothing', () =>
    server.withWorker(async ({ start, world }) => {
      const handle = await start({ source: 'postgresql://me:hunter2@db/orders' as never, monitor: 'a day' });
      const failed = await handle.result().catch((error: unknown) => error);
      expect(failed).toMatchObject({ cause: { type: 'InvalidPlan' } });
      const { message } = (failed as { cause: Error }).cause;
      expect(message).toContain('plan.monitor: found "a day"');
      expect(message).toContain('plan.source: found a password (not shown)');
      expect(message).not.toContain('hunter2');
      expect(world.calls).toEqual([]);
    }));
});
