import { approveSignal, decideUpdate, rejectSignal } from '../../workflows/messages';
import {
  gateOpen,
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

const approve = async (handle: MigrationHandle, ...gates: string[]): Promise<void> => {
  for (const gate of gates) {
    await until(handle, gateOpen(gate));
    await handle.signal(approveSignal, { gate, by: 'anna' });
  }
};

describe('gates', () => {
  it('approved one by one, lead to a completed migration with who and when on each', () =>
    server.withWorker(async ({ start, world }) => {
      const handle = await start();
      await approve(handle, 'start', 'cutover', 'accept', 'retire-source');
      const result = await handle.result();
      expect(result).toMatchObject({
        outcome: 'completed',
        reportArtifact: 'file:///nowhere/report.html',
        rows: '1000',
        differences: 0,
      });
      const status = await until(handle, () => true);
      expect(status.gates.map(({ name, state }) => `${name} ${state}`)).toEqual([
        'start approved',
        'cutover approved',
        'accept approved',
        'retire-source approved',
      ]);
      expect(status.gates.every(({ decisions }) => decisions[0]?.by === 'anna')).toBe(true);
      expect(world.calls).toContain('writeReport');
      expect(world.calls.indexOf('raiseFence')).toBeLessThan(world.calls.indexOf('copyLane'));
      expect(world.calls.indexOf('compareTables')).toBeLessThan(world.calls.indexOf('switchDatastore'));
    }));

  it('with "auto" pass by themselves', () =>
    server.withWorker(async ({ start }) => {
      const handle = await start({ gates: 'auto' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      const status = await until(handle, () => true);
      expect(status.gates.every(({ state }) => state === 'auto')).toBe(true);
    }));

  it('rejected at the start leave everything untouched', () =>
    server.withWorker(async ({ start, world }) => {
      const handle = await start();
      await until(handle, gateOpen('start'));
      await handle.signal(rejectSignal, { gate: 'start', by: 'ben', reason: 'month end' });
      expect(await handle.result()).toMatchObject({ outcome: 'rejected' });
      expect(world.calls).not.toContain('prepareLedger');
      expect((await until(handle, () => true)).reason).toBe('gate start was rejected by ben: month end');
    }));

  it('rejected at the cutover undo the preparation, newest first', () =>
    server.withWorker(async ({ start, world }) => {
      const handle = await start();
      await approve(handle, 'start');
      await until(handle, gateOpen('cutover'));
      await handle.signal(rejectSignal, { gate: 'cutover', by: 'ben' });
      expect(await handle.result()).toMatchObject({ outcome: 'rejected' });
      const undos = world.calls.filter((name) =>
        ['clearTarget', 'removeRoles', 'removeLedger', 'lowerFence'].includes(name),
      );
      expect(undos).toEqual(['clearTarget', 'removeRoles', 'removeLedger']);
    }));

  it('refuse an approval that comes before there is evidence', () =>
    server.withWorker(async ({ start }) => {
      const handle = await start();
      await until(handle, gateOpen('start'));
      await handle.signal(approveSignal, { gate: 'cutover', by: 'anna' });
      const status = await until(handle, ({ refused }) => refused.length > 0);
      expect(status.refused[0]).toMatchObject({ name: 'approve', by: 'anna' });
      expect(status.refused[0]?.why).toContain('not open yet');
      expect(status.gate).toBe('start');
    }));

  it('count the first decision of a person, and show the second as refused', () =>
    server.withWorker(async ({ start }) => {
      const handle = await start({ gates: { start: { approvers: 2 } } });
      await until(handle, gateOpen('start'));
      await handle.signal(approveSignal, { gate: 'start', by: 'anna' });
      await handle.signal(approveSignal, { gate: 'start', by: 'anna' });
      const status = await until(handle, ({ refused }) => refused.length > 0);
      expect(status.gate).toBe('start');
      expect(status.refused[0]?.why).toContain('anna has decided already');
      await handle.signal(approveSignal, { gate: 'start', by: 'ben' });
      await until(handle, gateOpen('cutover'));
    }));

  it('refuse a late second approval instead of opening the next gate with it', () =>
    server.withWorker(async ({ start }) => {
      const handle = await start();
      await approve(handle, 'start');
      await handle.signal(approveSignal, { gate: 'start', by: 'ben' });
      const status = await until(handle, ({ refused, gate }) => refused.length > 0 && gate === 'cutover');
      expect(status.refused[0]?.why).toContain('closed already');
    }));

  it.each([
    ['an unknown gate', { gate: 'cut-over', by: 'anna' }, 'there is no gate "cut-over"'],
    ['no name of a person', { gate: 'start' }, 'by is missing'],
    ['a number for a name', { gate: 'start', by: 7 }, 'by is 7, expected text'],
    ['an unknown field', { gate: 'start', by: 'anna', force: true }, 'force is not a field of approve'],
    ['text instead of an object', 'start', 'expected a JSON object'],
  ])('refuse %s and say why', (_what, payload, why) =>
    server.withWorker(async ({ start }) => {
      const handle = await start();
      await until(handle, gateOpen('start'));
      await handle.signal('approve', payload);
      const status = await until(handle, ({ refused }) => refused.length > 0);
      expect(status.refused[0]?.why).toContain(why);
      expect(status.gate).toBe('start');
    }),
  );

  it('show a mistyped signal instead of losing it', () =>
    server.withWorker(async ({ start }) => {
      const handle = await start();
      await until(handle, gateOpen('start'));
      await handle.signal('aprove', { gate: 'start', by: 'anna' });
      const status = await until(handle, ({ refused }) => refused.length > 0);
      expect(status.refused[0]).toMatchObject({ name: 'aprove', by: 'anna' });
      expect(status.refused[0]?.why).toContain('there is no signal "aprove"');
    }));

  it('decided by the update answer at once, with the status or the error', () =>
    server.withWorker(async ({ start }) => {
      const handle = await start();
      await until(handle, gateOpen('start'));
      await expect(
        handle.executeUpdate(decideUpdate, { args: [{ gate: 'accept', decision: 'approve', by: 'anna' }] }),
      ).rejects.toMatchObject({
        cause: { message: expect.stringContaining('not open yet') as string },
      });
      const status = await handle.executeUpdate(decideUpdate, {
        args: [{ gate: 'start', decision: 'approve', by: 'anna' }],
      });
      expect(status.gates[0]).toMatchObject({ name: 'start', state: 'approved' });
      await until(handle, gateOpen('cutover'));
    }));

  it('past their time limit reject, and undo', () =>
    server.withWorker(async ({ start }) => {
      const handle = await start({ gates: { start: { timeout: '200ms' } } });
      expect(await handle.result()).toMatchObject({ outcome: 'rejected' });
      expect((await until(handle, () => true)).reason).toContain('nobody decided on gate start in time');
    }));

  it('are visible in search attributes when no worker is up', () =>
    server.withWorker(async ({ start }) => {
      const handle = await start();
      await until(handle, gateOpen('start'));
      const shown = async (): Promise<string[]> => {
        const { typedSearchAttributes } = await handle.describe();
        return typedSearchAttributes.getAll().map(({ key, value }) => `${key.name}=${String(value)}`);
      };
      const end = Date.now() + 60_000;
      while (!(await shown()).includes('MigrationGate=start') && Date.now() < end)
        await new Promise((resolve) => setTimeout(resolve, 100));
      expect(await shown()).toEqual(
        expect.arrayContaining(['MigrationGate=start', 'MigrationPhase=preflight', 'MigrationKind=postgres']),
      );
    }));

  it('without an application ask a person to stop writes and to switch', () =>
    server.withWorker(async ({ start, world }) => {
      const handle = await start({ application: undefined });
      await approve(handle, 'start', 'cutover', 'stop-writes', 'switch-application', 'accept', 'retire-source');
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      expect(world.calls).not.toContain('setMaintenanceMode');
      expect(world.calls.indexOf('raiseFence')).toBeGreaterThan(0);
    }));
});
