import { isObject, type JsonObject } from '../../../activities/calico/json';
import type { DesiredObject } from '../../../activities/calico/model/desired';
import { desired, only } from './desired-rig';
import { block, encoding330, entry, node, resource } from './golden';

function specOf({ body }: DesiredObject): JsonObject {
  expect(isObject(body.spec)).toBe(true);
  return body.spec as JsonObject;
}

const cluster = (spec: JsonObject) => resource('clusterinformations', 'default', { spec });

describe('the cluster information', () => {
  test('comes first, locked, with what belongs to the cluster and nothing else', () => {
    const { objects } = desired([
      cluster({
        clusterGUID: 'g',
        calicoVersion: 'v3.30.3',
        clusterType: 'k8s,bgp',
        variant: 'Calico',
        datastoreReady: true,
      }),
      resource('tiers', 'sec'),
    ]);
    expect(objects[0]).toMatchObject({ stage: 0, plural: 'clusterinformations', name: 'default' });
    expect(specOf(objects[0]!)).toEqual({
      clusterGUID: 'g',
      calicoVersion: 'v3.30.3',
      clusterType: 'kdd',
      datastoreReady: false,
    });
  });

  test('without a GUID or a version leaves both to Calico', () => {
    expect(specOf(only(cluster({ clusterGUID: '', calicoVersion: null })))).toEqual({
      clusterType: 'kdd',
      datastoreReady: false,
    });
  });
});

test('no object is written before what it needs', () => {
  const { objects } = desired([
    resource('bgppeers', 'peer', { spec: { filters: ['filter'] } }),
    resource('networkpolicies', 'a/sec.x', { spec: { tier: 'sec' } }),
    block('10.0.0.0/30'),
    entry('ipam/v2/handle/h', { block: {} }),
    resource('ippools', 'pool'),
    resource('bgpfilters', 'filter'),
    resource('tiers', 'sec'),
    cluster({}),
  ]);
  const order = objects.map(({ kind }) => kind);
  expect(order).toEqual([
    'ClusterInformation',
    'Tier',
    'BGPFilter',
    'IPPool',
    'NetworkPolicy',
    'BGPPeer',
    'IPAMBlock',
    'IPAMHandle',
  ]);
  expect(objects.every(({ stage }, index) => stage >= (objects[index - 1]?.stage ?? 0))).toBe(true);
});

describe('policies', () => {
  test('are stored with their tier up to 3.31, and under their own name from 3.32 on; the stash keeps the name', () => {
    const entries = [resource('globalnetworkpolicies', 'default.foo')];
    const [prefixed] = desired(entries).objects;
    const [bare] = desired(entries, { policyNaming: 'bare', affinityLabels: true }).objects;
    expect([prefixed?.name, bare?.name]).toEqual(['default.foo', 'foo']);
    expect(prefixed?.body.metadata).toEqual({
      name: 'default.foo',
      labels: { 'projectcalico.org/tier': 'default' },
      annotations: {
        'projectcalico.org/metadata':
          '{"name":"foo","creationTimestamp":null,"labels":{"projectcalico.org/tier":"default"}}',
      },
    });
  });

  test.each([
    [{}, ['Ingress']],
    [{ ingress: [{}] }, ['Ingress']],
    [{ egress: [{}] }, ['Egress']],
    [{ ingress: [{}], egress: [{}] }, ['Ingress', 'Egress']],
    [{ egress: [{}], types: ['Ingress'] }, ['Ingress']],
    [{ ingress: [{}], egress: null, types: [] }, ['Ingress']],
  ])('with the rules %j have the types %j', (spec, types) => {
    expect(specOf(only(resource('networkpolicies', 'a/default.x', { spec }))).types).toEqual(types);
  });

  test('two that would be stored under one name are a problem, and neither is written', () => {
    const explicit = { annotations: { 'projectcalico.org/metadata': '{"name":"default.x"}' } };
    const entries = [
      resource('globalnetworkpolicies', 'default.x', { metadata: explicit }),
      resource('globalnetworkpolicies', 'x'),
    ];
    expect(desired(entries).problems).toEqual([
      {
        object: 'GlobalNetworkPolicy default.x',
        reason: '2 objects of the source would become it',
        category: 'collision',
      },
    ]);
    expect(desired(entries).objects).toEqual([]);
    expect(desired(entries, { policyNaming: 'bare', affinityLabels: true }).problems).toEqual([]);
  });

  test('a label for the tier that says something else is set right', () => {
    const [, policy] = desired([
      resource('tiers', 'sec'),
      resource('globalnetworkpolicies', 'sec.x', { metadata: { labels: { 'projectcalico.org/tier': 'old' } } }),
    ]).objects;
    expect(policy?.body.metadata).toMatchObject({ labels: { 'projectcalico.org/tier': 'sec' } });
  });
});

describe('what Calico fills in when it writes', () => {
  const felix = (name: string, spec: JsonObject = {}) => specOf(only(resource('felixconfigurations', name, { spec })));

  test('is filled into the global Felix configuration, but not into that of a node, which would hide the global one', () => {
    expect(felix('default')).toEqual({
      floatingIPs: 'Disabled',
      bpfConnectTimeLoadBalancing: 'TCP',
      bpfHostNetworkedNATWithoutCTLB: 'Enabled',
    });
    expect(felix('default', { floatingIPs: 'Enabled' }).floatingIPs).toBe('Enabled');
    expect(felix('node.a')).toEqual({});
  });

  test('a former spelling of load balancing wins', () => {
    expect(felix('node.a', { bpfConnectTimeLoadBalancingEnabled: true })).toEqual({
      bpfConnectTimeLoadBalancingEnabled: true,
      bpfConnectTimeLoadBalancing: 'Enabled',
      bpfHostNetworkedNATWithoutCTLB: 'Disabled',
    });
    expect(felix('default', { bpfConnectTimeLoadBalancingEnabled: false }).bpfConnectTimeLoadBalancing).toBe(
      'Disabled',
    );
  });

  test('is filled into the controllers that are configured', () => {
    const spec = { controllers: { node: { syncLabels: 'Enabled' }, loadBalancer: {}, policy: null } };
    expect(specOf(only(resource('kubecontrollersconfigurations', 'default', { spec })))).toEqual({
      prometheusMetricsPort: 9094,
      controllers: {
        node: { syncLabels: 'Enabled', leakGracePeriod: '15m0s' },
        loadBalancer: { assignIPs: 'AllServices' },
      },
    });
  });
});

describe('IPAM', () => {
  test('an affinity is named by node and block, and says "deleted" as text', () => {
    const object = only(
      entry('ipam/v2/host/k8s-node-a/ipv4/block/10.64.0.0-26', { state: 'confirmed', deleted: false }),
    );
    expect(object.name).toBe('k8s-node-a-10-64-0-0-26');
    expect(object.body).toEqual({
      apiVersion: 'crd.projectcalico.org/v1',
      kind: 'BlockAffinity',
      metadata: { name: object.name, annotations: { 'projectcalico.org/metadata': '{"creationTimestamp":null}' } },
      spec: { cidr: '10.64.0.0/26', deleted: 'false', node: 'k8s-node-a', state: 'confirmed', type: 'host' },
    });
  });

  test('an affinity for Calico 3.31 has all three labels, in the stash as well', () => {
    const encoding = { ...encoding330, affinityLabels: true };
    const [object] = desired([entry('ipam/v2/virtual/load-balancer/ipv4/block/10.0.0.0-30', '')], encoding).objects;
    expect(object?.body.spec).toMatchObject({ type: 'virtual', node: 'load-balancer', state: '' });
    const { labels, annotations } = object?.body.metadata as {
      labels: JsonObject;
      annotations: Record<string, string>;
    };
    expect(Object.keys(labels).sort()).toEqual(
      ['affinity-type', 'hostname-hash', 'ip-version'].map((name) => `projectcalico.org/${name}`),
    );
    expect(JSON.parse(annotations['projectcalico.org/metadata']!)).toEqual({ creationTimestamp: null, labels });
  });

  test('a handle keeps its case inside', () => {
    expect(only(entry('ipam/v2/handle/k8s.ABC', { block: { '10.0.0.0/30': 2 } }))).toMatchObject({
      name: 'k8s.abc',
      body: { spec: { handleID: 'k8s.ABC', block: { '10.0.0.0/30': 2 }, deleted: false } },
    });
  });

  test('a block keeps the order of its free addresses, and nulls become what Kubernetes requires', () => {
    const spec = specOf(
      only(
        block('10.0.0.0/30', {
          allocations: [null, 0, null, null],
          unallocated: [3, 0, 2],
          attributes: [{ handle_id: null, secondary: null }],
          hostAffinity: 'old',
          strictAffinity: true,
          sequenceNumberForAllocation: null,
          affinity_claim_time: '2026-01-01T00:00:00Z',
        }),
      ),
    );
    expect(spec).toEqual({
      cidr: '10.0.0.0/30',
      allocations: [null, 0, null, null],
      unallocated: [3, 0, 2],
      attributes: [{}],
      sequenceNumber: 1,
      deleted: false,
      strictAffinity: false,
      affinityClaimTime: '2026-01-01T00:00:00Z',
    });
    expect(specOf(only(block('10.0.0.0/30', { unallocated: null, attributes: null })))).toMatchObject({
      unallocated: [],
      attributes: [],
    });
  });

  test.each([
    [{}, { strictAffinity: false, autoAllocateBlocks: false }],
    [
      { auto_allocate_blocks: true, maxBlocksPerHost: 0 },
      { strictAffinity: false, autoAllocateBlocks: true },
    ],
    [
      { strict_affinity: true, maxBlocksPerHost: 20, kubeVirtVMAddressPersistence: 'Enabled' },
      {
        strictAffinity: true,
        autoAllocateBlocks: false,
        maxBlocksPerHost: 20,
        kubeVirtVMAddressPersistence: 'Enabled',
      },
    ],
  ])('the configuration %j is %j', (value, spec) => {
    expect(specOf(only(entry('ipam/v2/config', value)))).toEqual(spec);
  });
});

describe('nodes', () => {
  const annotated = (body: { metadata?: JsonObject; spec?: JsonObject; status?: JsonObject }) => {
    const orchRefs = [{ orchestrator: 'k8s', nodeName: 'n' }];
    const { nodes } = desired([resource('nodes', 'n', { ...body, spec: { ...body.spec, orchRefs } })]);
    const [found] = nodes;
    return Object.fromEntries(
      Object.entries(found!.annotations)
        .filter(([, value]) => value !== null)
        .map(([name, value]) => [name.replace('projectcalico.org/', ''), value]),
    );
  };

  test('become the annotations that Calico reads', () => {
    const body = {
      metadata: {
        labels: { rack: 'r1', 'kubernetes.io/hostname': 'k8s-node-a' },
        annotations: { custom: 'ann', 'projectcalico.org/kube-labels': '{"kubernetes.io/hostname":"other"}' },
      },
      spec: {
        bgp: {
          ipv4Address: '172.16.0.1/24',
          asNumber: 4200000000,
          ipv4IPIPTunnelAddr: '10.64.0.1',
          routeReflectorClusterID: '1.0.0.1',
        },
        ipv4VXLANTunnelAddr: '10.64.0.2',
        vxlanTunnelMACAddr: '66:00:00:00:00:01',
        wireguard: { interfaceIPv4Address: '10.64.0.3' },
        interfaces: [{ name: 'eth0' }],
      },
      status: { wireguardPublicKey: 'key' },
    };
    expect(annotated(body)).toEqual({
      ASNumber: '4200000000',
      IPv4Address: '172.16.0.1/24',
      IPv4IPIPTunnelAddr: '10.64.0.1',
      IPv4VXLANTunnelAddr: '10.64.0.2',
      IPv4WireguardInterfaceAddr: '10.64.0.3',
      RouteReflectorClusterID: '1.0.0.1',
      VXLANTunnelMACAddr: '66:00:00:00:00:01',
      WireguardPublicKey: 'key',
      Interfaces: '[{"name":"eth0"}]',
      annotations: '{"custom":"ann"}',
      labels: '{"rack":"r1"}',
    });
  });

  test('keep all their labels when nothing tells which were copied', () => {
    expect(annotated({ metadata: { labels: { a: 'b' } } })).toEqual({ labels: '{"a":"b"}' });
    const unreadable = { 'projectcalico.org/kube-labels': 'nonsense' };
    expect(annotated({ metadata: { labels: { a: 'b' }, annotations: unreadable } })).toEqual({ labels: '{"a":"b"}' });
  });

  test('lose what the source does not have: every annotation is named', () => {
    const [found] = desired([node('n', 'n')]).nodes;
    expect(Object.values(found!.annotations)).toEqual(Array(16).fill(null));
    expect(annotated({ spec: { bgp: {} } })).toEqual({});
  });
});

test('members that are null are left out, nulls in lists stay', () => {
  const spec = { order: null, nested: { gone: null, kept: [null, { gone: null, a: 1 }] } };
  expect(specOf(only(resource('ipreservations', 'r', { spec })))).toEqual({ nested: { kept: [null, { a: 1 }] } });
});
