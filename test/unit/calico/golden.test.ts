import { equalJson, isObject, type JsonObject } from '../../../activities/calico/json';
import type { CalicoData } from '../../../activities/calico/model/calico-data';
import { differences, nodeDifferences } from '../../../activities/calico/model/compare';
import { describeObject, desiredState } from '../../../activities/calico/model/desired';
import { exportEntries } from '../../../activities/calico/model/export';
import { readExportFile, writeExportFile } from '../../../activities/calico/model/export-file';
import { checkIpam, ipamSpecs } from '../../../activities/calico/model/ipam-check';
import { stashAnnotation } from '../../../activities/calico/model/policy-names';
import { encoding330, goldenEntries, goldenExport, goldenNodes, goldenObjects, text, without } from './golden';

const options = { prefix: '/calico', revision: '233' };
const ours = exportEntries(goldenEntries(), options);

/** What calicoctl loses in silence, and we do not. */
const lostByCalicoctl = ['StagedNetworkPolicy prod/default.staged-np', 'StagedKubernetesNetworkPolicy prod/staged-knp'];

function nameOf(object: JsonObject): string {
  const { name, namespace } = isObject(object.metadata) ? object.metadata : {};
  return describeObject({
    kind: text(object.kind),
    name: text(name),
    ...(typeof namespace === 'string' && { namespace }),
  });
}

/** Times, UIDs and revisions aside, which every datastore gives anew. */
function portable(object: JsonObject): JsonObject {
  const metadata = isObject(object.metadata) ? object.metadata : {};
  const annotations = isObject(metadata.annotations) ? metadata.annotations : {};
  const stash = JSON.parse(text(annotations[stashAnnotation])) as JsonObject;
  return {
    ...object,
    metadata: {
      ...without(metadata, 'creationTimestamp', 'generation', 'resourceVersion', 'uid'),
      annotations: { ...annotations, [stashAnnotation]: without(stash, 'creationTimestamp') },
    },
  };
}

function expectGolden(data: CalicoData, extra: string[]): void {
  const { objects, nodes, problems } = desiredState(data, encoding330);
  const made = new Map(objects.map(({ body }) => [nameOf(body), body]));
  const golden = new Map(goldenObjects().map((object) => [nameOf(object), object]));
  expect([...made.keys()].sort()).toEqual([...golden.keys(), ...extra].sort());
  for (const [name, object] of golden) {
    const desired = made.get(name)!;
    expect({ [name]: portable(desired) }).toEqual({ [name]: portable(object) });
    expect(equalJson(portable(desired), portable(object))).toBe(true);
    expect(differences(desired, object)).toEqual([]);
  }
  expect(problems).toEqual([]);
  const live = goldenNodes();
  expect(nodes.map(({ name }) => name).sort()).toEqual([...Object.keys(live), 'node-gone'].sort());
  for (const node of nodes.filter(({ name }) => name in live)) {
    const wanted = Object.entries(node.annotations).filter(([, value]) => value !== null);
    const annotations = without(live[node.name]!, 'kubectl.kubernetes.io/last-applied-configuration');
    expect(Object.fromEntries(wanted)).toEqual(annotations);
    expect(nodeDifferences(node, annotations as Record<string, string>)).toEqual([]);
  }
}

describe('against what the real calicoctl made of the same datastore', () => {
  test('our export becomes the same custom resources and node annotations, and those that calicoctl loses', () => {
    expectGolden(ours.data, lostByCalicoctl);
  });

  test("calicoctl's own export file becomes the same custom resources and node annotations", () => {
    expectGolden(readExportFile(goldenExport), []);
  });

  test("an export in strict parity is calicoctl's as data", () => {
    const theirs = readExportFile(goldenExport);
    const { data } = exportEntries(goldenEntries(), { ...options, strictParity: true });
    expect(data.clusterInformation).toEqual(theirs.clusterInformation);
    expect(data.resources).toEqual(theirs.resources);
    expect(data.ipam).toEqual(theirs.ipam);
  });

  test('our file reads back as what was written', () => {
    expect(readExportFile(writeExportFile(ours.data))).toEqual(ours.data);
  });

  test('every key is accounted for: what is not migrated is named with its reason', () => {
    const { accounting, dispositions } = ours;
    expect(dispositions).toHaveLength(goldenEntries().length);
    for (const { source, migrated, derived, refused } of accounting.kinds)
      expect(source).toBe(migrated + derived + refused);
    expect(dispositions.filter(({ fate }) => fate === 'refused').map(({ key, category }) => [key, category])).toEqual([
      ['/calico/ipam/v2/handle/Upper_Case.Handle/with:odd chars', 'inexpressible-name'],
      ['/calico/resources/v3/projectcalico.org/profiles/custom-profile', 'user-profile'],
    ]);
    expect(dispositions.filter(({ fate }) => fate === 'derived').map(({ key }) => key.replace(/.*\//, ''))).toEqual([
      'knp.default.from-k8s',
      'kns.default',
      'kns.prod',
      'ksa.default.default',
      'node--a-k8s-pod--1-eth0',
    ]);
  });

  test('renames, and what a refusal leaves dangling, are remarked', () => {
    expect(ours.accounting.remarks).toEqual([
      'HostEndpoint node-a-eth0 names the profile custom-profile, which is not migrated',
      'Node calico-node-b.example becomes node-b',
      'IPAMHandle vxlan-tunnel-addr-calico-node-b.example becomes vxlan-tunnel-addr-node-b',
    ]);
  });

  test('address management agrees with itself, but for the handle that no name can express', () => {
    const { blocks, affinities, handles } = ipamSpecs(ours.data);
    expect(checkIpam(blocks, affinities, handles).findings).toEqual([
      {
        rule: 'allocation-without-handle',
        object: 'IPAMBlock 10.64.174.128/26',
        detail: '2 addresses belong to the handle Upper_Case.Handle/with:odd chars, which does not exist',
      },
    ]);
  });
});
