// What is on the cluster against what was exported: object by object, kind by kind as Calico gets it, and what has changed since the unlock.
import { parseJson, isObject, type JsonObject } from '../../../activities/calico/json';
import type { Divergence } from '../../../activities/calico/kubernetes/divergence';
import type { ArtifactReference } from '../../../activities/artifacts/store';
import { failureType } from '../../../activities/errors';
import type { ValidationRecord } from '../../../journal/types';
import { CalicoTarget, prefixed, type Exported } from '../../fixtures/calico-target';

let target: CalicoTarget;
let exported: Exported;
beforeAll(async () => {
  target = await CalicoTarget.start();
  exported = await target.exported();
});
afterAll(() => target.stop());

const compare = async (more: object = {}): Promise<ValidationRecord[]> => {
  const { scope, activities } = target;
  const { records } = await activities.compareImported({ scope, file: exported.file, encoding: prefixed, ...more });
  return records;
};

const failed = (records: ValidationRecord[]): ValidationRecord[] => records.filter(({ outcome }) => outcome !== 'pass');
const of = (records: ValidationRecord[], name: string): ValidationRecord | undefined =>
  records.find((record) => record.name === name);

const blockPlace = async (): Promise<string> => {
  const [block] = (await target.cluster.list('/apis/crd.projectcalico.org/v1/ipamblocks')) ?? [];
  return `ipamblocks//${(block?.metadata as { name: string }).name}`;
};

describe('the comparison', () => {
  beforeEach(() => target.landOnly(exported.data));

  it('finds everything equal after a perfect import, and counts every object of every kind', async () => {
    const { scope, activities } = target;
    const { records, kinds } = await activities.compareImported({ scope, file: exported.file, encoding: prefixed });
    expect(failed(records)).toEqual([]);
    expect(records.flatMap(({ differences = [] }) => differences)).toEqual([]);
    expect(kinds.every(({ wanted, equal, conflicting }) => wanted === equal && conflicting === 0)).toBe(true);
    expect(kinds.find(({ kind }) => kind === 'IPAMHandle')?.wanted).toBe(exported.data.ipam.handles.length);
    expect(of(records, 'Node annotations')).toMatchObject({ source: '3', target: '3 of 3 equal' });
  });

  it('names an object that is not there', async () => {
    await target.remove('ippools//default-ipv4-ippool');
    expect(failed(await compare())).toEqual([
      expect.objectContaining({ name: 'IPPool', differences: ['IPPool default-ipv4-ippool: not there'] }),
    ]);
  });

  it('fails for every kind when nothing was imported at all', async () => {
    await target.clean();
    const records = await compare();
    expect(records.length).toBeGreaterThan(15);
    expect(failed(records)).toHaveLength(records.length);
    expect(of(records, 'IPAMHandle')?.differences).toHaveLength(21);
  });

  it('sees one digit of a 64-bit number that a JavaScript number would not hold', async () => {
    const place = await blockPlace();
    const before = (await target.get(place))?.spec as { sequenceNumber: bigint };
    expect(Number(before.sequenceNumber)).toBe(Number(before.sequenceNumber + 1n));
    await target.respec(place, { sequenceNumber: before.sequenceNumber + 1n });
    const [record, ...others] = failed(await compare());
    expect(others).toEqual([]);
    expect(record?.name).toBe('IPAMBlock');
    expect(record?.differences?.join()).toContain(String(before.sequenceNumber + 1n));
  });

  it('sees a field that the CRD has dropped in silence', async () => {
    const pruned = await target.exported({}, ({ resources }) => {
      const filter = resources.find(({ kind }) => kind === 'BGPFilter');
      Object.assign(filter?.spec as object, { fieldOfATomorrow: 'kept?' });
    });
    await target.landOnly(pruned.data);
    const [record] = failed(await compare({ file: pruned.file }));
    expect(record?.name).toBe('BGPFilter');
    expect(record?.differences?.join()).toContain('fieldOfATomorrow');
  });

  it('sees the order of the free addresses of a block', async () => {
    const place = await blockPlace();
    const { unallocated } = (await target.get(place))?.spec as { unallocated: number[] };
    await target.respec(place, { unallocated: [...unallocated].reverse() });
    expect(failed(await compare())).toEqual([expect.objectContaining({ name: 'IPAMBlock' })]);
  });

  it("sees a label in the stash, and an annotation of Calico's on a node", async () => {
    await target.annotate('worker-1', { 'projectcalico.org/IPv4Address': '192.0.2.1/24' });
    await target.rewrite('ippools//default-ipv4-ippool', (body) => ({
      ...body,
      metadata: {
        ...(body.metadata as object),
        annotations: { 'projectcalico.org/metadata': '{"labels":{"not":"ours"},"creationTimestamp":null}' },
      },
    }));
    const wrong = failed(await compare());
    expect(wrong.map(({ name }) => name).sort()).toEqual(['IPPool', 'Node annotations']);
    expect(of(wrong, 'Node annotations')?.differences?.join()).toContain('192.0.2.1/24');
  });

  it('leaves annotations of others on a node out of account', async () => {
    await target.annotate('worker-1', { 'example.com/of': 'somebody else' });
    expect(failed(await compare())).toEqual([]);
  });

  it("remarks on an object of somebody's, and fails when it is of IPAM", async () => {
    await target.make('globalnetworkpolicies//default.theirs', { selector: 'all()' });
    const records = await compare();
    expect(failed(records)).toEqual([]);
    expect(of(records, 'GlobalNetworkPolicy')?.differences).toEqual([
      'GlobalNetworkPolicy default.theirs: not ours, and not there before the import',
    ]);
    await target.make('ipamhandles//theirs', { handleID: 'theirs', block: {} });
    expect(failed(await compare()).map(({ name }) => name)).toEqual(['IPAMHandle']);
  });

  it('says nothing of what was there before the import', async () => {
    await target.clean();
    await target.make('ipamhandles//theirs', { handleID: 'theirs', block: {} });
    const { inventory } = await target.activities.inspectKubernetes({ scope: target.scope });
    await target.land(exported.data);
    const records = await compare({ inventory });
    expect(failed(records)).toEqual([]);
    expect(of(records, 'IPAMHandle')?.differences).toBeUndefined();
  });

  it('takes what a starting Calico writes for a remark once it runs there, and nothing else', async () => {
    await target.respec('clusterinformations//default', { clusterType: 'kdd,k8s,bgp', calicoVersion: 'v3.30.4' });
    await target.annotate('worker-2', { 'projectcalico.org/Interfaces': '[]' });
    expect(failed(await compare()).map(({ name }) => name)).toEqual(['ClusterInformation', 'Node annotations']);
    const records = await compare({ running: true });
    expect(failed(records)).toEqual([]);
    expect(of(records, 'ClusterInformation')?.differences).toHaveLength(2);
    await target.respec('clusterinformations//default', { clusterGUID: 'of another cluster', datastoreReady: true });
    expect(of(failed(await compare({ running: true })), 'ClusterInformation')?.differences).toHaveLength(2);
  });

  it('takes an IPAM configuration for a remark that a running Calico has made, where the source has none', async () => {
    const without = await target.exported({}, ({ ipam }) => {
      delete ipam.config;
    });
    await target.landOnly(without.data);
    await target.make('ipamconfigs//default', { strictAffinity: false, autoAllocateBlocks: true });
    expect(failed(await compare({ file: without.file })).map(({ name }) => name)).toEqual(['IPAMConfig']);
    expect(failed(await compare({ file: without.file, running: true }))).toEqual([]);
  });

  it('tells again what no object of Kubernetes can hold, and does not miss it', async () => {
    const odd = await target.exported({}, ({ resources }) => {
      const pool = resources.find(({ kind }) => kind === 'IPPool');
      resources.push({ ...pool, metadata: { name: 'Odd_Name' } });
    });
    await target.landOnly(odd.data);
    const records = await compare({ file: odd.file });
    expect(failed(records)).toEqual([]);
    expect(of(records, 'Not expressible in Kubernetes')?.differences?.join()).toContain('IPPool Odd_Name');
    const { scope, activities } = target;
    expect(failed(await activities.listEachKind({ scope, file: odd.file, encoding: prefixed }))).toEqual([]);
  });

  it('refuses a file that is no export', async () => {
    const file = await target.artifacts.put('calico-test', 'export.yaml', 'items: []\n');
    const error: unknown = await compare({ file }).catch((thrown: unknown) => thrown);
    expect(failureType(error)).toBe('PreconditionFailed');
  });
});

describe('each kind, as Calico gets it', () => {
  beforeEach(() => target.landOnly(exported.data));

  const list = (more: object = {}): Promise<ValidationRecord[]> =>
    target.activities.listEachKind({ scope: target.scope, file: exported.file, encoding: prefixed, ...more });

  it('finds every object of every kind under its v3 name', async () => {
    const records = await list();
    expect(failed(records)).toEqual([]);
    expect(records.every(({ source, target: found }) => source === found)).toBe(true);
    expect(of(records, 'get networkpolicies')).toBeDefined();
    expect(of(records, 'get nodes')).toMatchObject({ source: '3', target: '3' });
  });

  it('finds policies under names that this Calico never asks for', async () => {
    await target.landOnly(exported.data, { ...prefixed, policyNaming: 'bare' });
    const wrong = failed(await list());
    expect(wrong.map(({ name }) => name)).toContain('get globalnetworkpolicies');
    expect(wrong[0]?.differences?.[0]).toMatch(/is listed, but get asks for the custom resource default\./);
    expect(failed(await list({ encoding: { ...prefixed, policyNaming: 'bare' } }))).toEqual([]);
  });

  it('finds a name that two custom resources claim', async () => {
    const [policy] = (await target.cluster.list('/apis/crd.projectcalico.org/v1/globalnetworkpolicies')) ?? [];
    const { name, annotations } = policy?.metadata as { name: string; annotations: Record<string, string> };
    await target.make('globalnetworkpolicies//a-twin', { selector: 'all()', tier: 'default' });
    await target.rewrite('globalnetworkpolicies//a-twin', (body) => ({
      ...body,
      metadata: { ...(body.metadata as object), annotations },
    }));
    const lines = of(failed(await list()), 'get globalnetworkpolicies')?.differences?.join() ?? '';
    expect(lines).toContain('a-twin');
    expect(lines).toContain(name);
  });

  it('finds an object whose stash Calico cannot read', async () => {
    await target.rewrite('ippools//default-ipv4-ippool', (body) => ({
      ...body,
      metadata: { ...(body.metadata as object), annotations: { 'projectcalico.org/metadata': '{broken' } },
    }));
    const [record, ...others] = failed(await list());
    expect(others).toEqual([]);
    expect(record).toMatchObject({ name: 'get ippools', outcome: 'fail' });
    expect(record?.differences?.[0]).toContain('cannot read');
  });
});

describe('the divergence', () => {
  const theirs = 'ippools//theirs';
  let inventory: ArtifactReference;
  beforeAll(async () => {
    await target.clean();
    await target.make(theirs, { cidr: '10.99.0.0/16' });
    ({ inventory } = await target.activities.inspectKubernetes({ scope: target.scope }));
  });
  beforeEach(async () => {
    await target.landOnly(exported.data, prefixed, [theirs]);
    if (!(await target.get(theirs))) await target.make(theirs, { cidr: '10.99.0.0/16' });
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
});
