import type { JsonObject } from '../../../activities/calico/json';
import { differences, nodeDifferences } from '../../../activities/calico/model/compare';
import { crdDefault } from '../../../activities/calico/model/crd-defaults';
import { desired, only } from './desired-rig';
import { block, resource } from './golden';

describe('what is read back', () => {
  const wanted = only(
    block('10.0.0.0/30', { sequenceNumberForAllocation: { '0': 5 }, unallocated: [1, 0, 2, 3] }),
  ).body;
  const changed = (path: string, value: unknown): JsonObject => {
    const copy = structuredClone(wanted) as Record<string, Record<string, unknown>>;
    copy.spec![path] = value;
    return copy as JsonObject;
  };

  test('is equal whatever the server added', () => {
    const live = structuredClone(wanted);
    live.metadata = {
      ...(live.metadata as JsonObject),
      uid: 'u',
      resourceVersion: '9',
      generation: 2,
      managedFields: [],
      labels: { mine: 'too' },
      annotations: { other: 'x', 'projectcalico.org/metadata': '{"creationTimestamp":"2026-01-01T00:00:00Z"}' },
    };
    live.status = { made: 'anew' };
    expect(differences(wanted, live)).toEqual([]);
  });

  test('is not what was wanted, however equal, when it is being deleted', () => {
    const live = structuredClone(wanted);
    live.metadata = { ...(live.metadata as JsonObject), deletionTimestamp: '2026-01-01T00:00:00Z' };
    expect(differences(wanted, live)).toEqual(['metadata.deletionTimestamp: it is being deleted']);
  });

  test.each([
    ['sequenceNumber', 1795244676171828089n, 'spec.sequenceNumber: wanted 1, found 1795244676171828089'],
    ['unallocated', [0, 1, 2, 3], 'spec.unallocated[0]: wanted 1, found 0'],
    ['unallocated', [1, 0, 2], 'spec.unallocated[3]: wanted 3, found nothing'],
    ['allocations', [0, null, null, null], 'spec.allocations[0]: wanted null, found 0'],
    ['allocations', [null, null, null], 'spec.allocations[3]: wanted null, found nothing'],
    ['affinity', 'host:a', 'spec.affinity: wanted nothing, found "host:a"'],
    ['sequenceNumberForAllocation', undefined, 'spec.sequenceNumberForAllocation: wanted {"0":5}, found nothing'],
  ])('%s as %p is told: %s', (path, value, difference) => {
    expect(differences(wanted, changed(path, value))).toContain(difference);
  });

  test('neighbours among large numbers are told apart', () => {
    const left = changed('sequenceNumber', 1795244676171828089n);
    expect(differences(left, changed('sequenceNumber', 1795244676171828088n))).toHaveLength(1);
    expect(differences(left, changed('sequenceNumber', 1795244676171828089n))).toEqual([]);
  });

  test('without its stash, or with another one, is different', () => {
    const policy = only(resource('globalnetworkpolicies', 'default.x', { metadata: { labels: { team: 'a' } } })).body;
    const metadata = policy.metadata as JsonObject;
    const withStash = (stash: string | undefined): JsonObject => ({
      ...policy,
      metadata: { ...metadata, annotations: stash === undefined ? {} : { 'projectcalico.org/metadata': stash } },
    });
    expect(differences(policy, withStash(undefined))).toHaveLength(1);
    expect(differences(policy, withStash('nonsense'))).toHaveLength(1);
    expect(
      differences(policy, withStash('{"name":"x","labels":{"projectcalico.org/tier":"default","team":"b"}}')),
    ).toEqual(['metadata.annotations.projectcalico.org/metadata.labels.team: wanted "a", found "b"']);
  });

  test('defaults of the CRD count only where nothing was wanted, and with their own value', () => {
    expect(crdDefault('BGPConfiguration', 'spec.logSeverityScreen')).toBe('Info');
    const plain = only(resource('bgpconfigurations', 'default')).body;
    expect(differences(plain, { ...plain, spec: { logSeverityScreen: 'Info' } })).toEqual([]);
    expect(differences(plain, { ...plain, spec: { logSeverityScreen: 'Debug' } })).toHaveLength(1);
  });

  test('annotations of a node: ours exactly, JSON as data, those of others not at all', () => {
    const [found] = desired([
      resource('nodes', 'n', {
        metadata: { labels: { a: '1', b: '2' } },
        spec: { orchRefs: [{ orchestrator: 'k8s', nodeName: 'n' }], bgp: { asNumber: 5 } },
      }),
    ]).nodes;
    const live = { 'projectcalico.org/labels': '{"b":"2", "a":"1"}', 'projectcalico.org/ASNumber': '5', mine: 'x' };
    expect(nodeDifferences(found!, live)).toEqual([]);
    expect(nodeDifferences(found!, { ...live, 'projectcalico.org/IPv4Address': '10.0.0.1/24' })).toEqual([
      'projectcalico.org/IPv4Address: wanted nothing, found "10.0.0.1/24"',
    ]);
    expect(nodeDifferences(found!, { mine: 'x' })).toHaveLength(2);
  });
});
