// One scenario for each path through the runbook whose history is recorded. A migration that waits for weeks must survive a new
// release of this code: its history is replayed against the code of today.
import {
  approveSignal,
  holdSignal,
  recopySignal,
  releaseSignal,
  retrySignal,
  rejectSignal,
  rollbackSignal,
} from '../../workflows/messages';
import { artifact } from '../fixtures/fake-calico';
import { dualWriteAnswers } from '../fixtures/fake-dual-write';
import { incrementalAnswers } from '../fixtures/fake-incremental';
import { gateOpen, phaseIs, until, type MigrationHandle, type Rig } from '../fixtures/workflow-rig';

/** Drives a migration to where its history is worth keeping; it may still be running then. */
export type Scenario = (rig: Rig) => Promise<MigrationHandle>;

const scratch = { source: { env: 'SCRATCH_SOURCE' }, target: { env: 'SCRATCH_TARGET' } };

const approve = async (handle: MigrationHandle, ...gates: string[]): Promise<void> => {
  for (const gate of gates) {
    await until(handle, gateOpen(gate));
    await handle.signal(approveSignal, { gate, by: 'anna' });
  }
};

const dualWrite = { strategy: 'dual-write', dualWrite: { roundInterval: '100ms', settle: '10ms' } } as const;
const differing = {
  ...dualWriteAnswers.compareLive,
  differing: 1,
  byTable: [{ table: 'public.orders', insert: 1, update: 0, delete: 0 }],
  lines: ['public.orders key=(1): missing on the target'],
  differences: artifact('differences.json'),
};

const breached = {
  samples: 20,
  errors: 3,
  errorRatePercent: 15,
  breaches: ['15 % errors, more than 1 %'],
  endedBy: 'breach' as const,
};

export const scenarios: Record<string, Scenario> = {
  'big-bang-completed': async ({ start }) => {
    const handle = await start();
    await approve(handle, 'start', 'cutover', 'accept', 'retire-source');
    await handle.result();
    return handle;
  },
  'big-bang-waiting-at-cutover': async ({ start }) => {
    const handle = await start();
    await approve(handle, 'start');
    await until(handle, gateOpen('cutover'));
    return handle;
  },
  'big-bang-blocked-in-copy': async ({ start, world }) => {
    world.failNext('copyLane', 100);
    const handle = await start({ gates: 'auto' });
    await until(handle, phaseIs('blocked'));
    return handle;
  },
  'big-bang-retried-then-rolled-back': async ({ start, world }) => {
    world.failNext('buildPostData', 2);
    const handle = await start({ gates: 'auto' });
    await until(handle, phaseIs('blocked'));
    await handle.signal(retrySignal, { by: 'anna' });
    await until(handle, ({ steps, phase }) => phase === 'blocked' && steps.at(-1)?.retries === 1);
    await handle.signal(rollbackSignal, { by: 'anna', reason: 'no time left' });
    await handle.result();
    return handle;
  },
  'big-bang-rejected-at-start': async ({ start }) => {
    const handle = await start();
    await until(handle, gateOpen('start'));
    await handle.signal(rejectSignal, { gate: 'start', by: 'ben' });
    await handle.result();
    return handle;
  },
  'big-bang-deadline-then-waiting': async ({ start, world }) => {
    world.hold('buildPostData');
    const handle = await start({ maxDowntime: '4s', gates: { start: 'auto' } });
    await approve(handle, 'cutover');
    await until(handle, ({ gate, gates }) => gate === 'cutover' && gates.length > 2, 60_000);
    return handle;
  },
  'big-bang-way-back-after-switch': async ({ start, world }) => {
    world.hold('watchTarget');
    const handle = await start({ gates: 'auto' });
    await until(handle, phaseIs('monitor'));
    await handle.signal(rollbackSignal, { by: 'anna', reason: 'checkout fails' });
    await until(handle, ({ loss }) => loss !== undefined);
    await handle.signal(rollbackSignal, { by: 'anna', reason: 'checkout fails', words: 'lose 42 writes' });
    await handle.result();
    return handle;
  },
  'big-bang-held-while-kept': async ({ start }) => {
    const handle = await start({
      gates: { start: 'auto', cutover: 'auto', accept: 'auto' },
      retainSource: '1s',
      afterwards: { lookEvery: '400ms' },
    });
    await until(handle, gateOpen('retire-source'), 60_000);
    await handle.signal(holdSignal, { by: 'anna', reason: 'incident 4711' });
    await until(handle, phaseIs('held'), 60_000);
    await handle.signal(releaseSignal, { by: 'anna' });
    await approve(handle, 'retire-source');
    await handle.result();
    return handle;
  },
  'big-bang-retired-in-parts': async ({ start }) => {
    const handle = await start({
      gates: { start: 'auto', cutover: 'auto', accept: 'auto', 'retire-source': 'auto' },
      afterwards: { targetBackup: { kind: 'pg_dump' } },
      retire: { archive: true, drop: true, command: ['stop-instance'] },
    });
    await until(handle, gateOpen('drop-source'), 60_000);
    await handle.signal(approveSignal, { gate: 'drop-source', by: 'anna', reason: 'drop orders' });
    await handle.result();
    return handle;
  },
  'big-bang-transformed-with-rejects': async ({ start, world }) => {
    world.failNext('copyLane', 1, 'TooManyRejects');
    const handle = await start({
      gates: 'auto',
      transformations: [
        { table: 'public.orders', columns: { quantity: { rename: 'pieces', type: 'integer' } }, maxRejects: 5 },
      ],
    });
    await until(handle, phaseIs('blocked'));
    await handle.signal(retrySignal, { by: 'anna' });
    await handle.result();
    return handle;
  },
  'big-bang-held-before-the-drop-is-tried-again': async ({ start, world }) => {
    world.failNext('dropSourceDatabase', 1, 'TargetUnavailable');
    const handle = await start({
      gates: { start: 'auto', cutover: 'auto', accept: 'auto', 'retire-source': 'auto' },
      retire: { archive: true, drop: true },
    });
    await until(handle, gateOpen('drop-source'), 60_000);
    await handle.signal(approveSignal, { gate: 'drop-source', by: 'anna', reason: 'drop orders' });
    await until(handle, phaseIs('blocked'), 60_000);
    await handle.signal(holdSignal, { by: 'ben', reason: 'incident 4711' });
    await handle.signal(retrySignal, { by: 'anna' });
    await until(handle, phaseIs('held'), 60_000);
    await handle.signal(releaseSignal, { by: 'ben' });
    await handle.result();
    return handle;
  },
  'big-bang-breach-then-continued': async ({ start, world }) => {
    world.answerWith('watchTarget', breached);
    const handle = await start({
      gates: { start: 'auto', cutover: 'auto', accept: 'auto', 'retire-source': 'auto' },
    });
    await approve(handle, 'continue-after-breach');
    await handle.result();
    return handle;
  },
  'cdc-rolled-back-by-a-trigger': async ({ start, world }) => {
    world.answerWith('watchTarget', breached);
    const handle = await start({ strategy: 'cdc', gates: 'auto', monitor: '1h' });
    await handle.result();
    return handle;
  },
  'big-bang-cancelled-in-copy': async ({ start, world }) => {
    world.hold('copyLane');
    const handle = await start({ gates: 'auto' });
    await until(handle, () => world.calls.includes('copyLane'));
    await handle.cancel();
    await handle.result().catch(() => undefined);
    return handle;
  },
  'cdc-completed': async ({ start }) => {
    const handle = await start({ strategy: 'cdc' });
    await approve(handle, 'start', 'cutover', 'accept', 'retire-source');
    await handle.result();
    return handle;
  },
  'cdc-waiting-at-cutover': async ({ start }) => {
    const handle = await start({ strategy: 'cdc', gates: { start: 'auto' } });
    await until(handle, gateOpen('cutover'));
    return handle;
  },
  'cdc-snapshot-lost-then-table-copied-again': async ({ start, world }) => {
    world.failNext('copyLane', 1, 'SnapshotLost');
    world.failNext('compareMoving', 1, 'VerificationMismatch');
    const handle = await start({ strategy: 'cdc', gates: 'auto' });
    await until(handle, ({ blocked }) => blocked?.step === 'validate-moving', 60_000);
    await handle.signal(recopySignal, { table: 'public.orders', by: 'anna' });
    await handle.result();
    return handle;
  },
  'cdc-back-and-forward-once-more': async ({ start, world }) => {
    world.hold('watchTarget');
    const handle = await start({ strategy: 'cdc', gates: { start: 'auto', accept: 'auto', 'retire-source': 'auto' } });
    await approve(handle, 'cutover');
    await until(handle, phaseIs('monitor'));
    await handle.signal(rollbackSignal, { by: 'anna', reason: 'checkout fails' });
    await until(handle, gateOpen('cutover'));
    world.release('watchTarget');
    await handle.signal(approveSignal, { gate: 'cutover', by: 'anna' });
    await handle.result();
    return handle;
  },
  'cdc-in-reverse-window': async ({ start, world }) => {
    world.hold('watchTarget');
    const handle = await start({ strategy: 'cdc', gates: 'auto' });
    await until(handle, phaseIs('monitor'));
    return handle;
  },
  'cdc-out-of-time-then-rolled-back': async ({ start, world }) => {
    world.hold('turnStreams');
    const handle = await start({ strategy: 'cdc', gates: { start: 'auto' }, maxDowntime: '4s' });
    await approve(handle, 'cutover');
    await until(handle, ({ gate, gates }) => gate === 'cutover' && gates.length > 2, 60_000);
    await handle.signal(rollbackSignal, { by: 'anna', reason: 'no time left' });
    await handle.result();
    return handle;
  },
  'rehearsed-then-completed': async ({ start }) => {
    const handle = await start({ gates: { start: 'auto' }, rehearsal: scratch });
    await approve(handle, 'go-live', 'cutover', 'accept', 'retire-source');
    await handle.result();
    return handle;
  },
  'rehearsed-again-after-a-failure': async ({ start, world }) => {
    world.failNext('compareTables', 1, 'VerificationMismatch');
    const handle = await start({ gates: { start: 'auto' }, rehearsal: scratch });
    await until(handle, phaseIs('blocked'), 60_000);
    await handle.signal(retrySignal, { by: 'anna' });
    await until(handle, gateOpen('go-live'), 60_000);
    return handle;
  },
  'rehearsal-of-big-bang': async ({ start, client }) => {
    const handle = await start({ gates: { start: 'auto' }, rehearsal: scratch });
    await until(handle, gateOpen('go-live'), 60_000);
    return client.workflow.getHandle(`${handle.workflowId}-rehearsal-1`);
  },
  'rehearsal-of-cdc': async ({ start, client }) => {
    const handle = await start({ gates: { start: 'auto' }, rehearsal: scratch, strategy: 'cdc' });
    await until(handle, gateOpen('go-live'), 60_000);
    return client.workflow.getHandle(`${handle.workflowId}-rehearsal-1`);
  },
  'rehearsal-of-incremental': async ({ start, client }) => {
    const handle = await start({ gates: { start: 'auto' }, rehearsal: scratch, strategy: 'incremental' });
    await until(handle, gateOpen('go-live'), 60_000);
    return client.workflow.getHandle(`${handle.workflowId}-rehearsal-1`);
  },
  'rehearsal-of-dual-write': async ({ start, client }) => {
    const handle = await start({ ...dualWrite, gates: { start: 'auto' }, rehearsal: scratch });
    await until(handle, gateOpen('go-live'), 60_000);
    return client.workflow.getHandle(`${handle.workflowId}-rehearsal-1`);
  },
  'dual-write-rejected-at-cutover': async ({ start }) => {
    const handle = await start({ ...dualWrite, gates: { start: 'auto' } });
    await until(handle, gateOpen('cutover'), 60_000);
    await handle.signal(rejectSignal, { gate: 'cutover', by: 'anna' });
    await handle.result();
    return handle;
  },
  'dual-write-compared-again-then-back-by-a-trigger': async ({ start, world }) => {
    world.failNext('switchDatastore', 1, 'PreconditionFailed', { status: 409 });
    world.answerWith('watchTarget', breached);
    const handle = await start({ ...dualWrite, gates: 'auto', monitor: '1h' });
    await handle.result();
    return handle;
  },
  'dual-write-asked-before-rows-go': async ({ start, world }) => {
    world.hold('watchTarget');
    const handle = await start({ ...dualWrite, gates: { start: 'auto', cutover: 'auto' } });
    await until(handle, phaseIs('monitor'), 60_000);
    world.answerWith('compareLive', {
      ...differing,
      byTable: [{ table: 'public.orders', insert: 0, update: 0, delete: 1 }],
    });
    await handle.signal(rollbackSignal, { by: 'anna', reason: 'checkout fails' });
    await until(handle, gateOpen('repair'), 60_000);
    world.answerWith('compareLive', dualWriteAnswers.compareLive);
    await approve(handle, 'repair');
    await handle.result();
    return handle;
  },
  'dual-write-repaired-and-completed': async ({ start, world }) => {
    world.answerWith('compareLive', differing);
    const handle = await start({ ...dualWrite, gates: undefined });
    await approve(handle, 'start');
    await until(handle, gateOpen('repair'), 60_000);
    world.answerWith('compareLive', dualWriteAnswers.compareLive);
    await approve(handle, 'repair', 'cutover', 'accept', 'retire-source');
    await handle.result();
    return handle;
  },
  'dual-write-back-in-window': async ({ start, world }) => {
    world.hold('watchTarget');
    const handle = await start({ ...dualWrite, gates: 'auto' });
    await until(handle, phaseIs('monitor'), 60_000);
    await handle.signal(rollbackSignal, { by: 'anna', reason: 'checkout fails' });
    await handle.result();
    return handle;
  },
  'incremental-completed': async ({ start }) => {
    const handle = await start({ strategy: 'incremental' });
    await approve(handle, 'start', 'cutover', 'accept', 'retire-source');
    await handle.result();
    return handle;
  },
  'incremental-passing-at-cutover': async ({ start, world }) => {
    const handle = await start({ strategy: 'incremental', gates: { start: 'auto' } });
    await until(handle, gateOpen('cutover'), 60_000);
    const made = (): number => world.calls.filter((call) => call === 'beginPass').length;
    const before = made();
    await until(handle, () => made() > before + 1, 120_000);
    return handle;
  },
  'incremental-out-of-time-then-waiting': async ({ start, world }) => {
    world.hold('carryUnderFence');
    const handle = await start({ strategy: 'incremental', maxDowntime: '8s', gates: { start: 'auto' } });
    await until(handle, gateOpen('cutover'), 60_000);
    await handle.signal(approveSignal, { gate: 'cutover', by: 'anna' });
    await until(handle, ({ gate, gates }) => gate === 'cutover' && gates.length > 2, 60_000);
    return handle;
  },
  'incremental-does-not-fit-then-rolled-back': async ({ start, world }) => {
    world.answerWith('summarizePass', { ...incrementalAnswers.summarizePass, durationMs: 3_500_000 });
    const handle = await start({ strategy: 'incremental', gates: 'auto' });
    await until(handle, phaseIs('blocked'), 60_000);
    await handle.signal(retrySignal, { by: 'anna' });
    await until(handle, ({ steps, phase }) => phase === 'blocked' && steps.at(-1)?.retries === 1, 60_000);
    await handle.signal(rollbackSignal, { by: 'anna', reason: 'no window for it' });
    await handle.result();
    return handle;
  },
  'calico-completed': async ({ startCalico }) => {
    const handle = await startCalico();
    await approve(handle, 'start', 'cutover', 'unlock', 'accept', 'retire-source');
    await handle.result();
    return handle;
  },
  'calico-waiting-at-unlock': async ({ startCalico }) => {
    const handle = await startCalico({ gates: { start: 'auto', cutover: 'auto' } });
    await until(handle, gateOpen('unlock'));
    return handle;
  },
  'calico-by-hand-rejected-at-unlock': async ({ startCalico }) => {
    const handle = await startCalico({ manifests: undefined, gates: { start: 'auto', cutover: 'auto' } });
    await approve(handle, 'apply-manifest');
    await until(handle, gateOpen('unlock'));
    await handle.signal(rejectSignal, { gate: 'unlock', by: 'ben' });
    await approve(handle, 'apply-manifest');
    await handle.result();
    return handle;
  },
  'calico-blocked-by-drift-then-rolled-back': async ({ startCalico, world }) => {
    world.failNext('findEtcdDrift', 2, 'VerificationMismatch');
    const handle = await startCalico({ gates: 'auto' });
    await until(handle, phaseIs('blocked'));
    await handle.signal(retrySignal, { by: 'anna' });
    await until(handle, ({ steps, phase }) => phase === 'blocked' && steps.at(-1)?.retries === 1);
    await handle.signal(rollbackSignal, { by: 'anna', reason: 'somebody writes' });
    await handle.result();
    return handle;
  },
  'calico-out-of-time': async ({ startCalico, world }) => {
    world.hold('importCalico');
    const handle = await startCalico({ gates: 'auto', maxLocked: '8s' });
    await handle.result();
    return handle;
  },
  'calico-unlock-retried': async ({ startCalico, world }) => {
    world.failNext('unlockKubernetes');
    const handle = await startCalico({ gates: 'auto' });
    await until(handle, phaseIs('blocked'));
    await handle.signal(rollbackSignal, { by: 'anna', reason: 'it failed' });
    await until(handle, ({ loss }) => loss !== undefined);
    await handle.signal(retrySignal, { by: 'anna' });
    await handle.result();
    return handle;
  },
  'calico-way-back-after-unlock': async ({ startCalico, world }) => {
    world.hold('watchCalico');
    const handle = await startCalico({ gates: 'auto' });
    await until(handle, phaseIs('monitor'));
    await handle.signal(rollbackSignal, { by: 'anna', reason: 'pods fail' });
    await until(handle, ({ loss }) => loss !== undefined);
    await handle.signal(rollbackSignal, { by: 'anna', reason: 'pods fail', words: 'lose 12 changes' });
    await handle.result();
    return handle;
  },
  'calico-cancelled-in-import': async ({ startCalico, world }) => {
    world.hold('importCalico');
    const handle = await startCalico({ gates: 'auto' });
    await until(handle, () => world.calls.includes('importCalico'));
    await handle.cancel();
    await handle.result().catch(() => undefined);
    return handle;
  },
};
