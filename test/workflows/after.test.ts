import {
  approveSignal,
  holdSignal,
  noteSignal,
  rejectSignal,
  releaseSignal,
  reportQuery,
  retrySignal,
  rollbackSignal,
  skipSignal,
  type MigrationStatus,
} from '../../workflows/messages';
import type { FakeWorld } from '../fixtures/fake-activities';
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

const patienceMs = 90_000;
const eventually = (handle: MigrationHandle, wanted: (status: MigrationStatus) => boolean) =>
  until(handle, wanted, patienceMs);
const approve = (handle: MigrationHandle, gate: string, reason?: string) =>
  handle.signal(approveSignal, { gate, by: 'anna', ...(reason ? { reason } : {}) });
/** Only what retires the source asks people. */
const gates = { start: 'auto', cutover: 'auto', accept: 'auto' } as const;
const statesOf = ({ gates: all }: MigrationStatus, name: string) =>
  all.filter((gate) => gate.name === name).map(({ state }) => state);

describe('a hold', () => {
  it('stops the retirement past its time, also with the gate open, until everybody has released', () =>
    server.withWorker(async ({ start }) => {
      const handle = await start({ gates });
      await eventually(handle, gateOpen('retire-source'));
      await handle.signal(holdSignal, { by: 'anna', reason: 'incident 4711' });
      await handle.signal(holdSignal, { by: 'ben', reason: 'audit' });
      const held = await eventually(handle, ({ phase, holds }) => phase === 'held' && holds?.length === 2);
      expect(held.gate).toBe('none');
      expect(statesOf(held, 'retire-source')).toEqual(['withdrawn']);
      await approve(handle, 'retire-source');
      await handle.signal(holdSignal, { by: 'anna', reason: 'twice' });
      await handle.signal(releaseSignal, { by: 'carl' });
      const { refused } = await eventually(handle, (status) => status.refused.length === 3);
      expect(refused.map(({ why }) => why)).toEqual([
        expect.stringContaining('closed already (withdrawn)'),
        expect.stringContaining('anna holds it already'),
        'carl holds nothing; open: anna (incident 4711), ben (audit)',
      ]);
      await handle.signal(releaseSignal, { by: 'anna' });
      await eventually(handle, ({ holds }) => holds?.[0]?.releasedAt !== undefined);
      expect((await eventually(handle, () => true)).phase).toBe('held');
      await handle.signal(releaseSignal, { by: 'ben' });
      await eventually(handle, gateOpen('retire-source'));
      await approve(handle, 'retire-source');
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      const report = await handle.query(reportQuery);
      expect(report).toMatch(/holds, all released: anna: incident 4711/);
      await expect(handle.signal(holdSignal, { by: 'anna', reason: 'late' })).rejects.toThrow();
    }));

  it('that comes while the source is still kept is waited for after that time', () =>
    server.withWorker(async ({ start }) => {
      const handle = await start({ gates: { ...gates, 'retire-source': 'auto' }, retainSource: '1s' });
      await handle.signal(holdSignal, { by: 'anna', reason: 'incident 4711' });
      const held = await eventually(handle, phaseIs('held'));
      expect(statesOf(held, 'retire-source')).toEqual([]);
      await handle.signal(releaseSignal, { by: 'anna' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
    }));
});

describe('while the source is kept', () => {
  it('both sides are looked at for leftovers; what is found, and a look that fails, is noted and stops nothing', () =>
    server.withWorker(async ({ start, world }) => {
      world.answerWith('findLeftovers', [
        { kind: 'replication slot', where: 'source', name: 'cutover_0_a', state: 'present' },
      ]);
      world.hold('findLeftovers');
      const handle = await start({ gates, retainSource: '1500ms', afterwards: { lookEvery: '500ms' } });
      await eventually(handle, phaseIs('retention'));
      await handle.signal(noteSignal, { by: 'ben', text: 'build the index on events first' });
      await handle.signal(noteSignal, { by: 'ben', text: '' });
      world.failNext('findLeftovers', 1);
      world.release('findLeftovers');
      const { looks, lessons, refused } = await eventually(handle, gateOpen('retire-source'));
      expect(looks?.length).toBeGreaterThanOrEqual(1);
      expect(looks?.length).toBeLessThanOrEqual(2);
      for (const { found, failure } of looks ?? [])
        expect(failure ?? found.join()).toMatch(/made to fail|replication slot cutover_0_a on the source/);
      expect(lessons).toEqual([
        { at: expect.any(String) as string, by: 'ben', text: 'build the index on events first' },
      ]);
      expect(refused[0]?.why).toContain('text is empty');
      await approve(handle, 'retire-source');
      await handle.result();
      const report = await handle.query(reportQuery);
      expect(report).toMatch(/### Lessons learned\s+- .*, ben: build the index on events first/);
      expect(report).toContain('looked for leftovers');
    }));
});

const dropped = { archive: true, drop: true } as const;
const tries = ({ calls }: FakeWorld) => calls.filter((name) => name === 'dropSourceDatabase').length;

describe('retiring by plan', () => {
  it('backs the target up, archives, drops only for the words of the gate, then runs the command', () =>
    server.withWorker(async ({ start, world }) => {
      world.hold('runRetireCommand');
      const handle = await start({
        gates,
        afterwards: { targetBackup: { kind: 'pg_dump' } },
        retire: { archive: true, drop: true, command: ['stop-instance'] },
      });
      await eventually(handle, gateOpen('retire-source'));
      expect(world.inputs.get('takeSnapshot')).toMatchObject({ side: 'target', name: 'orders-to-18-target' });
      await approve(handle, 'retire-source');
      const asked = await eventually(handle, gateOpen('drop-source'));
      expect(asked.gates.at(-1)).toMatchObject({ words: 'drop orders' });
      expect(asked.gates.at(-1)?.evidence.join('\n')).toContain('it was verified by list+checksum');
      expect(world.inputs.get('takeSnapshot')).toMatchObject({ side: 'source', name: 'orders-to-18-last' });
      await approve(handle, 'drop-source', 'yes');
      const { refused } = await eventually(handle, (status) => status.refused.length === 1);
      expect(refused[0]?.why).toContain('give a reason that holds the words "drop orders"');
      expect(world.calls).not.toContain('dropSourceDatabase');
      await approve(handle, 'drop-source', 'drop orders, ticket 12');
      await eventually(handle, () => world.calls.includes('runRetireCommand'));
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'too late' });
      await eventually(handle, (status) => status.refused.at(-1)?.why.includes('nothing to go back to') === true);
      world.release('runRetireCommand');
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      expect(world.inputs.get('findLeftovers')).toMatchObject({ retired: 'dropped' });
      expect(world.inputs.get('dropSourceDatabase')).toMatchObject({ database: 'orders' });
      const report = await handle.query(reportQuery);
      expect(report).toMatch(/Validate backup of target system \| ✔ verified/);
    }));

  it('a hold that comes while the drop waits to be tried again is waited for, however often somebody says retry', () =>
    server.withWorker(async ({ start, world }) => {
      world.failNext('dropSourceDatabase');
      const handle = await start({ gates: { ...gates, 'retire-source': 'auto' }, retire: dropped });
      await eventually(handle, gateOpen('drop-source'));
      await approve(handle, 'drop-source', 'drop orders');
      expect((await eventually(handle, phaseIs('blocked'))).blocked).toMatchObject({ step: 'drop-source' });
      await handle.signal(holdSignal, { by: 'ben', reason: 'incident 4711' });
      await handle.signal(retrySignal, { by: 'anna' });
      await eventually(handle, phaseIs('held'));
      expect(tries(world)).toBe(1);
      await handle.signal(releaseSignal, { by: 'ben' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      expect(tries(world)).toBe(2);
    }));

  it('the drop is never tried again by itself; one that did not begin leaves the way back open', () =>
    server.withWorker(async ({ start, world }) => {
      world.failNext('dropSourceDatabase', 1, 'TargetUnavailable');
      const handle = await start({ gates: { ...gates, 'retire-source': 'auto' }, retire: dropped });
      await eventually(handle, gateOpen('drop-source'));
      await approve(handle, 'drop-source', 'drop orders');
      await eventually(handle, phaseIs('blocked'));
      expect(tries(world)).toBe(1);
      // The target is away: what was kept is needed now.
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'the target is gone' });
      const { loss } = await eventually(handle, (status) => status.loss !== undefined);
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'the target is gone', words: loss!.words });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(tries(world)).toBe(1);
    }));

  it('drops nothing before the backup of the target that the plan asks for is verified', () =>
    server.withWorker(async ({ start, world }) => {
      const handle = await start({
        gates: { start: 'auto', cutover: 'auto' },
        afterwards: { targetBackup: { kind: 'pg_dump' } },
        retire: dropped,
      });
      await eventually(handle, gateOpen('accept'));
      world.failNext('verifySnapshot');
      await approve(handle, 'accept');
      await eventually(handle, phaseIs('blocked'));
      await handle.signal(skipSignal, { step: 'verify-target-backup', by: 'anna', reason: 'no scratch server' });
      const asked = await eventually(handle, gateOpen('retire-source'));
      expect(asked.gates.at(-1)?.evidence).toContain('the first backup of the target was left out, or is not verified');
      await approve(handle, 'retire-source');
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      expect(tries(world)).toBe(0);
      expect(await handle.query(reportQuery)).toContain('nothing is dropped before that');
    }));

  it('drops nothing, and runs no command, when the second question is answered by no', () =>
    server.withWorker(async ({ start, world }) => {
      const handle = await start({
        gates: { ...gates, 'retire-source': 'auto' },
        retire: { archive: true, drop: true, command: ['stop-instance'] },
      });
      await eventually(handle, gateOpen('drop-source'));
      await handle.signal(rejectSignal, { gate: 'drop-source', by: 'ben' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      expect(world.calls).not.toContain('dropSourceDatabase');
      expect(world.calls).not.toContain('runRetireCommand');
    }));
});

it('after a breach people are asked at once, with the figures of every trigger', () =>
  server.withWorker(async ({ start, world }) => {
    world.answerWith('watchTarget', {
      samples: 40,
      errors: 1,
      errorRatePercent: 2.5,
      breaches: ['the Prometheus query gave 7.1, more than 5'],
      endedBy: 'breach',
      triggers: [{ name: 'prometheus', looks: 4, bad: 2, unknown: 1, last: 'it gave 7.1', breached: true }],
    });
    const handle = await start({
      gates: { start: 'auto', cutover: 'auto' },
      monitor: '1h',
      rollbackTriggers: { prometheus: { url: 'http://127.0.0.1:1', query: 'errors', maxValue: 5 } },
    });
    const { gates: all } = await eventually(handle, gateOpen('continue-after-breach'));
    expect(all.at(-1)?.evidence).toEqual([
      'the Prometheus query gave 7.1, more than 5',
      'all in all 1 errors in 40 samples, 2.5 %',
      'Prometheus: 4 looks, 2 bad, 1 could not be made; last: it gave 7.1',
      expect.stringContaining('going back loses'),
    ]);
    expect(await handle.query(reportQuery)).toMatch(/2 of 4 looks, 1 could not be made/);
  }));
