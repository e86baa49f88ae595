import { collectionPath } from '../../../activities/calico/kubernetes/paths';
import { Cluster } from '../../../examples/calico/cluster';
import { failureOf } from '../../fixtures/failure-of';
import { custom, KubeRig } from '../../fixtures/kube-rig';
import { sampleExport } from '../../fixtures/kube-sample';

const collection = collectionPath('clusterinformations');
const path = `${collection}/default`;
const merge = 'application/merge-patch+json';

let rig: KubeRig;
let elsewhere: Cluster;

beforeAll(async () => {
  rig = await KubeRig.start();
  elsewhere = new Cluster(rig.server.kubeconfig());
  await rig.installCrds();
});

afterAll(async () => {
  elsewhere.close();
  await rig.stop();
});

beforeEach(async () => {
  await rig.api.remove(path);
});

const state = async () => (await rig.activities.kubernetesLockState(rig)).state;

async function withInformation(flag?: boolean): Promise<void> {
  const spec = { clusterGUID: 'abc', clusterType: 'k8s,kdd', calicoVersion: 'v3.29.1', datastoreReady: flag };
  const body = custom('ClusterInformation', 'default', spec);
  const annotations = { 'projectcalico.org/metadata': '{"creationTimestamp":"2020-01-01T00:00:00Z"}' };
  await rig.api.create(collection, { ...body, metadata: { name: 'default', annotations } });
}

test('a datastore that was never used is made locked, with the GUID and version of the source', async () => {
  expect(await state()).toBe('missing');
  const file = await rig.put('export.yaml', sampleExport({ calicoVersion: 'v3.30.3' }).file);
  expect(await rig.activities.lockKubernetes({ scope: rig.scope, file })).toEqual({ before: 'missing', created: true });
  expect((await elsewhere.get(path))?.spec).toEqual({
    clusterGUID: '4d1c9e1be7a04d0f9a7f0c6a51b2e3d4',
    clusterType: 'kdd',
    calicoVersion: 'v3.30.3',
    datastoreReady: false,
  });
  // Its first and only generation: at no time was it ready.
  expect((await elsewhere.get(path))?.metadata).toMatchObject({ generation: 1 });
  expect(await rig.activities.lockKubernetes({ scope: rig.scope, file })).toEqual({ before: 'locked', created: false });
  expect(await rig.activities.kubernetesLockState(rig)).toEqual({ state: 'locked', calicoVersion: 'v3.30.3' });
});

test.each([
  ['ready', true],
  ['unset', undefined],
  ['locked', false],
] as const)('one that is %s is locked and unlocked, and keeps everything else', async (before, flag) => {
  await withInformation(flag);
  const first = await elsewhere.get(path);
  expect(await rig.activities.lockKubernetes(rig)).toEqual({ before, created: false });
  expect(await state()).toBe('locked');
  expect(await rig.activities.unlockKubernetes(rig)).toEqual({ before: 'locked', changed: true });
  expect(await rig.activities.unlockKubernetes(rig)).toEqual({ before: 'ready', changed: false });
  const last = await elsewhere.get(path);
  expect(last?.spec).toEqual({ ...(first?.spec as object), datastoreReady: true });
  const kept = ({ name, annotations, uid }: Record<string, unknown>) => ({ name, annotations, uid });
  expect(kept(last?.metadata as object as Record<string, unknown>)).toEqual(
    kept(first?.metadata as object as Record<string, unknown>),
  );
});

test('what somebody else writes at the same time is not lost', async () => {
  await withInformation(true);
  const others = Array.from({ length: 20 }, (_, index) =>
    elsewhere.change('PATCH', path, { metadata: { labels: { [`l${index}`]: 'x' } } }, merge),
  );
  await Promise.all([rig.activities.lockKubernetes(rig), ...others]);
  expect(await state()).toBe('locked');
  const { labels } = (await elsewhere.get(path))?.metadata as { labels: object };
  expect(Object.keys(labels)).toHaveLength(20);
});

test('what is not there cannot be unlocked, nor locked without a file', async () => {
  expect(await failureOf(rig.activities.unlockKubernetes(rig))).toMatchObject({ type: 'PreconditionFailed' });
  expect(await failureOf(rig.activities.lockKubernetes(rig))).toMatchObject({ type: 'PreconditionFailed' });
  expect(await state()).toBe('missing');
});
