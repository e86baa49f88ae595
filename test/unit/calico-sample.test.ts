// The sample datastore is what demo, benchmark and tests measure with: it has to be the same every time, and to agree with itself.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { parseJson } from '../../activities/calico/json';
import { calicoCrds } from '../../examples/calico/crds';
import { exampleManifests, withDefinitions } from '../../examples/calico/manifests';
import { sampleDatastore } from '../../examples/calico/sample-datastore';
import { parseCalicoPlan } from '../../plan/parse';

const blockSchema = z.object({
  cidr: z.string(),
  affinity: z.string().nullable(),
  allocations: z.array(z.number().nullable()).length(64),
  unallocated: z.array(z.number()),
  attributes: z.array(z.object({ handle_id: z.string() })),
  sequenceNumber: z.bigint(),
  sequenceNumberForAllocation: z.record(z.string(), z.bigint()),
});
const rightsSchema = z.object({
  kind: z.string(),
  metadata: z.object({ name: z.string() }),
  rules: z.array(z.unknown()).optional(),
  roleRef: z.object({ kind: z.string(), name: z.string() }).optional(),
  subjects: z.array(z.object({ name: z.string() })).optional(),
});
const handleSchema = z.object({ block: z.record(z.string(), z.number()) });

const sample = sampleDatastore({ handles: 400 });
const valuesBelow = (part: string): { key: string; value: string }[] =>
  sample.entries
    .filter(({ key }) => key.startsWith(`/calico/ipam/v2/${part}/`))
    .map(({ key, value }) => ({ key: key.slice(`/calico/ipam/v2/${part}/`.length), value: value.toString() }));
const blocks = valuesBelow('assignment').map(({ value }) => blockSchema.parse(parseJson(value)));

describe('the sample datastore', () => {
  it('is the same at every start, and says no key twice', () => {
    expect(sampleDatastore({ handles: 400 })).toEqual(sample);
    expect(new Set(sample.entries.map(({ key }) => key)).size).toBe(sample.entries.length);
  });

  it('holds as many handles and policies as are asked for', () => {
    const many = sampleDatastore({ handles: 5_000, policies: 2_000 }).entries.map(({ key }) => key);
    expect(many.filter((key) => key.startsWith('/calico/ipam/v2/handle/'))).toHaveLength(5_000);
    const inForce = /\/(globalnetworkpolicies|networkpolicies\/[^/]+)\/(?!knp\.)[^/]+$/;
    expect(many.filter((key) => inForce.test(key))).toHaveLength(2_000);
  });

  it('has a handle for every allocation, and counts in the handle what the blocks hold', () => {
    const counted = new Map<string, Record<string, number>>();
    for (const { cidr, allocations, attributes } of blocks) {
      for (const index of allocations) {
        if (index === null) continue;
        const { handle_id } = attributes[index]!;
        const counts = counted.get(handle_id) ?? {};
        counted.set(handle_id, { ...counts, [cidr]: (counts[cidr] ?? 0) + 1 });
      }
    }
    const handles = valuesBelow('handle').map(({ key, value }) => [key, handleSchema.parse(parseJson(value)).block]);
    expect(Object.fromEntries(handles)).toEqual(Object.fromEntries(counted));
  });

  it('lists every free address of a block once, and numbers every taken one', () => {
    for (const { allocations, unallocated, sequenceNumberForAllocation } of blocks) {
      const free = allocations.flatMap((index, ordinal) => (index === null ? [ordinal] : []));
      expect([...unallocated].sort((left, right) => left - right)).toEqual(free);
      expect(Object.keys(sequenceNumberForAllocation)).toHaveLength(64 - free.length);
    }
  });

  it('counts beyond what a double can hold', () => {
    expect(blocks.filter(({ sequenceNumber }) => BigInt(Number(sequenceNumber)) === sequenceNumber)).toEqual([]);
  });

  it('has an affinity for every block that somebody owns, and no other', () => {
    const owned = blocks.flatMap(({ affinity, cidr }) => (affinity ? [`${affinity.replace(':', '/')} ${cidr}`] : []));
    const claimed = ['host', 'virtual'].flatMap((type) =>
      valuesBelow(type).flatMap(({ key }) => {
        const [, owner, cidr] = /^(.+)\/ipv[46]\/block\/(.+)$/.exec(key) ?? [];
        return owner && cidr ? [`${type}/${owner} ${cidr.replace('-', '/')}`] : [];
      }),
    );
    expect(claimed.sort()).toEqual(owned.sort());
    expect(blocks.some(({ cidr }) => cidr.includes(':'))).toBe(true);
    expect(claimed.some((one) => one.startsWith('virtual/'))).toBe(true);
  });
});

describe('the manifests of the example', () => {
  const manifest = readFileSync(exampleManifests.kubernetes, 'utf8');

  it('hold the definitions of crds.ts, all 22 (npm run build, then node dist/examples/calico/manifests.js)', () => {
    const objects = (text: string): unknown[] => parseAllDocuments(text).map((document) => document.toJS() as unknown);
    expect(objects(manifest)).toEqual(objects(withDefinitions(manifest)));
    expect(calicoCrds()).toHaveLength(22);
  });

  it('differ where Calico reads which datastore it uses', () => {
    const etcd = readFileSync(exampleManifests.etcd, 'utf8');
    expect(etcd).toContain('ETCD_ENDPOINTS');
    expect(etcd).not.toContain('DATASTORE_TYPE');
    expect(manifest).not.toMatch(/etcd/i);
  });
});

describe('the files for a real cluster', () => {
  const read = (path: string): string => readFileSync(join(dirname(exampleManifests.etcd), path), 'utf8');

  it('the plan is valid, and names no file that the worker in the cluster does not mount', () => {
    const plan = read('../plans/calico-real-cluster.json');
    expect(parseCalicoPlan(JSON.parse(plan))).toMatchObject({ ok: true });
    const mounted = [...read('worker.yaml').matchAll(/mountPath: (\S+)/g)].map(([, path]) => path!);
    const named = [...plan.matchAll(/"(\/(?:run|etc|var)\/[^"]+)"/g)].map(([, path]) => path!);
    expect(named.filter((path) => !mounted.some((folder) => path.startsWith(`${folder}/`)))).toEqual([]);
    expect(named).toHaveLength(5);
  });

  it('every bound role is one of the file, and is bound to the account of the worker', () => {
    const objects = parseAllDocuments(read('rbac.yaml')).map((document) => rightsSchema.parse(document.toJS()));
    const roles = objects.filter(({ rules }) => rules).map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    const bindings = objects.filter(({ roleRef }) => roleRef);
    expect(bindings.map(({ roleRef }) => `${roleRef?.kind} ${roleRef?.name}`)).toEqual(roles);
    expect(bindings.every(({ subjects }) => subjects?.[0]?.name === 'cutover')).toBe(true);
    expect(read('worker.yaml')).toContain('serviceAccountName: cutover\n');
  });
});
