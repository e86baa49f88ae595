import { setTimeout as sleep } from 'node:timers/promises';
import type { ValidationRecord } from '../../../journal/types';
import { isObject, type JsonObject } from '../../../activities/calico/json';
import { CalicoTarget, type Exported } from '../../fixtures/calico-target';

let target: CalicoTarget;
let exported: Exported;
beforeAll(async () => {
  target = await CalicoTarget.start();
  exported = await target.exported();
});
afterAll(() => target.stop());
beforeEach(() => target.landOnly(exported.data));

const check = ({ file, snapshot }: Exported = exported): Promise<ValidationRecord[]> =>
  target.activities.checkIpam({ scope: target.scope, snapshot, file });
const failed = (records: ValidationRecord[]): string[] =>
  records.flatMap(({ name, outcome }) => (outcome === 'pass' ? [] : [name]));
const lines = (records: ValidationRecord[]): string =>
  records.flatMap(({ differences = [] }) => differences).join('\n');

const objects = async (plural: string): Promise<{ place: string; spec: JsonObject }[]> =>
  ((await target.cluster.list(`/apis/crd.projectcalico.org/v1/${plural}`)) ?? []).map(({ metadata, spec }) => ({
    place: `${plural}//${isObject(metadata) ? (metadata.name as string) : ''}`,
    spec: isObject(spec) ? spec : {},
  }));

/** A pod's handle, which names one block and one address. */
const podHandle = async (): Promise<{ place: string; id: string }> => {
  const [handle] = (await objects('ipamhandles')).filter(({ place }) => place.includes('k8s-pod-network'));
  if (!handle) throw new Error('The sample has no handle of a pod.');
  return { place: handle.place, id: handle.spec.handleID as string };
};

it('passes every invariant after a perfect import', async () => {
  const records = await check();
  expect(failed(records)).toEqual([]);
  expect(lines(records)).toBe('');
  expect(records.length).toBeGreaterThanOrEqual(5);
  expect(records[0]?.target).toMatch(/holds in \d+ blocks/);
});

it('finds an allocation whose handle did not arrive', async () => {
  const { place, id } = await podHandle();
  await target.remove(place);
  const records = await check();
  expect(failed(records)).toContain('IPAM: every allocation has its handle');
  expect(lines(records)).toContain(id);
});

it('finds handles and affinities whose block did not arrive', async () => {
  const affinities = await objects('blockaffinities');
  const cidr = affinities[0]?.spec.cidr as string;
  const block = (await objects('ipamblocks')).find(({ spec }) => spec.cidr === cidr);
  await target.remove(block?.place ?? '');
  const records = await check();
  expect(failed(records)).toContain('IPAM: every affinity has its block');
  expect(lines(records)).toContain(cidr);
});

it('finds a block that names another node than its affinity', async () => {
  const affinities = await objects('blockaffinities');
  const { cidr } = affinities[0]?.spec ?? {};
  const block = (await objects('ipamblocks')).find(({ spec }) => spec.cidr === cidr);
  await target.respec(block?.place ?? '', { affinity: 'host:somewhere-else' });
  const records = await check();
  expect(failed(records)).toEqual(['IPAM: blocks and affinities name the same node']);
  expect(lines(records)).toContain('somewhere-else');
});

it('finds a handle that counts more addresses than its block has given away', async () => {
  const { place } = await podHandle();
  const { block } = (await target.get(place))?.spec as { block: Record<string, number> };
  await target.respec(place, { block: Object.fromEntries(Object.keys(block).map((cidr) => [cidr, 7])) });
  expect(failed(await check())).toContain('IPAM: handles and blocks count the same');
});

it('takes what is put right while it looks for no finding: Calico writes handle and block one after the other', async () => {
  const { place } = await podHandle();
  const { spec } = (await target.get(place)) ?? {};
  await target.remove(place);
  const checking = check();
  await sleep(700);
  await target.make(place, isObject(spec) ? spec : {});
  expect(failed(await checking)).toEqual([]);
});

it('names what was broken on the source already, and does not fail for it; what broke on the way beside it does', async () => {
  let lost = '';
  const broken = await target.exported({}, ({ ipam }) => {
    lost = ipam.handles.shift()?.key.split('/handle/')[1] ?? '';
  });
  const snapshot = await target.artifacts.put('calico-test', 'empty.jsonl', '');
  await target.landOnly(broken.data);
  const records = await check({ ...broken, snapshot });
  expect(failed(records)).toEqual([]);
  expect(lines(records)).toContain(lost);
  expect(lines(records)).toContain('(broken on the source already)');

  const { place, id } = await podHandle();
  await target.remove(place);
  const after = await check({ ...broken, snapshot });
  expect(failed(after)).toContain('IPAM: every allocation has its handle');
  expect(lines(after)).toContain(id);
  expect(lines(after)).not.toContain('broken on the source already');
});

it('tells what the export could not carry from what etcd did not have', async () => {
  const broken = await target.exported({}, ({ ipam }) => {
    ipam.handles.splice(
      ipam.handles.findIndex(({ key }) => key.includes('k8s-pod-network')),
      1,
    );
  });
  await target.landOnly(broken.data);
  const records = await check(broken);
  expect(failed(records)).toEqual([]);
  expect(lines(records)).toContain('(the export could not carry it)');
});

it('passes where there is no IPAM at all', async () => {
  const none = await target.exported({}, (data) => {
    data.ipam = { affinities: [], blocks: [], handles: [] };
  });
  await target.landOnly(none.data);
  expect(failed(await check(none))).toEqual([]);
});
