// The watch after the unlock: quiet while all is well, and loud about a component that still writes to etcd.
import { MockActivityEnvironment } from '@temporalio/testing';
import { createEtcdActivities, type EtcdSnapshot } from '../../../activities/calico/etcd';
import { createWatchActivities } from '../../../activities/calico/switch/watch';
import type { WatchCalicoRequest } from '../../../activities/calico/switch';
import { startRolloutStandIn, type RolloutStandIn } from '../../../examples/calico/rollout-stand-in';
import { SwitchRig } from '../../fixtures/switch-rig';
import { until } from '../../fixtures/until';

const clusterInformation = '/apis/crd.projectcalico.org/v1/clusterinformations/default';
const policy = '/calico/resources/v3/projectcalico.org/globalnetworkpolicies/default.late';
const merge = 'application/merge-patch+json';

let rig: SwitchRig;
let controllers: RolloutStandIn;
let snapshot: EtcdSnapshot;
let pair: Awaited<ReturnType<SwitchRig['manifests']>>;

beforeAll(async () => {
  rig = await SwitchRig.start();
  controllers = startRolloutStandIn(rig.cluster, { nodes: 3, stepMs: 50 });
  const { scope } = rig;
  const etcd = createEtcdActivities(rig.dependencies);
  await etcd.lockEtcd({ scope });
  snapshot = await etcd.takeEtcdSnapshot({ scope, name: 'pinned' });
  pair = await rig.manifests();
  const manifest = pair.kubernetes.artifact;
  const { former } = await rig.activities.recordManifestState({ scope, manifests: [manifest] });
  await rig.activities.applyManifest({ scope, manifest, former });
  await rig.cluster.change('POST', '/apis/crd.projectcalico.org/v1/clusterinformations', {
    apiVersion: 'crd.projectcalico.org/v1',
    kind: 'ClusterInformation',
    metadata: { name: 'default' },
    spec: { datastoreReady: true },
  });
  await rig.activities.waitForRollout({ scope, manifest, timeoutMs: 60_000, expect: 'kubernetes' });
});
afterAll(async () => {
  await controllers.stop();
  await rig.stop();
});

const request = (forMs: number, more: Partial<WatchCalicoRequest> = {}): WatchCalicoRequest => ({
  scope: rig.scope,
  snapshot,
  manifest: pair.kubernetes.artifact,
  startedIso: new Date().toISOString(),
  untilIso: new Date(Date.now() + forMs).toISOString(),
  intervalMs: 50,
  ...more,
});
const watch = (wanted: WatchCalicoRequest) => rig.activities.watchCalico(wanted);
const setReady = (datastoreReady: boolean) =>
  rig.cluster.change('PATCH', clusterInformation, { spec: { datastoreReady } }, merge);

describe('the watch', () => {
  it('finds nothing where all is well, and does not mind what Calico reports to etcd', async () => {
    await rig.etcd.put('/calico/felix/v2/no-region/host/node-1/status').value('{"n":1}');
    const seen = await watch(request(2_000));
    expect(seen).toMatchObject({ errors: 0, errorRatePercent: 0, breaches: [] });
    // Both locks and both workloads, more than once.
    expect(seen.samples).toBeGreaterThanOrEqual(8);
    expect(seen.samples % 4).toBe(0);
  });

  it('goes without workloads where people apply the manifests', async () => {
    const { samples } = await watch(request(0, { manifest: undefined }));
    expect(samples).toBe(2);
  });

  it('ends at once when somebody writes to etcd, and lets it pass once people have', async () => {
    const watching = watch(request(600_000));
    await rig.etcd.put(policy).value('{}');
    const { breaches } = await watching;
    expect(breaches).toEqual([
      `somebody writes to etcd: 1 of Calico's keys changed since the snapshot (added ${policy})`,
    ]);
    expect(await watch(request(0, { accepted: breaches }))).toMatchObject({ errors: 0, breaches: [] });
    await rig.etcd.put(`${policy}r`).value('{}');
    expect((await watch(request(0, { accepted: breaches }))).breaches).toHaveLength(1);
    await rig.etcd.delete().prefix(policy);
  });

  it('ends at once when the target is locked, or etcd is not any more', async () => {
    await setReady(false);
    expect((await watch(request(600_000))).breaches).toEqual([expect.stringContaining('the target is locked again')]);
    await setReady(true);
    const etcd = createEtcdActivities(rig.dependencies);
    await etcd.unlockEtcd({ scope: rig.scope, to: 'ready' });
    expect((await watch(request(600_000))).breaches).toEqual([
      expect.stringContaining('etcd is ready, no longer locked'),
    ]);
    await etcd.lockEtcd({ scope: rig.scope });
  });

  it('ends at once when a component is put back to etcd', async () => {
    const { scope } = rig;
    const { former } = await rig.activities.recordManifestState({ scope, manifests: [pair.etcd.artifact] });
    await rig.activities.applyManifest({ scope, manifest: pair.etcd.artifact, former });
    const { breaches } = await watch(request(600_000));
    expect(breaches).toContainEqual(
      expect.stringMatching(/^DaemonSet kube-system\/calico-node is not set to kubernetes/),
    );
    await rig.activities.applyManifest({ scope, manifest: pair.kubernetes.artifact, former });
    await rig.activities.waitForRollout({
      scope,
      manifest: pair.kubernetes.artifact,
      timeoutMs: 60_000,
      expect: 'kubernetes',
    });
  });

  it('counts what does not answer, and asks people only when it lasts', async () => {
    rig.servers.etcd.kill();
    try {
      const patient = await createWatchActivities(rig.dependencies).watchCalico(request(0));
      expect(patient).toMatchObject({ errors: 1, breaches: [] });
      const { watchCalico } = createWatchActivities(rig.dependencies, { patienceMs: 0 });
      expect((await watchCalico(request(600_000))).breaches).toEqual([
        expect.stringMatching(/^etcd: .*, for \d+ s now$/),
      ]);
    } finally {
      await rig.servers.etcd.restart();
    }
  });

  it('goes on counting where the worker before it stopped', async () => {
    const first = new MockActivityEnvironment();
    const beats: { samples: number }[] = [];
    first.on('heartbeat', (state: { samples: number }) => beats.push(state));
    const watching = first.run(() => watch(request(600_000)));
    await until('some rounds were told', () => (beats.at(-1)?.samples ?? 0) >= 8);
    first.cancel();
    await expect(watching).rejects.toThrow();
    const last = beats.at(-1)!;
    const second = new MockActivityEnvironment({ heartbeatDetails: last });
    expect(await second.run(() => watch(request(0)))).toMatchObject({ samples: last.samples + 4, errors: 0 });
  });
});
