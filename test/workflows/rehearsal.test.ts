// The rehearsal as a child: what passes opens the gate with its table, what fails blocks before production is touched, and who ends the
// migration ends its rehearsal. Children are replayed as well.
import { randomUUID } from 'node:crypto';
import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { journalQuery, reportQuery, retrySignal, rollbackSignal, approveSignal } from '../../workflows/messages';
import type { postgresMigration } from '../../workflows';
import {
  gateOpen,
  phaseIs,
  shortPlan,
  startWorkflowServer,
  until,
  type Rig,
  type WorkflowServer,
} from '../fixtures/workflow-rig';

const rehearsal = { source: { env: 'SCRATCH_SOURCE' }, target: { env: 'SCRATCH_TARGET' } };
const gates = { start: 'auto' } as const;
const patience = 60_000;

let server: WorkflowServer;
beforeAll(async () => {
  server = await startWorkflowServer();
}, 300_000);
afterAll(() => server.stop());

const childOf = ({ client }: Rig, { workflowId }: WorkflowHandle, attempt = 1) =>
  client.workflow.getHandle<typeof postgresMigration>(`${workflowId}-rehearsal-${attempt}`);

it('carries the plan out on the scratch servers, there and back, and shows its table at the gate', () =>
  server.withWorker(async (rig) => {
    const { world, start } = rig;
    const handle = await start({ gates, rehearsal });
    const { gates: open } = await until(handle, gateOpen('go-live'), patience);
    const evidence = open.at(-1)?.evidence.join('\n');
    expect(evidence).toContain(`rehearsal ${handle.workflowId}-rehearsal-1: passed`);
    expect(evidence).toContain('rows migrated: 1 000; errors: none');
    expect(evidence).toContain('validation: passed');
    expect(evidence).toContain('rollback rehearsed: yes, by undoing everything before the switch');
    expect(evidence).toMatch(/steps: .*copy-data/);
    expect(evidence).toContain('predicted from the rehearsal');

    const child = childOf(rig, handle);
    expect(await child.result()).toMatchObject({ outcome: 'rolled-back', rehearsal: { reached: true, left: [] } });
    await server.replay(child);
    expect(world.calls.filter((name) => /Scratch|guardRehearsal|verifySnapshot/.test(name))).toEqual([
      'prepareScratch',
      'verifySnapshot',
      'guardRehearsal',
      // Of the child, which has no backup of its own.
      'verifySnapshot',
      'emptyScratch',
    ]);
    expect(world.calls).not.toContain('setMaintenanceMode');
    expect(world.inputs.get('raiseFence')).toMatchObject({ scope: { source: rehearsal.source } });

    for (const gate of ['go-live', 'cutover', 'accept', 'retire-source']) {
      await until(handle, gateOpen(gate), patience);
      await handle.signal(approveSignal, { gate, by: 'anna' });
    }
    expect(await handle.result()).toMatchObject({ outcome: 'completed' });
    const report = await handle.query(reportQuery);
    expect(report).toContain('| Rollback rehearsed | ✔ undone before the switch');
    expect(report).toContain('Predicted against actual');
  }));

it('goes the way of the data alone where the plan has an application write to both sides', () =>
  server.withWorker(async (rig) => {
    const { world, start } = rig;
    const dualWrite = { roundInterval: '20ms', settle: '10ms' };
    const handle = await start({ gates, rehearsal, strategy: 'dual-write', dualWrite });
    const { gates: open } = await until(handle, gateOpen('go-live'), patience);
    const evidence = open.at(-1)?.evidence.join('\n');
    expect(evidence).toContain('rollback rehearsed: yes, by undoing everything before the switch');
    expect(evidence).toContain('not rehearsed, since no application writes to scratch servers');
    const child = childOf(rig, handle);
    expect(await child.result()).toMatchObject({ outcome: 'rolled-back', rehearsal: { reached: true, left: [] } });
    const { steps, notes } = await child.query(journalQuery);
    expect(steps.map(({ id }) => id)).toEqual(
      expect.arrayContaining(['indexes', 'copy-data', 'reconcile', 'post-data', 'sequences']),
    );
    expect(notes.map(({ text }) => text).join()).toContain('no application writes to both sides');
    for (const call of ['setDualWrite', 'checkTargetHealth', 'readDualWrite', 'switchDatastore'])
      expect(world.calls).not.toContain(call);
    await server.replay(child);
    await handle.signal(rollbackSignal, { by: 'anna', reason: 'it was only tried' });
    expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
  }));

it('goes over and back without a loss where the plan streams', () =>
  server.withWorker(async (rig) => {
    const handle = await rig.start({ gates, rehearsal, strategy: 'cdc' });
    const { gates: open } = await until(handle, gateOpen('go-live'), patience);
    expect(open.at(-1)?.evidence.join('\n')).toContain('rollback rehearsed: yes, by a hand-over back');
    const child = childOf(rig, handle);
    const { handOvers, steps } = await child.query(journalQuery);
    expect(handOvers?.map(({ to, outcome }) => [to, outcome])).toEqual([
      ['target', 'switched'],
      ['source', 'switched'],
    ]);
    expect(steps.map(({ id }) => id)).toContain('give-target-back');
    await server.replay(child);
  }));

it('blocks when the rehearsal fails, before anything of production was stopped, and rehearses anew on retry', () =>
  server.withWorker(async (rig) => {
    const { world, start } = rig;
    world.failNext('compareTables', 1, 'VerificationMismatch');
    const handle = await start({ gates, rehearsal });
    const { blocked, gates: passed } = await until(handle, phaseIs('blocked'), patience);
    expect(blocked).toMatchObject({ step: 'rehearse', skippable: false });
    expect(blocked?.failure).toContain('step compare-rows failed');
    expect(passed.map(({ name }) => name)).toEqual(['start']);
    expect(await childOf(rig, handle).result()).toMatchObject({
      outcome: 'rolled-back',
      rehearsal: { reached: false },
    });
    expect((await handle.query(journalQuery)).rehearsal).toMatchObject({ outcome: 'failed', attempt: 1 });
    await server.replay(childOf(rig, handle));

    await handle.signal(retrySignal, { by: 'anna' });
    await until(handle, gateOpen('go-live'), patience);
    expect((await handle.query(journalQuery)).rehearsal).toMatchObject({ outcome: 'passed', attempt: 2 });
    // Emptied and restored again in between.
    expect(world.calls.filter((name) => /emptyScratch|verifySnapshot|guardRehearsal/.test(name))).toEqual([
      ...['verifySnapshot', 'guardRehearsal', 'verifySnapshot'],
      ...['emptyScratch', 'verifySnapshot', 'guardRehearsal', 'verifySnapshot', 'emptyScratch'],
    ]);
  }));

it('starts no child when the guard refuses', () =>
  server.withWorker(async (rig) => {
    rig.world.failNext('guardRehearsal');
    const handle = await rig.start({ gates, rehearsal });
    const { blocked } = await until(handle, phaseIs('blocked'), patience);
    expect(blocked?.failure).toContain('guardRehearsal was made to fail');
    expect(rig.world.calls).not.toContain('prepareLedger');
    await expect(childOf(rig, handle).describe()).rejects.toThrow();
  }));

it.each(['rollback', 'cancellation'])('ends its rehearsal with it, by %s, and waits until it has gone back', (how) =>
  server.withWorker(async (rig) => {
    const { world, start } = rig;
    world.hold('copyLane');
    const handle = await start({ gates, rehearsal });
    await until(handle, () => world.calls.includes('copyLane'), patience);
    if (how === 'rollback') await handle.signal(rollbackSignal, { by: 'anna', reason: 'not today' });
    else await handle.cancel();
    const ended = await handle.result().catch((error: unknown) => error);
    if (how === 'rollback') expect(ended).toMatchObject({ outcome: 'rolled-back' });
    else expect(ended).toBeInstanceOf(WorkflowFailedError);
    const child = childOf(rig, handle);
    expect((await child.describe()).status.name).toBe('CANCELLED');
    // The target of the rehearsal was put back, then the scratch databases were emptied.
    expect(world.calls.indexOf('clearTarget')).toBeLessThan(world.calls.indexOf('emptyScratch'));
    await server.replay(child);
  }),
);

it(
  'gives up what cannot be undone on the scratch servers, and says so instead of waiting for people',
  () =>
    server.withWorker(async (rig) => {
      const { world, start } = rig;
      world.failNext('compareTables');
      world.failNext('clearTarget', 100);
      const handle = await start({ gates, rehearsal });
      const { blocked } = await until(handle, ({ blocked: now }) => now?.step === 'rehearse', 240_000);
      expect(blocked?.failure).toContain('Given up: Put the target back as it was found');
    }),
  300_000,
);

it('is not started by hand, and not at all where the plan says why', () =>
  server.withWorker(async (rig) => {
    const handle = await rig.start({ gates, rehearsal: { skip: 'rehearsed by hand last week' } });
    await until(handle, gateOpen('cutover'), patience);
    expect(rig.world.calls).not.toContain('prepareScratch');
    expect(await handle.query(reportQuery)).toContain('rehearsed by hand last week');

    const { taskQueue } = await handle.describe();
    const byHand = await rig.client.workflow.start<typeof postgresMigration>('postgresMigration', {
      taskQueue,
      workflowId: `by-hand-${randomUUID()}`,
      args: [shortPlan, { rehearse: 'rollback' }],
    });
    await expect(byHand.result()).rejects.toMatchObject({
      cause: { type: 'InvalidPlan', message: expect.stringContaining('for rehearsals alone') as string },
    });
  }));
