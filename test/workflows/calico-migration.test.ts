// The forward path of a Calico migration: order, gates, what people see, and what stops it before anything is locked.
import {
  approveSignal,
  pauseSignal,
  rejectSignal,
  resumeSignal,
  retrySignal,
  rollbackSignal,
  skipSignal,
  tuneSignal,
} from '../../workflows/messages';
import { calicoAnswers } from '../fixtures/fake-calico';
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

const approve = async (handle: MigrationHandle, ...gates: string[]): Promise<void> => {
  for (const gate of gates) {
    await until(handle, gateOpen(gate));
    await handle.signal(approveSignal, { gate, by: 'anna' });
  }
};
const gates = ['start', 'cutover', 'unlock', 'accept', 'retire-source'];

const beforeStart = ['identifyCalicoPlan', 'readManifests', 'preflightCalico'];
const underLock = [
  ...['takeEtcdSnapshot', 'verifyEtcdSnapshot'],
  ...['etcdLockState', 'lockEtcd', 'etcdLockState', 'takeEtcdSnapshot', 'exportCalico'],
  ...['inspectKubernetes', 'ensureCrds', 'lockKubernetes', 'importCalico', 'annotateNodes'],
  ...['compareImported', 'listEachKind', 'checkIpam'],
];
const switching = ['recordManifestState', 'applyManifest', 'waitForRollout', 'findEtcdDrift', 'compareImported'];
const afterUnlock = ['findEtcdDrift', 'unlockKubernetes', 'kubernetesLockState', 'waitForRollout', 'checkIpam'];
const atTheEnd = ['watchCalico', 'etcdLockState', 'writeReport'];

describe('a Calico migration', () => {
  it('approved gate by gate moves in the order of the document, and unlocks the cluster last', () =>
    server.withWorker(async ({ startCalico, world }) => {
      const handle = await startCalico();
      const seen: string[][] = [];
      for (const gate of gates) {
        await until(handle, gateOpen(gate));
        seen.push(world.calls.splice(0));
        await handle.signal(approveSignal, { gate, by: 'anna' });
      }
      expect(await handle.result()).toMatchObject({
        outcome: 'completed',
        reportArtifact: 'file:///nowhere/report.html',
        rows: '9',
        differences: 0,
      });
      expect(seen).toEqual([beforeStart, underLock, switching, [...afterUnlock, 'watchCalico'], []]);
      expect(world.calls).toEqual(['etcdLockState', 'writeReport']);
      const status = await until(handle, () => true);
      expect(status.gates.map(({ name, state }) => `${name} ${state}`)).toEqual(
        gates.map((name) => `${name} approved`),
      );
    }));

  it('with "auto" gates passes by itself', () =>
    server.withWorker(async ({ startCalico, world }) => {
      const handle = await startCalico({ gates: 'auto' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      expect(world.calls).toEqual([...beforeStart, ...underLock, ...switching, ...afterUnlock, ...atTheEnd]);
    }));

  it('counts as downtime what the cluster feels: from the lock of etcd to the unlock of the cluster', () =>
    server.withWorker(async ({ startCalico }) => {
      const handle = await startCalico({ gates: 'auto' });
      const result = await handle.result();
      const { downtime, steps } = await until(handle, () => true);
      const step = (id: string) => steps.find((record) => record.id === id)!;
      expect(Date.parse(downtime!.startedAt)).toBeLessThanOrEqual(Date.parse(step('lock-source').startedAt));
      expect(Date.parse(downtime!.endedAt!)).toBeGreaterThanOrEqual(Date.parse(step('unlock').endedAt!));
      expect(Date.parse(downtime!.endedAt!)).toBeLessThanOrEqual(Date.parse(step('smoke-lock').startedAt));
      expect(result.downtimeMs).toBe(downtime!.durationMs);
    }));

  it('hands over one pinned revision, one file and the encoding that preflight decided', () =>
    server.withWorker(async ({ startCalico, world }) => {
      world.answerWith('takeEtcdSnapshot', {
        artifact: { url: 'file:///nowhere/pinned', sha256: 'f'.repeat(64), bytes: 1, name: 'etcd-locked.jsonl' },
        revision: '777',
        keys: 14,
        bytes: 1,
        leased: 0,
      });
      const handle = await startCalico({ gates: 'auto', existing: 'replace', writers: 3, maxWritesPerSecond: 7 });
      await handle.result();
      expect(world.inputs.get('exportCalico')).toMatchObject({
        revision: '777',
        snapshot: { url: 'file:///nowhere/pinned' },
      });
      expect(world.inputs.get('findEtcdDrift')).toMatchObject({ snapshot: { revision: '777' } });
      expect(world.inputs.get('importCalico')).toMatchObject({
        file: { name: 'calico-export.yaml' },
        encoding: { policyNaming: 'prefixed', affinityLabels: false },
        existing: 'replace',
        writers: 3,
        maxWritesPerSecond: 7,
      });
      expect(world.inputs.get('ensureCrds')).toMatchObject({ manifest: { name: 'calico.yaml' } });
      expect(world.inputs.get('waitForRollout')).toMatchObject({ expect: 'kubernetes', timeoutMs: 1_800_000 });
    }));

  it('without manifests asks a person to apply them, both datastores locked meanwhile', () =>
    server.withWorker(async ({ startCalico, world }) => {
      const handle = await startCalico({ manifests: undefined });
      await approve(handle, 'start', 'cutover');
      const status = await until(handle, gateOpen('apply-manifest'));
      expect(status.gates.at(-1)?.evidence.join()).toContain('kubectl apply');
      expect(world.calls).not.toContain('unlockKubernetes');
      await approve(handle, 'apply-manifest', 'unlock', 'accept', 'retire-source');
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      for (const name of ['readManifests', 'applyManifest', 'waitForRollout']) expect(world.calls).not.toContain(name);
      expect(world.inputs.get('ensureCrds')).not.toHaveProperty('manifest');
    }));

  it('shows sums of keys and objects in status and details, and at the cutover gate', () =>
    server.withWorker(async ({ startCalico }) => {
      const handle = await startCalico();
      await approve(handle, 'start');
      const status = await until(handle, gateOpen('cutover'));
      expect(status.accounting?.kinds).toHaveLength(2);
      expect(status.imports?.[0]).toMatchObject({ kind: 'IPPool', wanted: 9, created: 9 });
      expect(status.gates.at(-1)?.evidence).toEqual(
        expect.arrayContaining(['etcd revision 101: 9 keys migrated, 3 made anew by Calico, 0 refused']),
      );
      const { currentDetails } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
      expect(currentDetails).toContain('12 keys at revision 101: 9 migrated, 3 made anew, 0 refused');
      expect(currentDetails).toContain('9 objects: 9 created, 0 equal already, 0 replaced, 0 conflicting');
    }));

  it('needs fewer than 350 events and a summary on each activity and timer, whatever it moves', () =>
    server.withWorker(async ({ startCalico }) => {
      const handle = await startCalico({ gates: 'auto' });
      await handle.result();
      const { events } = await handle.fetchHistory();
      expect(events!.length).toBeLessThan(350);
      const shown = events!.filter(
        (event) => event.activityTaskScheduledEventAttributes ?? event.timerStartedEventAttributes,
      );
      expect(shown.length).toBeGreaterThan(30);
      expect(shown.filter(({ userMetadata }) => !userMetadata?.summary?.data?.length)).toEqual([]);
    }));
});

describe('before anything is locked', () => {
  it('a failed check blocks, names itself, and a retry looks again', () =>
    server.withWorker(async ({ startCalico, world }) => {
      const good = calicoAnswers.preflightCalico;
      world.answerWith('preflightCalico', {
        ...good,
        checks: [
          { name: 'user-profiles', title: 'Profiles', outcome: 'fail', side: 'source', found: '2 profiles of users' },
        ],
      });
      const handle = await startCalico({ gates: 'auto' });
      const status = await until(handle, phaseIs('blocked'));
      expect(status.blocked?.failure).toContain('user-profiles (source): 2 profiles of users');
      expect(world.calls).toEqual(beforeStart);
      world.answerWith('preflightCalico', good);
      await handle.signal(retrySignal, { by: 'anna' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
    }));

  it('a backup that cannot be verified is taken again by the retry', () =>
    server.withWorker(async ({ startCalico, world }) => {
      world.failNext('verifyEtcdSnapshot');
      const handle = await startCalico({ gates: 'auto' });
      await until(handle, phaseIs('blocked'));
      await handle.signal(retrySignal, { by: 'anna' });
      await handle.result();
      const snapshots = world.calls.filter((name) => name === 'takeEtcdSnapshot' || name === 'verifyEtcdSnapshot');
      expect(snapshots).toEqual([
        ...['takeEtcdSnapshot', 'verifyEtcdSnapshot'],
        ...['takeEtcdSnapshot', 'verifyEtcdSnapshot', 'takeEtcdSnapshot'],
      ]);
    }));

  it('a plan that is wrong fails the workflow with every field, and starts nothing', () =>
    server.withWorker(async ({ startCalico, world }) => {
      const handle = await startCalico({ source: { endpoints: [] }, drain: 'a while' });
      const failed = await handle.result().catch((error: unknown) => error);
      expect(failed).toMatchObject({ cause: { type: 'InvalidPlan' } });
      const { message } = (failed as { cause: Error }).cause;
      expect(message).toContain('plan.drain: found "a while"');
      expect(message).toContain('plan.source.endpoints');
      expect(world.calls).toEqual([]);
    }));
});

describe('keys that the cluster cannot hold', () => {
  const refusing = { 'user-profile': 2 };

  it('stop the move when the checks before the lock did not see them', () =>
    server.withWorker(async ({ startCalico, world }) => {
      world.answerWith('exportCalico', { ...calicoAnswers.exportCalico, refusedByCategory: refusing });
      const handle = await startCalico({ gates: 'auto' });
      const status = await until(handle, phaseIs('blocked'));
      expect(status.blocked).toMatchObject({ step: 'export' });
      expect(status.blocked?.failure).toContain('2 of category user-profile');
      expect(world.calls).not.toContain('inspectKubernetes');
    }));

  it('that the checks saw and people accepted do not stop it again', () =>
    server.withWorker(async ({ startCalico, world }) => {
      const { checks, facts } = calicoAnswers.preflightCalico;
      world.answerWith('preflightCalico', { checks, facts: { ...facts, refused: refusing } });
      world.answerWith('exportCalico', { ...calicoAnswers.exportCalico, refusedByCategory: refusing });
      const handle = await startCalico({ gates: 'auto' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
    }));

  it('are only reported where the plan says so', () =>
    server.withWorker(async ({ startCalico, world }) => {
      world.answerWith('exportCalico', { ...calicoAnswers.exportCalico, refusedByCategory: refusing });
      const handle = await startCalico({ gates: 'auto', unmigratable: 'report' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
    }));
});

describe('messages', () => {
  it('tune is refused, and the refusal says what decides the speed', () =>
    server.withWorker(async ({ startCalico }) => {
      const handle = await startCalico();
      await until(handle, gateOpen('start'));
      await handle.signal(tuneSignal, { copyLanes: 4 });
      const { refused } = await until(handle, (status) => status.refused.length > 0);
      expect(refused[0]?.why).toContain('writers and their speed are those of the plan');
    }));

  it('a pause holds the next step, and resuming goes on', () =>
    server.withWorker(async ({ startCalico, world }) => {
      const handle = await startCalico();
      await until(handle, gateOpen('start'));
      await handle.signal(pauseSignal, { by: 'anna' });
      await approve(handle, 'start');
      await until(handle, ({ gate, paused }) => gate === 'none' && paused !== undefined);
      expect(world.calls).toEqual(beforeStart);
      await handle.signal(resumeSignal, { by: 'anna' });
      await until(handle, gateOpen('cutover'));
    }));

  it('a smoke test may be skipped, a comparison may not', () =>
    server.withWorker(async ({ startCalico, world }) => {
      world.failNext('listEachKind', 1, 'VerificationMismatch');
      const handle = await startCalico({ gates: 'auto' });
      await until(handle, phaseIs('blocked'));
      await handle.signal(skipSignal, { step: 'each-kind', by: 'anna', reason: 'hurry' });
      const { refused } = await until(handle, (status) => status.refused.length > 0);
      expect(refused[0]?.why).toContain('cannot be skipped');
      world.failNext('kubernetesLockState');
      await handle.signal(retrySignal, { by: 'anna' });
      await until(handle, ({ blocked }) => blocked?.step === 'smoke-lock');
      await handle.signal(skipSignal, { step: 'smoke-lock', by: 'anna', reason: 'seen by hand' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
    }));
});

describe('after the unlock', () => {
  it('a breach opens a gate with its words, and going on is a decision of people', () =>
    server.withWorker(async ({ startCalico, world }) => {
      const breaches = ['DaemonSet kube-system/calico-node: 1 of 3 not ready'];
      world.answerWith('watchCalico', { samples: 20, errors: 3, errorRatePercent: 15, breaches });
      const open = { start: 'auto', cutover: 'auto', unlock: 'auto', accept: 'auto', 'retire-source': 'auto' } as const;
      const handle = await startCalico({ gates: open });
      const status = await until(handle, gateOpen('continue-after-breach'));
      expect(status.gates.at(-1)?.evidence[0]).toBe(breaches[0]);
      await handle.signal(approveSignal, { gate: 'continue-after-breach', by: 'anna' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
    }));

  it('who does not accept has it watched again, and what people let pass is handed to that watch', () =>
    server.withWorker(async ({ startCalico, world }) => {
      const breaches = ['somebody writes to etcd: 1 key'];
      world.answerWith('watchCalico', { samples: 20, errors: 1, errorRatePercent: 5, breaches });
      const handle = await startCalico({ gates: { start: 'auto', cutover: 'auto', unlock: 'auto' } });
      await approve(handle, 'continue-after-breach');
      await until(handle, gateOpen('accept'));
      expect(world.inputs.get('watchCalico')).toMatchObject({ accepted: [] });
      await handle.signal(rejectSignal, { gate: 'accept', by: 'ben' });
      await until(handle, gateOpen('continue-after-breach'));
      expect(world.inputs.get('watchCalico')).toMatchObject({ accepted: breaches });
    }));

  it('etcd is kept locked whatever is said at retire-source, and etcd found open is reported as wrong', () =>
    server.withWorker(async ({ startCalico, world }) => {
      const handle = await startCalico({ gates: { start: 'auto', cutover: 'auto', unlock: 'auto', accept: 'auto' } });
      await until(handle, gateOpen('retire-source'));
      world.answerWith('etcdLockState', { state: 'ready', revision: '200' });
      await handle.signal(rejectSignal, { gate: 'retire-source', by: 'anna' });
      expect(await handle.result()).toMatchObject({ outcome: 'completed' });
      expect(world.calls).not.toContain('unlockEtcd');
      const { steps } = await until(handle, () => true);
      expect(steps.find(({ id }) => id === 'leftovers')?.result).toContain('LEFT BEHIND: lock etcd is ready');
    }));

  it('a rollback before the start gate is decided changes nothing at all', () =>
    server.withWorker(async ({ startCalico, world }) => {
      const handle = await startCalico();
      await until(handle, gateOpen('start'));
      await handle.signal(rollbackSignal, { by: 'anna', reason: 'not today' });
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(world.calls).toEqual([...beforeStart, 'writeReport']);
    }));
});
