// A migration in passes as its workflow sees it: what happens in which order, when a freeze may begin, and what is undone when.
// Real Temporal, fake activities.
import type { PassSummary } from '../../activities/postgres/incremental';
import type { ComparedTables } from '../../activities/postgres/digest';
import type { PostgresPlanInput } from '../../plan/postgres';
import {
  approveSignal,
  journalQuery,
  pauseSignal,
  resumeSignal,
  retrySignal,
  rollbackSignal,
  skipSignal,
  tuneSignal,
} from '../../workflows/messages';
import { incrementalAnswers } from '../fixtures/fake-incremental';
import { gateOpen, phaseIs, startWorkflowServer, until, type WorkflowServer } from '../fixtures/workflow-rig';

let server: WorkflowServer;
beforeAll(async () => {
  server = await startWorkflowServer();
});
afterAll(() => server.stop());

const passes: Partial<PostgresPlanInput> = { strategy: 'incremental', gates: 'auto' };
/** People decide on the cutover alone. */
const asked: Partial<PostgresPlanInput> = {
  strategy: 'incremental',
  gates: { start: 'auto', accept: 'auto', 'retire-source': 'auto' },
};
const summary = (change: Partial<PassSummary>): PassSummary => ({ ...incrementalAnswers.summarizePass, ...change });
const unequal: ComparedTables = {
  records: [{ name: 'row digests', outcome: 'fail', durationMs: 5 }],
  tables: [
    { table: 'public.orders', rows: '1000', bytes: 1_000, equal: false },
    { table: 'public.customers', rows: '10', bytes: 100, equal: true },
  ],
  tablesNotListed: 0,
  unequal: 1,
  artifact: { name: 'tables.json', url: 'file:///tables.json', sha256: 'a'.repeat(64), bytes: 1 },
};

/** The named calls, in their order. */
function inOrder(calls: string[], names: string[]): string[] {
  return calls.filter((call) => names.includes(call));
}

function count(calls: string[], name: string): number {
  return calls.filter((call) => call === name).length;
}

describe('a migration in passes', () => {
  it('copies behind a shut target, brings rows up before it builds on them, and proves every row under the fence', () =>
    server.withWorker(async ({ world, start }) => {
      const pressure = { probe: { sql: 'select 1', max: 2 }, interval: '1s' };
      const handle = await start({ ...passes, incremental: { ...passes.incremental, pressure } });
      expect(await handle.result()).toMatchObject({ outcome: 'completed', differences: 0 });
      // The last pass is the one under the fence: nobody gains by sparing the source then.
      expect(world.inputs.get('passLane')).toMatchObject({
        settings: { pressure: { maxConnectionsPercent: 100, interval: '1s' } },
      });
      expect(JSON.stringify(world.inputs.get('passLane'))).not.toContain('probe');
      expect(
        inOrder(world.calls, [
          'checkTargetHealth',
          'raiseFence',
          'beginIncremental',
          'planChunks',
          'summarizeCopy',
          'beginPass',
          'buildPostData',
          'analyzeTarget',
          'compareFidelity',
          'setMaintenanceMode',
          'compareTables',
          'carryUnderFence',
          'lowerFence',
          'switchDatastore',
          'setNormalMode',
        ]),
      ).toEqual([
        'checkTargetHealth',
        'raiseFence',
        'beginIncremental',
        'planChunks',
        'summarizeCopy',
        'beginPass',
        'buildPostData',
        'beginPass',
        'beginPass',
        'buildPostData',
        'analyzeTarget',
        'compareTables',
        'compareFidelity',
        'beginPass',
        'setMaintenanceMode',
        'raiseFence',
        'beginPass',
        'carryUnderFence',
        'compareTables',
        'compareFidelity',
        'lowerFence',
        'checkTargetHealth',
        'switchDatastore',
        'setNormalMode',
      ]);
      const { passes: records, forecast } = await handle.query(journalQuery);
      expect(records).toMatchObject([
        { pass: 1, why: 'before indexes are built', rows: '12', deleted: '1', durationMs: 900 },
        { pass: 2 },
        { pass: 3, why: 'as of one moment, before foreign keys are built' },
        { pass: 4 },
        { pass: 5, why: 'under the fence' },
      ]);
      expect(forecast).toMatchObject({ fits: true, passMs: 900 });
    }));

  it('asks nobody and begins no outage when what is left would not end in time; with people it says so at the gate', () =>
    server.withWorker(async ({ world, start }) => {
      world.answerWith('summarizePass', summary({ durationMs: 3_000_000 }));
      const handle = await start(passes);
      const { blocked, phase } = await until(handle, phaseIs('blocked'), 60_000);
      expect(phase).toBe('blocked');
      expect(blocked).toMatchObject({ step: 'ready', skippable: true });
      expect(blocked?.failure).toContain('passes no longer shrink');
      expect(world.calls).not.toContain('setMaintenanceMode');
      world.answerWith('summarizePass', summary({ durationMs: 400 }));
      await handle.signal(retrySignal, { by: 'anna' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });

      world.answerWith('summarizePass', summary({ durationMs: 3_000_000 }));
      const second = await start(asked);
      const { gates } = await until(second, gateOpen('cutover'), 60_000);
      expect(gates.at(-1)?.evidence.join('\n')).toContain('IT DOES NOT FIT');
      await second.signal(approveSignal, { gate: 'cutover', by: 'anna' });
      expect(await second.result()).toMatchObject({ outcome: 'completed' });
    }));

  it('stops making passes after maxPasses, and begins all the same when a person skips the look', () =>
    server.withWorker(async ({ world, start }) => {
      world.answerWith('summarizePass', summary({ durationMs: 3_000_000 }));
      const handle = await start({ ...passes, incremental: { maxPasses: 1 } });
      const { blocked } = await until(handle, phaseIs('blocked'), 60_000);
      expect(blocked?.failure).toContain('after 1 passes (maxPasses)');
      await handle.signal(skipSignal, { step: 'ready', by: 'anna', reason: 'the shop is closed' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
    }));

  it('keeps the copy when a freeze runs out of time: the source is opened, another pass is made, the gate opens again', () =>
    server.withWorker(async ({ world, start }) => {
      world.hold('carryUnderFence');
      const handle = await start({ ...asked, maxDowntime: '15s' });
      world.answerWith('summarizePass', summary({ durationMs: 10 }));
      await until(handle, gateOpen('cutover'), 60_000);
      await handle.signal(approveSignal, { gate: 'cutover', by: 'anna' });
      await until(handle, ({ gate, gates }) => gate === 'cutover' && gates.length > 2, 60_000);
      const { steps, downtime } = await handle.query(journalQuery);
      expect(steps.filter(({ id }) => id.startsWith('undo-')).map(({ id }) => id)).toEqual([
        'undo-fence',
        'undo-maintenance-mode',
      ]);
      expect(downtime?.endedAt).toBeDefined();
      const made = count(world.calls, 'beginPass');
      world.release('carryUnderFence');
      await handle.signal(approveSignal, { gate: 'cutover', by: 'ben' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      expect(count(world.calls, 'planChunks')).toBe(1);
      expect(count(world.calls, 'restorePreData')).toBe(1);
      expect(count(world.calls, 'clearTarget')).toBe(0);
      expect(count(world.calls, 'beginPass')).toBeGreaterThan(made);
    }));

  it('repairs rows that differ under the fence once, by whole tables, and compares everything again', () =>
    server.withWorker(async ({ world, start }) => {
      const handle = await start(asked);
      await until(handle, gateOpen('cutover'), 60_000);
      world.answerWith('compareTables', unequal);
      world.answerWith('copyLane', { rows: '0', bytes: 0, chunks: 0 });
      const held = world.hold('compareTables');
      await handle.signal(approveSignal, { gate: 'cutover', by: 'anna' });
      await until(handle, ({ steps }) => steps.at(-1)?.id === 'compare-rows', 60_000);
      held.release();
      const { blocked } = await until(handle, phaseIs('blocked'), 60_000);
      expect(blocked?.step).toBe('compare-rows');
      expect(world.inputs.get('beginPass')).toMatchObject({ changes: 'digest', tables: ['public.orders'] });
      const { notes, passes: records } = await handle.query(journalQuery);
      expect(notes.map(({ text }) => text).join('\n')).toContain('Rows of 1 table differed under the fence');
      expect(records?.filter(({ why }) => why === 'rows differed under the fence')).toHaveLength(1);
      // Repaired is not verified: it differed again, and that stops it.
      expect(count(world.calls.slice(world.calls.lastIndexOf('beginPass')), 'compareTables')).toBe(1);
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'rows differ' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
    }));

  it('stops the lanes of a pass at once when it is paused, takes tuning, and goes on with the same pass', () =>
    server.withWorker(async ({ world, start }) => {
      const held = world.hold('passLane');
      const handle = await start(passes);
      await until(handle, () => world.calls.includes('passLane'), 60_000);
      await handle.signal(pauseSignal, { by: 'anna' });
      await until(handle, () => world.calls.includes('passLane~'), 60_000);
      expect(inOrder(world.calls, ['summarizePass'])).toEqual([]);
      await handle.signal(tuneSignal, { copyLanes: 2, maxBytesPerSecond: 5_000_000 });
      held.release();
      await handle.signal(resumeSignal, { by: 'anna' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      expect(world.inputs.get('tuneCopy')).toMatchObject({ lanes: 2, maxBytesPerSecond: 5_000_000 });
      const { passes: records } = await handle.query(journalQuery);
      expect(records?.[0]).toMatchObject({ pass: 1, paused: true });
      expect(records?.[1]).toMatchObject({ pass: 2 });
    }));

  it('stops the way when the schema of the source changes before the freeze, and shows the change', () =>
    server.withWorker(async ({ world, start }) => {
      const handle = await start(asked);
      await until(handle, gateOpen('cutover'), 60_000);
      world.answerWith('compareSchemaWithDump', { changes: ['table public.orders: column note added'] });
      await handle.signal(approveSignal, { gate: 'cutover', by: 'anna' });
      const { blocked } = await until(handle, phaseIs('blocked'), 60_000);
      expect(blocked).toMatchObject({ step: 'ready' });
      expect(blocked?.failure).toContain('column note added');
      expect(world.calls).not.toContain('setMaintenanceMode');
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'the schema changed' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
    }));

  it('makes passes while the gate is open, and none outlives it', () =>
    server.withWorker(async ({ world, start }) => {
      const handle = await start(asked);
      await until(handle, gateOpen('cutover'), 60_000);
      const made = count(world.calls, 'beginPass');
      world.hold('passLane');
      await until(handle, () => count(world.calls, 'beginPass') > made, 60_000);
      await until(handle, () => world.calls.at(-1) === 'passLane', 60_000);
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'month-end' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(world.calls.indexOf('passLane~')).toBeGreaterThan(0);
      expect(world.calls.indexOf('passLane~')).toBeLessThan(world.calls.indexOf('stopCopy'));
    }));

  it('undoes everything before the switch: the target is cleared behind its fence and put back as it was', () =>
    server.withWorker(async ({ world, start }) => {
      world.hold('compareMaterializedViews');
      const handle = await start(passes);
      await until(handle, () => world.calls.includes('compareMaterializedViews'), 60_000);
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'no time left' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(
        (await handle.query(journalQuery)).steps.filter(({ id }) => id.startsWith('undo-')).map(({ id }) => id),
      ).toEqual([
        'undo-fence',
        'undo-maintenance-mode',
        'undo-copy-data',
        'undo-shut-target',
        'undo-pre-data',
        'undo-roles',
        'undo-ledger',
      ]);
    }));
});
