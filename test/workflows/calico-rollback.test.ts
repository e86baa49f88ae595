// Going back from a Calico migration: the exact undos of every step before the point of no return, and the procedure after it.
import type { MigrationActivities } from '../../activities';
import {
  approveSignal,
  pauseSignal,
  rejectSignal,
  resumeSignal,
  retrySignal,
  rollbackSignal,
  skipSignal,
} from '../../workflows/messages';
import { gateOpen, phaseIs, startWorkflowServer, until, type WorkflowServer } from '../fixtures/workflow-rig';

let server: WorkflowServer;
beforeAll(async () => {
  server = await startWorkflowServer();
}, 300_000);
afterAll(() => server.stop());

/** Looks that change nothing. */
const looks = ['etcdLockState', 'findKubernetesLeftovers', 'writeReport'];
const withoutLooks = (calls: string[]): string[] => calls.filter((name) => !looks.includes(name));

const undoSwitch = ['undoManifest', 'waitForRollout'];
const undoImport = ['restoreNodeAnnotations', 'removeImported', 'removeCrds', 'unlockEtcd'];
const undoAll = [...undoSwitch, ...undoImport];

/** In the order of the forward path; each with the undos that a rollback after its failure must run, in order. */
const failures: [step: keyof MigrationActivities, undos: string[]][] = [
  ['readManifests', []],
  ['preflightCalico', []],
  ['takeEtcdSnapshot', []],
  ['verifyEtcdSnapshot', []],
  ['lockEtcd', ['unlockEtcd']],
  ['exportCalico', ['unlockEtcd']],
  ['inspectKubernetes', ['unlockEtcd']],
  ['ensureCrds', ['removeCrds', 'unlockEtcd']],
  ['lockKubernetes', undoImport.slice(1)],
  ['importCalico', undoImport.slice(1)],
  ['annotateNodes', undoImport],
  ['compareImported', undoImport],
  ['listEachKind', undoImport],
  ['checkIpam', undoImport],
  ['recordManifestState', undoImport],
  ['applyManifest', undoAll],
  ['waitForRollout', undoAll],
  ['findEtcdDrift', undoAll],
];

describe('a step that fails for good', () => {
  it.each(failures)('%s: blocks, and a rollback undoes what was begun, newest first', (step, undos) =>
    server.withWorker(async ({ startCalico, world }) => {
      world.failNext(step);
      const handle = await startCalico({ gates: 'auto' });
      const status = await until(handle, phaseIs('blocked'));
      expect(status.blocked?.failure).toContain(`${step} was made to fail`);
      const before = world.calls.length;
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'that is enough' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(withoutLooks(world.calls.slice(before))).toEqual(undos);
    }),
  );

  it('goes on after a retry, and counts it', () =>
    server.withWorker(async ({ startCalico, world }) => {
      world.failNext('importCalico', 1, 'TargetConflict');
      const handle = await startCalico({ gates: 'auto' });
      await until(handle, phaseIs('blocked'));
      await handle.signal(retrySignal, { by: 'anna' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      const { steps } = await until(handle, () => true);
      expect(steps.find(({ id }) => id === 'import')).toMatchObject({ state: 'done', retries: 1 });
    }));
});

describe('a gate that is rejected', () => {
  it.each([
    ['start', []],
    ['cutover', undoImport],
    ['unlock', undoAll],
  ])('%s: undoes exactly what was done', (gate, undos) =>
    server.withWorker(async ({ startCalico, world }) => {
      const auto = { start: 'auto', cutover: 'auto' } as const;
      const handle = await startCalico({ gates: { ...auto, [gate]: {} } });
      await until(handle, gateOpen(gate));
      const before = world.calls.length;
      await handle.signal(rejectSignal, { gate, by: 'ben', reason: 'month end' });
      expect(await handle.result()).toMatchObject({ outcome: 'rejected' });
      expect(withoutLooks(world.calls.slice(before))).toEqual(undos);
      expect((await until(handle, () => true)).reason).toBe(`gate ${gate} was rejected by ben: month end`);
    }),
  );

  it('unlock past its time limit: the same', () =>
    server.withWorker(async ({ startCalico, world }) => {
      const handle = await startCalico({
        gates: { start: 'auto', cutover: 'auto', unlock: { timeout: '200ms' } },
      });
      expect(await handle.result()).toMatchObject({ outcome: 'rejected' });
      expect(world.calls).not.toContain('unlockKubernetes');
      expect(withoutLooks(world.calls).slice(-undoAll.length)).toEqual(undoAll);
    }));
});

describe('the undo', () => {
  it('waits until the import has really stopped', () =>
    server.withWorker(async ({ startCalico, world }) => {
      world.hold('importCalico', 700);
      const handle = await startCalico({ gates: 'auto' });
      await until(handle, () => world.calls.includes('importCalico'));
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'changed my mind' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(world.calls.indexOf('importCalico~')).toBeLessThan(world.calls.indexOf('removeImported'));
    }));

  it('takes back only the CRDs that the cluster did not have', () =>
    server.withWorker(async ({ startCalico, world }) => {
      const handle = await startCalico({ gates: { start: 'auto' } });
      await until(handle, gateOpen('cutover'));
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'no' });
      await handle.result();
      expect(world.inputs.get('removeCrds')).toMatchObject({ crds: ['ippools.crd.projectcalico.org'] });
      expect(world.inputs.get('findKubernetesLeftovers')).toMatchObject({ crds: ['ippools.crd.projectcalico.org'] });
    }));

  it('gives etcd the state of before, also when that was locked', () =>
    server.withWorker(async ({ startCalico, world }) => {
      world.answerWith('etcdLockState', { state: 'locked', revision: '7' });
      const handle = await startCalico({ gates: { start: 'auto' } });
      await until(handle, gateOpen('cutover'));
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'no' });
      await handle.result();
      expect(world.inputs.get('unlockEtcd')).toMatchObject({ to: 'locked' });
    }));

  it('of the import that fails keeps etcd locked for nobody: only the CRDs wait, and it is tried until it works', () =>
    server.withWorker(async ({ startCalico, world }) => {
      world.failNext('removeImported');
      const handle = await startCalico({ gates: { start: 'auto' } });
      await until(handle, gateOpen('cutover'));
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'no' });
      await until(handle, ({ blocked }) => blocked?.step === 'undo-lock-target');
      expect(world.calls).toContain('unlockEtcd');
      expect(world.calls).not.toContain('removeCrds');
      await handle.signal(retrySignal, { by: 'anna' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(world.calls).toContain('removeCrds');
    }));

  it('of the switch that fails keeps both datastores as they are; given up, the migration fails and says what is left', () =>
    server.withWorker(async ({ startCalico, world }) => {
      world.failNext('undoManifest', 100);
      const handle = await startCalico({ gates: { start: 'auto', cutover: 'auto' } });
      await until(handle, gateOpen('unlock'));
      const before = world.calls.length;
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'no' });
      await until(handle, ({ blocked }) => blocked?.step === 'undo-apply-manifest');
      expect(world.calls.slice(before)).toEqual(['undoManifest', 'undoManifest!']);
      await handle.signal(skipSignal, { step: 'undo-apply-manifest', by: 'anna', reason: 'applied by hand' });
      await expect(handle.result()).rejects.toMatchObject({
        cause: { type: 'NotUndone', message: expect.stringContaining('Configure Calico for etcd again') as string },
      });
      expect(withoutLooks(world.calls.slice(before + 2))).toEqual(['waitForRollout', ...undoImport]);
    }));

  it('by hand waits for the people before anything is taken away', () =>
    server.withWorker(async ({ startCalico, world }) => {
      const handle = await startCalico({ manifests: undefined, gates: { start: 'auto', cutover: 'auto' } });
      await until(handle, gateOpen('apply-manifest'));
      await handle.signal(approveSignal, { gate: 'apply-manifest', by: 'anna' });
      await until(handle, gateOpen('unlock'));
      await handle.signal(rejectSignal, { gate: 'unlock', by: 'anna' });
      const again = await until(handle, gateOpen('apply-manifest'));
      expect(again.gates.at(-1)?.evidence[0]).toContain('apply the one for etcd again');
      expect(world.calls).not.toContain('unlockEtcd');
      await handle.signal(approveSignal, { gate: 'apply-manifest', by: 'anna' });
      expect(await handle.result()).toMatchObject({ outcome: 'rejected' });
      expect(withoutLooks(world.calls).slice(-4)).toEqual(undoImport);
    }));
});

describe('cancellation', () => {
  it.each([
    ['preflightCalico', []],
    ['takeEtcdSnapshot', []],
    ['lockEtcd', ['unlockEtcd']],
    ['exportCalico', ['unlockEtcd']],
    ['importCalico', undoImport.slice(1)],
    ['compareImported', undoImport],
    ['applyManifest', undoAll],
    ['findEtcdDrift', undoAll],
  ] as const)('during %s rolls back, then the workflow is Canceled', (step, undos) =>
    server.withWorker(async ({ startCalico, world }) => {
      world.hold(step);
      const handle = await startCalico({ gates: 'auto' });
      await until(handle, () => world.calls.includes(step));
      await handle.cancel();
      await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
      expect((await handle.describe()).status.name).toBe('CANCELLED');
      expect(withoutLooks(world.calls.slice(world.calls.indexOf(`${step}~`) + 1))).toEqual(undos);
      expect(world.calls.at(-1)).toBe('writeReport');
    }),
  );

  it('during the unlock finishes it: who cancels must not leave both datastores locked', () =>
    server.withWorker(async ({ startCalico, world }) => {
      world.hold('unlockKubernetes');
      const handle = await startCalico({ gates: 'auto' });
      await until(handle, () => world.calls.includes('unlockKubernetes'));
      await handle.cancel();
      await until(handle, () => world.calls.includes('unlockKubernetes~'));
      world.release('unlockKubernetes');
      await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
      expect(world.calls.filter((name) => name === 'unlockKubernetes')).toHaveLength(2);
      expect(world.calls).not.toContain('removeImported');
      expect((await until(handle, () => true)).downtime?.durationMs).toBeGreaterThan(0);
    }));

  it('while it is watched keeps the cluster on its new datastore', () =>
    server.withWorker(async ({ startCalico, world }) => {
      world.hold('watchCalico');
      const handle = await startCalico({ gates: 'auto' });
      await until(handle, phaseIs('monitor'));
      await until(handle, () => world.calls.includes('watchCalico'));
      await handle.cancel();
      await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
      for (const name of undoAll.filter((undo) => undo !== 'waitForRollout')) expect(world.calls).not.toContain(name);
    }));
});

describe('the time under the lock', () => {
  it('that is over undoes everything, with no second try by itself', () =>
    server.withWorker(async ({ startCalico, world }) => {
      world.hold('importCalico');
      const handle = await startCalico({ gates: 'auto', maxLocked: '15s' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      const { reason } = await until(handle, () => true);
      expect(reason).toContain('under the lock have passed before the unlock was reached');
      expect(world.calls.filter((name) => name === 'lockEtcd')).toHaveLength(1);
      expect(withoutLooks(world.calls).slice(-4)).toEqual(['importCalico~', ...undoImport.slice(1)]);
    }));

  it('runs on while a gate is open', () =>
    server.withWorker(async ({ startCalico, world }) => {
      const handle = await startCalico({ gates: { start: 'auto' }, maxLocked: '15s' });
      await until(handle, gateOpen('cutover'));
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(withoutLooks(world.calls).slice(-4)).toEqual(undoImport);
      expect((await until(handle, () => true)).gates.at(-1)).toMatchObject({ name: 'cutover', state: 'withdrawn' });
    }));
});

describe('a pause', () => {
  it('that comes in the last moment is waited for before the point of no return, and etcd is looked at once more', () =>
    server.withWorker(async ({ startCalico, world }) => {
      const handle = await startCalico({
        gates: { start: 'auto', cutover: 'auto', accept: 'auto', 'retire-source': 'auto' },
      });
      await until(handle, gateOpen('unlock'));
      world.hold('findEtcdDrift');
      const before = world.calls.length;
      await handle.signal(approveSignal, { gate: 'unlock', by: 'anna' });
      await until(handle, () => world.calls.slice(before).includes('findEtcdDrift'));
      await handle.signal(pauseSignal, { by: 'ben' });
      world.release('findEtcdDrift');
      const status = await until(
        handle,
        ({ steps }) => steps.at(-1)?.id === 'drift-again' && steps.at(-1)?.state === 'done',
      );
      expect(status).toMatchObject({ paused: { by: 'ben' } });
      expect(status.pointOfNoReturnAt).toBeUndefined();
      await handle.signal(resumeSignal, { by: 'ben' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      const sinceGate = withoutLooks(world.calls.slice(before));
      expect(sinceGate.slice(0, 3)).toEqual(['findEtcdDrift', 'findEtcdDrift', 'unlockKubernetes']);
    }));

  it('in the last moment does not stop the clock of the lock', () =>
    server.withWorker(async ({ startCalico, world }) => {
      const handle = await startCalico({ gates: { start: 'auto', cutover: 'auto' }, maxLocked: '20s' });
      await until(handle, gateOpen('unlock'));
      const before = world.calls.length;
      world.hold('findEtcdDrift');
      await handle.signal(approveSignal, { gate: 'unlock', by: 'anna' });
      await until(handle, () => world.calls.slice(before).includes('findEtcdDrift'));
      await handle.signal(pauseSignal, { by: 'ben' });
      world.release('findEtcdDrift');
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(world.calls).not.toContain('unlockKubernetes');
      expect(withoutLooks(world.calls).slice(-undoAll.length)).toEqual(undoAll);
    }));

  it.each(['importCalico', 'unlockKubernetes'] as const)(
    'does not hold up who cancels during %s: nobody has to resume for the cluster to be unlocked',
    (step) =>
      server.withWorker(async ({ startCalico, world }) => {
        world.hold(step);
        const handle = await startCalico({ gates: 'auto' });
        await until(handle, () => world.calls.includes(step));
        await handle.signal(pauseSignal, { by: 'ben' });
        await until(handle, ({ paused }) => paused !== undefined);
        await handle.cancel();
        await until(handle, () => world.calls.includes(`${step}~`));
        world.release(step);
        await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
        expect((await until(handle, () => true)).paused).toBeUndefined();
        expect(world.calls).toContain(step === 'importCalico' ? 'unlockEtcd' : 'unlockKubernetes');
      }),
  );

  it('before the lock and a rollback then: nothing was ever locked', () =>
    server.withWorker(async ({ startCalico, world }) => {
      world.hold('etcdLockState');
      const handle = await startCalico({ gates: 'auto' });
      await until(handle, () => world.calls.includes('etcdLockState'));
      await handle.signal(pauseSignal, { by: 'ben' });
      world.release('etcdLockState');
      await until(handle, ({ steps }) => steps.at(-1)?.id === 'lock-state' && steps.at(-1)?.state === 'done');
      await handle.signal(rollbackSignal, { by: 'ben', reason: 'not tonight' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect((await until(handle, () => true)).downtime).toBeUndefined();
    }));
});

describe('a write to etcd in spite of the lock', () => {
  const drift = {
    harmless: 3,
    changes: [{ key: '/calico/ipam/v2/handle/x', change: 'added' as const }],
    total: 1,
    revision: '140',
  };
  const none = { harmless: 3, changes: [], total: 0, revision: '141' };

  it('blocks before the unlock gate, names the key, and a retry looks again', () =>
    server.withWorker(async ({ startCalico, world }) => {
      world.answerWith('findEtcdDrift', drift);
      const handle = await startCalico({ gates: { start: 'auto', cutover: 'auto' } });
      const status = await until(handle, phaseIs('blocked'));
      expect(status.blocked).toMatchObject({ step: 'drift', skippable: false });
      expect(status.blocked?.failure).toContain('/calico/ipam/v2/handle/x added');
      world.answerWith('findEtcdDrift', none);
      await handle.signal(retrySignal, { by: 'anna' });
      await until(handle, gateOpen('unlock'));
    }));

  it('while the unlock gate was open is found as well, and a rollback undoes everything', () =>
    server.withWorker(async ({ startCalico, world }) => {
      const handle = await startCalico({ gates: { start: 'auto', cutover: 'auto' } });
      await until(handle, gateOpen('unlock'));
      world.answerWith('findEtcdDrift', drift);
      await handle.signal(approveSignal, { gate: 'unlock', by: 'anna' });
      await until(handle, ({ blocked }) => blocked?.step === 'drift-again');
      expect(world.calls).not.toContain('unlockKubernetes');
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'who writes?' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(withoutLooks(world.calls).slice(-undoAll.length)).toEqual(undoAll);
    }));
});

describe('after the point of no return', () => {
  const back = ['lockKubernetes', 'measureDivergence', ...undoAll];

  it('an unlock that fails blocks; a rollback is refused with its reason, and a retry goes on', () =>
    server.withWorker(async ({ startCalico, world }) => {
      world.failNext('unlockKubernetes');
      const handle = await startCalico({ gates: 'auto' });
      const status = await until(handle, ({ blocked }) => blocked?.step === 'unlock');
      expect(status.pointOfNoReturnAt).toBeDefined();
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'it failed' });
      const { refused } = await until(handle, ({ refused: all }) => all.length > 0);
      expect(refused[0]?.why).toContain('"words": "lose 12 changes"');
      expect(refused[0]?.why).toContain('IPAMBlock 10-0-0-0-26');
      await handle.signal(retrySignal, { by: 'anna' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
    }));

  it('an unlock that fails is tried again without anybody, and says so: an outage of the night ends with the outage', () =>
    server.withWorker(async ({ startCalico, world }) => {
      world.failNext('unlockKubernetes');
      const handle = await startCalico({ gates: 'auto' });
      const { blocked } = await until(handle, ({ blocked: at }) => at?.step === 'unlock');
      expect(blocked?.failure).toContain('(tried again by itself after 1 min)');
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      expect(world.calls.filter((name) => name === 'unlockKubernetes')).toHaveLength(2);
    }));

  it.each(['unlock', 'monitor'])('at %s the words that accept the loss go back, in the order of the document', (at) =>
    server.withWorker(async ({ startCalico, world }) => {
      if (at === 'unlock') world.failNext('unlockKubernetes');
      else world.hold('watchCalico');
      const handle = await startCalico({ gates: 'auto' });
      await until(handle, ({ blocked, phase }) => blocked?.step === at || phase === at);
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'pods fail' });
      await until(handle, ({ loss }) => loss !== undefined);
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'pods fail', words: 'lose 13 changes' });
      await until(handle, ({ refused }) => refused.length > 1);
      expect(world.calls).not.toContain('removeImported');
      const before = world.calls.length;
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'pods fail', words: 'lose 12 changes' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(withoutLooks(world.calls.slice(before)).filter((name) => !name.endsWith('~'))).toEqual(back);
      expect(world.inputs.get('removeImported')).toMatchObject({ alsoNew: true });
      expect(world.inputs.get('lockKubernetes')).not.toHaveProperty('file');
      const { downtime, steps } = await until(handle, () => true);
      expect(downtime?.endedAt).toBeDefined();
      // Where the unlock never worked, the cluster was locked all the time.
      const since = steps.find(({ id }) => id === (at === 'unlock' ? 'lock-source' : 'back-lock-target'))?.startedAt;
      expect(Date.parse(downtime?.startedAt ?? '') - Date.parse(since ?? '')).toBeLessThan(100);
    }),
  );

  it('words that were still being looked at when the migration ended do not send it back', () =>
    server.withWorker(async ({ startCalico, world }) => {
      world.hold('watchCalico');
      const handle = await startCalico({ gates: { start: 'auto', cutover: 'auto', unlock: 'auto', accept: 'auto' } });
      await until(handle, phaseIs('monitor'));
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'no' });
      await until(handle, ({ loss }) => loss !== undefined);
      world.release('watchCalico');
      await until(handle, gateOpen('retire-source'));
      world.hold('measureDivergence');
      world.hold('findKubernetesLeftovers');
      const held = world.hold('etcdLockState');
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'no' });
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'no', words: 'lose 12 changes' });
      const looked = world.calls.filter((name) => name === 'etcdLockState').length;
      await handle.signal(approveSignal, { gate: 'retire-source', by: 'ben' });
      await until(handle, () => world.calls.filter((name) => name === 'etcdLockState').length > looked);
      world.release('measureDivergence');
      const { refused } = await until(handle, (status) => status.refused.length > 2);
      expect(refused.at(-1)?.why).toContain('ending already');
      held.release();
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      expect(world.calls).not.toContain('removeImported');
    }));

  it('words of figures that nobody has measured are refused with the figures', () =>
    server.withWorker(async ({ startCalico, world }) => {
      world.hold('watchCalico');
      const handle = await startCalico({ gates: 'auto' });
      await until(handle, phaseIs('monitor'));
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'no', words: 'lose 12 changes' });
      const { refused } = await until(handle, (status) => status.refused.length > 0);
      expect(refused[0]?.why).toContain('not those of a measurement of the last ten minutes');
    }));

  it('a cleaning that fails may be given up so that etcd is unlocked, and the migration then says so', () =>
    server.withWorker(async ({ startCalico, world }) => {
      world.hold('watchCalico');
      const handle = await startCalico({ gates: 'auto' });
      await until(handle, phaseIs('monitor'));
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'no' });
      await until(handle, ({ loss }) => loss !== undefined);
      world.failNext('removeCrds', 100);
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'no', words: 'lose 12 changes' });
      await until(handle, ({ blocked }) => blocked?.step === 'back-crds');
      expect(world.calls).not.toContain('unlockEtcd');
      await handle.signal(skipSignal, { step: 'back-crds', by: 'anna', reason: 'by hand' });
      await expect(handle.result()).rejects.toMatchObject({
        cause: { type: 'NotUndone', message: expect.stringContaining('Remove the CRDs') as string },
      });
      expect(world.calls).toContain('unlockEtcd');
    }));
});
