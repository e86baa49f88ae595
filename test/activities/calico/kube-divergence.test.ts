import { parseJson, isObject, type JsonObject } from '../../../activities/calico/json';
import type { Divergence } from '../../../activities/calico/kubernetes/divergence';
import type { ArtifactReference } from '../../../activities/artifacts/store';
import { CalicoTarget, prefixed, type Exported } from '../../fixtures/calico-target';

let target: CalicoTarget;
let exported: Exported;
let inventory: ArtifactReference;
beforeAll(async () => {
  target = await CalicoTarget.start();
  exported = await target.exported();
}, 60_000);
afterAll(() => target.stop());
beforeEach(async () => {
  await target.clean();
  await target.make('ippools//theirs', { cidr: '10.99.0.0/16' });
  ({ inventory } = await target.activities.inspectKubernetes({ scope: target.scope }));
  await target.land(exported.data);
});

const measure = (): Promise<Divergence> =>
  target.activities.measureDivergence({
    scope: target.scope,
    file: exported.file,
    encoding: prefixed,
    inventory,
    name: 'now.jsonl',
  });

it('counts nothing right after the unlock, nor what a starting Calico writes by itself', async () => {
  await target.respec('clusterinformations//default', {
    datastoreReady: true,
    clusterType: 'kdd,k8s,bgp',
    calicoVersion: 'v3.30.4',
  });
  await target.make('tiers//kube-baseline', { order: 10_000_000, defaultAction: 'Pass' });
  expect(await measure()).toMatchObject({ changes: 0, detail: [] });
});

it('counts what people have changed in what Calico had made', async () => {
  await target.make('tiers//kube-baseline', { order: 10_000_000, defaultAction: 'Pass' });
  await target.respec('tiers//kube-baseline', { order: 7 });
  expect(await measure()).toMatchObject({ changes: 1, detail: ['Tier: 1 added', 'Tier kube-baseline: added'] });
});

it('counts what was added, changed and deleted, addresses first', async () => {
  const [handle] = exported.data.ipam.handles;
  const id = handle?.key.split('/handle/')[1] ?? '';
  await target.make('globalnetworkpolicies//default.new', { selector: 'all()' });
  await target.respec('ippools//default-ipv4-ippool', { disabled: true });
  await target.remove('ippools//theirs');
  await target.remove(`ipamhandles//${id.toLowerCase()}`);
  await target.make('ipamhandles//a-new-pod', { handleID: 'a-new-pod', block: { '10.64.0.0/26': 1 } });
  await target.annotate('worker-1', { 'projectcalico.org/IPv4Address': '192.0.2.1/24' });
  const { changes, detail } = await measure();
  expect(changes).toBe(6);
  expect(detail.slice(0, 4)).toEqual([
    'IPAMHandle: 1 added, 1 deleted',
    expect.stringMatching(/^(GlobalNetworkPolicy: 1 added|IPPool: 1 changed, 1 deleted)$/),
    expect.stringMatching(/^(GlobalNetworkPolicy: 1 added|IPPool: 1 changed, 1 deleted)$/),
    'Node annotations: 1 changed',
  ]);
  expect(detail).toContain('IPAMHandle a-new-pod: added');
  expect(detail).toContain(`IPAMHandle ${id.toLowerCase()}: deleted`);
  expect(detail).toContain('IPPool theirs: deleted');
  expect(detail.join('\n')).toMatch(/IPPool default-ipv4-ippool \(.*disabled.*\): changed/);
});

it('keeps the whole of the cluster as it is, to the last digit', async () => {
  const [block] = (await target.cluster.list('/apis/crd.projectcalico.org/v1/ipamblocks')) ?? [];
  const { name } = block?.metadata as { name: string };
  await target.respec(`ipamblocks//${name}`, { sequenceNumber: 1_795_244_676_171_828_089n });
  const { artifact, changes } = await measure();
  expect(changes).toBe(1);
  const text = await target.artifacts.read(artifact);
  expect(text).toContain('1795244676171828089');
  const objects = text
    .trimEnd()
    .split('\n')
    .map((line) => parseJson(line))
    .filter(isObject);
  const count = (list: JsonObject[]): number => list.filter(({ kind }) => kind !== 'Node').length;
  expect(count(objects)).toBe(count(await target.present()));
  expect(objects.filter(({ kind }) => kind === 'Node')).toHaveLength(3);
  expect(objects.every(({ kind, apiVersion }) => typeof kind === 'string' && typeof apiVersion === 'string')).toBe(
    true,
  );
});

it('lists twenty of many, and counts all', async () => {
  for (let index = 0; index < 30; index += 1) {
    await target.make(`ipamhandles//pod-${index}`, { handleID: `pod-${index}`, block: {} });
  }
  const { changes, detail } = await measure();
  expect(changes).toBe(30);
  expect(detail).toHaveLength(20);
  expect(detail[0]).toBe('IPAMHandle: 30 added');
});
