// A rollout is complete when every pod runs the new template with the datastore expected, and not before; who lags is named.
import { MockActivityEnvironment } from '@temporalio/testing';
import type { JsonObject } from '../../../activities/calico/json';
import { lookAt } from '../../../activities/calico/switch/rollout';
import { startRolloutStandIn, type RolloutStandIn } from '../../../examples/calico/rollout-stand-in';
import { daemonSets, SwitchRig } from '../../fixtures/switch-rig';
import { until } from '../../fixtures/until';

let rig: SwitchRig;
let controllers: RolloutStandIn;
let pair: Awaited<ReturnType<SwitchRig['manifests']>>;
let former: Awaited<ReturnType<SwitchRig['activities']['recordManifestState']>>['former'];

beforeAll(async () => {
  rig = await SwitchRig.start();
  controllers = startRolloutStandIn(rig.cluster, { nodes: 3, stepMs: 50 });
  pair = await rig.manifests();
  const { scope } = rig;
  ({ former } = await rig.activities.recordManifestState({ scope, manifests: [pair.kubernetes.artifact] }));
});
afterAll(async () => {
  await controllers.stop();
  await rig.stop();
});

const wait = (expect: 'kubernetes' | 'etcd', timeoutMs: number) =>
  rig.activities.waitForRollout({ scope: rig.scope, manifest: pair[expect].artifact, timeoutMs, expect });
const apply = () => rig.activities.applyManifest({ scope: rig.scope, manifest: pair.kubernetes.artifact, former });

describe('waiting for a rollout', () => {
  it('sees Calico on etcd before the switch, and refuses at once to wait for a template that says another datastore', async () => {
    expect(await wait('etcd', 60_000)).toEqual({
      workloads: [
        { name: 'DaemonSet kube-system/calico-node', desired: 3, updated: 3, ready: 3 },
        { name: 'Deployment kube-system/calico-kube-controllers', desired: 1, updated: 1, ready: 1 },
      ],
    });
    await expect(wait('kubernetes', 60_000)).rejects.toThrow(
      /calico-node is not set to kubernetes: .*container calico-node says etcd.*also written by kubectl-client-side-apply/,
    );
  });

  it('goes on until every pod is of the new template, and tells how far it is', async () => {
    controllers.stall();
    await apply();
    const environment = new MockActivityEnvironment();
    const beats: unknown[] = [];
    environment.on('heartbeat', (details) => beats.push(details));
    const waiting = environment.run(() => wait('kubernetes', 60_000));
    await until('it tells who lags', () =>
      beats.some((beat) => JSON.stringify(beat).includes('the controller has not looked at it yet')),
    );
    controllers.resume();
    expect(await waiting).toMatchObject({
      workloads: [
        { updated: 3, ready: 3 },
        { updated: 1, ready: 1 },
      ],
    });
  });

  it('names who lags when the time is over, counted from the first attempt', async () => {
    controllers.stall();
    await rig.cluster.change(
      'PATCH',
      `${daemonSets}/calico-node`,
      { spec: { template: { metadata: { annotations: { anew: 'yes' } } } } },
      'application/merge-patch+json',
    );
    const startedAt = Date.now() - 3_600_000;
    const environment = new MockActivityEnvironment({ heartbeatDetails: { startedAt } });
    await expect(environment.run(() => wait('kubernetes', 1_800_000))).rejects.toThrow(
      /not complete after 1800 s: DaemonSet kube-system\/calico-node: the controller has not looked at it yet/,
    );
    controllers.resume();
    await wait('kubernetes', 60_000);
  });

  it('ends when the workflow gives it up', async () => {
    controllers.stall();
    await rig.cluster.change(
      'PATCH',
      `${daemonSets}/calico-node`,
      { spec: { template: { metadata: { annotations: { anew: 'again' } } } } },
      'application/merge-patch+json',
    );
    const environment = new MockActivityEnvironment();
    const beaten = new Promise((resolve) => environment.once('heartbeat', resolve));
    const waiting = environment.run(() => wait('kubernetes', 600_000));
    await beaten;
    environment.cancel();
    await expect(waiting).rejects.toThrow();
    controllers.resume();
  });
});

describe('a look at a workload', () => {
  const env = [{ name: 'DATASTORE_TYPE', value: 'kubernetes' }];
  const template = { spec: { containers: [{ name: 'calico-node', env }] } };
  const daemonSet = (status: JsonObject, spec: JsonObject = {}): JsonObject => ({
    kind: 'DaemonSet',
    metadata: { generation: 2 },
    spec: { template, ...spec },
    status,
  });
  const complete = {
    observedGeneration: 2,
    desiredNumberScheduled: 5,
    currentNumberScheduled: 5,
    updatedNumberScheduled: 5,
    numberReady: 5,
    numberAvailable: 5,
  };
  const lagging = (live: JsonObject) => lookAt('it', live, 'kubernetes').lagging;

  it.each<[string, JsonObject, RegExp]>([
    ['old pods', { updatedNumberScheduled: 2 }, /^2 of 5 pods are of the new template$/],
    ['nodes without a pod', { currentNumberScheduled: 4 }, /^4 of 5 pods/],
    ['pods that are not ready', { numberReady: 4 }, /^4 of 5 pods are ready$/],
    ['pods that are not available yet', { numberAvailable: 3 }, /^3 of 5 pods are ready$/],
    ['an old generation', { observedGeneration: 1 }, /generation 1 of 2/],
  ])('sees %s of a DaemonSet', (_, status, why) => {
    expect(lagging(daemonSet({ ...complete, ...status }))).toMatch(why);
  });

  it('says that nobody replaces pods under OnDelete', () => {
    const live = daemonSet({ ...complete, updatedNumberScheduled: 0 }, { updateStrategy: { type: 'OnDelete' } });
    expect(lagging(live)).toMatch(/deleted by hand/);
  });

  it('is content with a complete DaemonSet', () => {
    expect(lagging(daemonSet(complete))).toBeUndefined();
  });

  it('does not take calico-node on no node at all for rolled out; the one for Windows may have none', () => {
    const nowhere = daemonSet({ observedGeneration: 2 });
    expect(lagging(nowhere)).toBe('it is scheduled on no node at all');
    expect(lookAt('DaemonSet kube-system/calico-node-windows', nowhere, 'kubernetes').lagging).toBeUndefined();
  });

  it.each<[string, JsonObject, RegExp | undefined]>([
    ['a complete one', { replicas: 2, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 2 }, undefined],
    [
      'an old pod',
      { replicas: 3, updatedReplicas: 2, readyReplicas: 3, availableReplicas: 3 },
      /^1 pod of the former template/,
    ],
    ['a pod that is not ready', { replicas: 2, updatedReplicas: 2, readyReplicas: 1, availableReplicas: 1 }, /^1 of 2/],
    ['nothing yet', {}, /^0 of 2/],
  ])('sees %s of a Deployment', (_, status, why) => {
    const live = {
      kind: 'Deployment',
      metadata: { generation: 2 },
      spec: { replicas: 2, template },
      status: { observedGeneration: 2, ...status },
    };
    if (why) expect(lagging(live)).toMatch(why);
    else expect(lagging(live)).toBeUndefined();
  });

  it('does not take a template for switched that still has etcd endpoints', () => {
    const both = [...env, { name: 'ETCD_ENDPOINTS', value: 'http://10.0.0.1:2379' }];
    const live = daemonSet(complete, { template: { spec: { containers: [{ name: 'calico-node', env: both }] } } });
    expect(lookAt('it', live, 'kubernetes').wrong).toMatch(/still has ETCD_ENDPOINTS/);
  });
});
