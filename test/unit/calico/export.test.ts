import fc from 'fast-check';
import { equalJson } from '../../../activities/calico/json';
import { exportEntries } from '../../../activities/calico/model/export';
import { categories, names, only, run } from './exported';
import { block, entry, node, resource } from './golden';

const policy = (path: string, body: Record<string, unknown> = {}) => resource('networkpolicies', path, body);
const stash = (name: string) => ({ annotations: { 'projectcalico.org/metadata': JSON.stringify({ name }) } });

describe('values that are not as they should be', () => {
  test.each([
    ['no JSON', 'nonsense', 'no JSON'],
    ['another type', '[]', 'no object'],
    ['nothing', '', 'empty'],
    ['a spec that is no object', '{"spec":5}', 'spec is not an object'],
    ['labels that are no texts', '{"metadata":{"labels":{"a":1}}}', 'labels.a is not a text'],
    ['another kind', '{"kind":"Tier"}', 'calls itself Tier'],
    [
      'annotations for a broken name',
      '{"metadata":{"annotations":{"projectcalico.org/metadata":"["}}}',
      'no JSON object',
    ],
  ])('%s is refused as unparseable', (_what, value, reason) => {
    const result = run(entry('resources/v3/projectcalico.org/globalnetworkpolicies/x', value));
    expect(categories(result)).toEqual(['unparseable']);
    expect(result.accounting.refused[0]?.reason).toContain(reason);
  });

  test('bytes that are no UTF-8 are refused', () => {
    const result = run({ ...resource('ippools', 'p'), value: '', valueBase64: '/w==' });
    expect(categories(result)).toEqual(['unparseable']);
  });

  test('a value without kind and apiVersion gets both; its name is that of its key', () => {
    const object = only(
      run(entry('resources/v3/projectcalico.org/ipreservations/key', { metadata: { name: 'other' } })),
    );
    expect(object).toEqual({
      kind: 'IPReservation',
      apiVersion: 'projectcalico.org/v3',
      metadata: { name: 'key' },
      spec: {},
    });
  });

  test('members that v3 does not have are left out, with a remark', () => {
    const result = run(resource('ipreservations', 'r', { extra: 1 }));
    expect(only(result)).not.toHaveProperty('extra');
    expect(result.accounting.remarks).toEqual(['IPReservation r: extra is not of the v3 API and is left out']);
  });

  test('times, UIDs and revisions stay behind; labels, owners and finalizers travel', () => {
    const metadata = {
      uid: 'u',
      creationTimestamp: '2026-01-01T00:00:00Z',
      resourceVersion: '5',
      generation: 2,
      managedFields: [],
      labels: { a: 'b' },
      ownerReferences: [{ name: 'o' }],
      finalizers: ['f'],
    };
    expect(only(run(resource('ipreservations', 'r', { metadata }))).metadata).toEqual({
      name: 'r',
      labels: { a: 'b' },
      ownerReferences: [{ name: 'o' }],
      finalizers: ['f'],
    });
  });
});

describe('keys that are none of those that are migrated', () => {
  test.each([
    ['ipam/v2/host/node-a', 'derived'],
    ['felix/v2/no-region/host/a/workload/k8s/x/endpoint/eth0', 'derived'],
    ['v1/Ready', 'derived'],
    ['resources/v3/projectcalico.org/workloadendpoints/default/w', 'derived'],
    ['resources/v3/projectcalico.org/networkpolicies/default/knp.default.x', 'derived'],
    ['resources/v3/projectcalico.org/globalnetworkpolicies/kanp.adminnetworkpolicy.x', 'derived'],
    ['resources/v3/projectcalico.org/profiles/ksa.default.x', 'derived'],
    ['resources/v3/projectcalico.org/profiles/mine', 'user-profile'],
    ['resources/v3/projectcalico.org/caliconodestatuses/x', 'node-status'],
    ['resources/v3/projectcalico.org/strangers/x', 'unknown'],
    ['resources/v3/projectcalico.org/ippools/namespace/x', 'unknown'],
    ['resources/v3/projectcalico.org/networkpolicies/x', 'unknown'],
    ['resources/v3/projectcalico.org/ippools/a/b/c', 'unknown'],
    ['ipam/v2/assignment/ipv4/block/nonsense', 'unknown'],
    ['resources/v3/projectcalico.org/clusterinformations/other', 'unknown'],
  ])('%s: %s', (key, category) => {
    expect(categories(run(entry(key, { metadata: {} })))).toEqual([category]);
  });
});

describe('policies', () => {
  test('are named by their annotation, or without the prefix of the default tier', () => {
    const result = run(
      policy('a/default.explicit', { metadata: stash('default.explicit') }),
      policy('a/default.legacy'),
      policy('a/ossg.default.x'),
      policy('b/default.legacy'),
      resource('globalnetworkpolicies', 'default.legacy'),
      resource('tiers', 'sec'),
      policy('a/sec.z', { spec: { tier: 'sec' } }),
      policy('a/undotted', { spec: { tier: 'sec' } }),
    );
    expect(names(result)).toEqual([
      'Tier sec',
      'GlobalNetworkPolicy legacy',
      'NetworkPolicy a/default.explicit',
      'NetworkPolicy a/legacy',
      'NetworkPolicy a/ossg.default.x',
      'NetworkPolicy b/legacy',
      'NetworkPolicy a/sec.z',
      'NetworkPolicy a/undotted',
    ]);
    expect(categories(result).every((fate) => fate === 'migrated')).toBe(true);
  });

  test('that would get the same name are refused, both of them', () => {
    const result = run(policy('a/default.x'), policy('a/x'), policy('b/x'));
    expect(categories(result)).toEqual(['collision', 'collision', 'migrated']);
    expect(result.accounting.refused[0]?.reason).toBe(
      'it would become NetworkPolicy a/x, and so would /calico/resources/v3/projectcalico.org/networkpolicies/a/x',
    );
  });

  test('show their tier and its label', () => {
    const [, inTier] = run(resource('tiers', 'sec'), policy('a/sec.z')).data.resources;
    expect(inTier).toMatchObject({ metadata: { labels: { 'projectcalico.org/tier': 'sec' } }, spec: { tier: 'sec' } });
    expect(only(run(policy('a/default.x')))).toMatchObject({
      metadata: { labels: { 'projectcalico.org/tier': 'default' } },
      spec: { tier: 'default' },
    });
  });

  test('of a tier that does not exist are refused', () => {
    const broken = entry('resources/v3/projectcalico.org/tiers/sec', 'nonsense');
    expect(categories(run(broken, policy('a/sec.z'), policy('a/default.x')))).toEqual([
      'unparseable',
      'missing-tier',
      'migrated',
    ]);
  });

  test('that are staged travel from every namespace', () => {
    const result = run(
      resource('stagednetworkpolicies', 'prod/default.a'),
      resource('stagedkubernetesnetworkpolicies', 'prod/knp'),
    );
    expect(names(result)).toEqual(['StagedNetworkPolicy prod/a', 'StagedKubernetesNetworkPolicy prod/knp']);
  });

  test('keep numbers, named ports and protocols as they are', () => {
    const rule = { action: 'Allow', protocol: 6, destination: { ports: [80, '80:90', 'http'] } };
    const spec = { ingress: [rule], notProtocol: 'TCP' };
    expect(only(run(policy('a/default.x', { spec }))).spec).toMatchObject(spec);
  });
});

describe('what a reader of etcd sees', () => {
  test.each(['DROP', 'drop', 'Drop'])('Felix %s is Drop', (action) => {
    const spec = {
      defaultEndpointToHostAction: action,
      iptablesFilterAllowAction: '',
      nftablesFilterDenyAction: 'DROP',
    };
    expect(only(run(resource('felixconfigurations', 'default', { spec }))).spec).toEqual({
      ...spec,
      defaultEndpointToHostAction: 'Drop',
    });
  });

  test('pools and tiers have their defaults', () => {
    const [v4, v6, tier] = run(
      resource('ippools', 'v4', { spec: { cidr: '10.0.0.0/16', ipipMode: 'Always' } }),
      resource('ippools', 'v6', { spec: { cidr: 'FD00:0::/48' } }),
      resource('tiers', 'sec', { spec: { order: null } }),
    ).data.resources;
    const common = {
      vxlanMode: 'Never',
      nodeSelector: 'all()',
      allowedUses: ['Workload', 'Tunnel'],
      assignmentMode: 'Automatic',
    };
    expect(v4?.spec).toEqual({ ...common, cidr: '10.0.0.0/16', ipipMode: 'Always', blockSize: 26 });
    expect(v6?.spec).toEqual({ ...common, cidr: 'FD00:0::/48', ipipMode: 'Never', blockSize: 122 });
    expect(tier?.spec).toEqual({ order: 1_000_000, defaultAction: 'Deny' });
  });

  test('filters come before the peers that need them, tiers in their order', () => {
    const result = run(
      resource('bgpfilters', 'filter'),
      resource('bgppeers', 'peer', { spec: { filters: ['filter'] } }),
      resource('tiers', 'a', { spec: { order: 20 } }),
      resource('tiers', 'b', { spec: { order: 10.5 } }),
    );
    expect(names(result)).toEqual(['BGPFilter filter', 'BGPPeer peer', 'Tier b', 'Tier a']);
  });
});

test('strict parity leaves out, keeps and changes what calicoctl does', () => {
  const entries = [
    node('old', 'new'),
    resource('bgppeers', 'peer', { spec: { node: 'old' } }),
    resource('stagednetworkpolicies', 'prod/default.a'),
    entry('ipam/v2/handle/vxlan-v6-tunnel-addr-old', { block: {} }),
    entry('ipam/v2/virtual/old/ipv4/block/10.0.0.0-30', ''),
    block('10.0.0.0/30', { affinity: 'virtual:old' }),
    block('10.0.0.4/30', { affinity: 'virtual:load-balancer' }),
  ];
  const { data, dispositions } = exportEntries(entries, { prefix: '/calico', revision: '1', strictParity: true });
  expect(dispositions.map(({ fate }) => fate)).toEqual([
    'migrated',
    'migrated',
    'refused',
    'migrated',
    'refused',
    'migrated',
    'migrated',
  ]);
  expect(data.resources[0]?.spec).toEqual({ node: 'old' });
  expect(data.ipam.handles[0]?.key).toBe('/calico/ipam/v2/handle/vxlan-v6-tunnel-addr-old');
  expect(data.ipam.blocks.map(({ value }) => value.affinity)).toEqual(['host:new', 'virtual:load-balancer']);
});

test('keys of another prefix come out as calicoctl expects them', () => {
  const entries = [{ ...block('10.0.0.0/30'), key: '/other/place/ipam/v2/assignment/ipv4/block/10.0.0.0-30' }];
  const { data } = exportEntries(entries, { prefix: '/other/place', revision: '1' });
  expect(data.ipam.blocks[0]?.key).toBe('/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-30');
});

test('the cluster information travels whole, with the revision at which it was read', () => {
  const metadata = { name: 'default', uid: 'u', creationTimestamp: 't' };
  const { data } = run(resource('clusterinformations', 'default', { metadata, spec: { clusterGUID: 'g', extra: 1 } }));
  expect(data.clusterInformation).toEqual({
    kind: 'ClusterInformation',
    apiVersion: 'projectcalico.org/v3',
    metadata: { ...metadata, resourceVersion: '1' },
    spec: { clusterGUID: 'g', extra: 1 },
  });
});

test('lists in the accounting stop at fifty, sums do not', () => {
  const profiles = Array.from({ length: 60 }, (_, index) => resource('profiles', `mine-${index}`));
  const nodes = Array.from({ length: 60 }, (_, index) => node(`old-${index}`, `new-${index}`));
  const { accounting } = run(...nodes, ...profiles);
  expect(accounting.refused).toHaveLength(50);
  expect(accounting.refusedNotListed).toBe(10);
  expect(accounting.remarks).toHaveLength(50);
  expect(accounting.remarks.at(-1)).toBe('and 11 more');
  expect(accounting.kinds).toContainEqual({ kind: 'Profile', source: 60, migrated: 0, derived: 0, refused: 60 });
});

test('whatever the keys and values are, each has one disposition, and what is migrated is in the data', () => {
  const part = fc.constantFrom(
    'nodes',
    'ippools',
    'tiers',
    'networkpolicies',
    'a',
    'default.a',
    'ipv4',
    'block',
    '10.0.0.0-30',
    '10.0.0.1-30',
    'host',
    '',
  );
  const path = fc.oneof(
    fc.array(part, { maxLength: 4 }).map((parts) => `resources/v3/projectcalico.org/${parts.join('/')}`),
    fc.array(part, { maxLength: 5 }).map((parts) => `ipam/v2/${parts.join('/')}`),
    fc.constantFrom('a', 'A', 'b', '10.0.0.0/30').map((id) => `ipam/v2/handle/${id}`),
    fc.string(),
  );
  const value = fc.oneof(
    fc.constantFrom('', '{}', '{"spec":{"orchRefs":[{"orchestrator":"k8s","nodeName":"a"}]}}', '{"allocations":[]}'),
    fc.json(),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(path, value)), (pairs) => {
      const { data, dispositions, accounting } = run(...pairs.map(([key, text]) => entry(key, text)));
      expect(dispositions).toHaveLength(pairs.length);
      const { affinities, blocks, handles, config } = data.ipam;
      const travelling =
        data.resources.length +
        affinities.length +
        blocks.length +
        handles.length +
        (config ? 1 : 0) +
        (data.clusterInformation ? 1 : 0);
      expect(dispositions.filter(({ fate }) => fate === 'migrated')).toHaveLength(travelling);
      expect(
        equalJson(
          accounting.kinds.reduce((sum, { source }) => sum + source, 0),
          pairs.length,
        ),
      ).toBe(true);
    }),
  );
});
