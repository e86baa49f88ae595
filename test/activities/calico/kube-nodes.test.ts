import { readInventory } from '../../../activities/calico/kubernetes/inventory';
import { nodePath } from '../../../activities/calico/kubernetes/paths';
import { Cluster } from '../../../examples/calico/cluster';
import { KubeRig, prefixed } from '../../fixtures/kube-rig';
import { sampleExport } from '../../fixtures/kube-sample';

const merge = 'application/merge-patch+json';
const sample = sampleExport({ nodes: 4 });
const [first = '', second = '', third = '', fourth = ''] = sample.nodes;
const address = 'projectcalico.org/IPv4Address';
const publicKey = 'projectcalico.org/WireguardPublicKeyV6';
const before: Record<string, Record<string, string>> = {
  // From an earlier life: one that the source sets otherwise, one that it does not have.
  [first]: { 'example.com/owner': 'platform', [address]: '192.0.2.1/24', [publicKey]: 'old' },
  [second]: { 'example.com/owner': 'platform' },
  [third]: {},
};

let rig: KubeRig;
let elsewhere: Cluster;

beforeEach(async () => {
  for (const node of sample.nodes) await rig.api.remove(nodePath(node));
  for (const [node, annotations] of Object.entries(before)) await rig.createNode(node, annotations);
});

beforeAll(async () => {
  rig = await KubeRig.start();
  elsewhere = new Cluster(rig.server.kubeconfig());
});

afterAll(async () => {
  elsewhere.close();
  await rig.stop();
});

async function annotationsOf(node: string): Promise<Record<string, string>> {
  const metadata = (await elsewhere.get(nodePath(node)))?.metadata as { annotations?: Record<string, string> };
  return metadata.annotations ?? {};
}

async function annotate() {
  const file = await rig.put('export.yaml', sample.file);
  return rig.activities.annotateNodes({ scope: rig.scope, file, encoding: prefixed });
}

test('nodes get what Calico knows of them, and lose what it does not; nothing of others is touched', async () => {
  expect(await annotate()).toEqual({ nodes: 4, changed: 3, missing: [fourth], missingTotal: 1 });
  const annotations = await annotationsOf(first);
  expect(annotations['example.com/owner']).toBe('platform');
  expect(annotations[address]).toMatch(/^\d+\.\d+\.\d+\.\d+\/\d+$/);
  expect(annotations[address]).not.toBe('192.0.2.1/24');
  expect(annotations).not.toHaveProperty([publicKey]);
});

test('run again it writes nothing', async () => {
  await annotate();
  const versions = async () =>
    (await elsewhere.list('/api/v1/nodes'))?.map(
      ({ metadata }) => (metadata as { resourceVersion: string }).resourceVersion,
    );
  const written = await versions();
  expect(await annotate()).toMatchObject({ changed: 0 });
  expect(await versions()).toEqual(written);
});

test('a kubelet and controllers that write the same nodes all the time lose nothing and stop nothing', async () => {
  let stopped = false;
  const noise = [first, second, third].map(async (node) => {
    let count = 0;
    while (!stopped) {
      count += 1;
      const change = { metadata: { annotations: { 'example.com/count': String(count) } } };
      await elsewhere.change('PATCH', nodePath(node), change, merge);
    }
    return count;
  });
  const { inventory } = await rig.activities.inspectKubernetes(rig);
  expect(await annotate()).toMatchObject({ changed: 3 });
  expect(await rig.activities.restoreNodeAnnotations({ scope: rig.scope, inventory })).toEqual({ restored: 3 });
  stopped = true;
  const counts = await Promise.all(noise);
  for (const [index, node] of [first, second, third].entries()) {
    expect(await annotationsOf(node)).toEqual({ ...before[node], 'example.com/count': String(counts[index]) });
  }
});

test('the way back puts back exactly what was there, also on a node that others have changed and on one that came later', async () => {
  const { inventory, nodes } = await rig.activities.inspectKubernetes(rig);
  expect(nodes).toBe(3);
  const kept = (await readInventory(rig.artifacts, inventory)).nodes;
  expect(kept.get(first)).toEqual({ [address]: '192.0.2.1/24', [publicKey]: 'old' });
  expect(kept.get(second)).toEqual({});

  await rig.createNode(fourth, { 'example.com/new': 'yes' });
  expect(await annotate()).toEqual({ nodes: 4, changed: 4, missing: [], missingTotal: 0 });
  await elsewhere.change(
    'PATCH',
    nodePath(second),
    { metadata: { annotations: { 'example.com/owner': 'other' } } },
    merge,
  );

  expect(await rig.activities.restoreNodeAnnotations({ scope: rig.scope, inventory })).toEqual({ restored: 4 });
  expect(await annotationsOf(first)).toEqual(before[first]);
  expect(await annotationsOf(second)).toEqual({ 'example.com/owner': 'other' });
  expect(await annotationsOf(third)).toEqual({});
  expect(await annotationsOf(fourth)).toEqual({ 'example.com/new': 'yes' });
  expect(await rig.activities.restoreNodeAnnotations({ scope: rig.scope, inventory })).toEqual({ restored: 0 });
});
