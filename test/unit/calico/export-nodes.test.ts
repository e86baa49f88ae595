import { printJson, type JsonObject } from '../../../activities/calico/json';
import { nodesWithout } from '../../../activities/calico/model/nodes-without';
import { categories, names, run } from './exported';
import { block, entry, node, resource } from './golden';

describe('nodes', () => {
  const orchRefs = (...references: [string, string][]) => ({
    spec: { orchRefs: references.map(([orchestrator, nodeName]) => ({ orchestrator, nodeName })) },
  });

  test('take the name of their last reference to Kubernetes', () => {
    const body = orchRefs(['k8s', 'first'], ['k8s', 'last'], ['openstack', 'other']);
    expect(names(run(resource('nodes', 'n', body)))).toEqual(['Node last']);
  });

  test.each([
    ['without references', {}],
    ['of another orchestrator', orchRefs(['openstack', 'n'])],
    ['with an empty name', orchRefs(['k8s', ''])],
  ])('%s are refused, and their addresses are migrated', (_what, body) => {
    const result = run(resource('nodes', 'n', body), entry('ipam/v2/host/n/ipv4/block/10.0.0.0-30', ''));
    expect(categories(result)).toEqual(['node-without-kubernetes-node', 'migrated']);
    expect(result.accounting.remarks).toEqual([
      'Node n is not there any more; its 1 block affinities and 0 addresses are migrated all the same',
    ]);
  });

  test('that are one node for Kubernetes are refused, both of them', () => {
    expect(categories(run(node('a.example', 'a'), node('a', 'a')))).toEqual(['collision', 'collision']);
  });

  test('are renamed wherever they are named', () => {
    const { data, accounting } = run(
      node('old.example', 'new'),
      resource('felixconfigurations', 'node.old.example', { spec: { iptablesFilterDenyAction: 'DROP' } }),
      resource('bgpconfigurations', 'node.unmapped'),
      resource('bgppeers', 'peer', { spec: { node: 'old.example' } }),
      resource('hostendpoints', 'hep', { spec: { node: 'old.example' } }),
      entry('ipam/v2/host/old.example/ipv4/block/10.0.0.0-30', { state: 'confirmed', deleted: false }),
      entry('ipam/v2/handle/vxlan-v6-tunnel-addr-old.example', { block: {}, deleted: false }),
      block('10.0.0.0/30', {
        affinity: 'host:old.example',
        allocations: [0, 1, null, null],
        unallocated: [2, 3],
        attributes: [
          { handle_id: 'wireguard-v6-tunnel-addr-old.example', secondary: { node: 'old.example' } },
          { handle_id: 'pod', secondary: { node: 'old.example' }, alternateOwnerAttrs: { node: 'old.example' } },
        ],
      }),
    );
    const printed = printJson({
      resources: data.resources.filter(({ kind }) => kind !== 'Node'),
      ipam: JSON.parse(JSON.stringify(data.ipam)) as JsonObject,
    });
    expect(printed).not.toContain('old.example');
    expect(accounting.remarks).toEqual([
      'Node old.example becomes new',
      'FelixConfiguration node.old.example becomes node.new',
      'BGPPeer peer: its node old.example becomes new',
      'HostEndpoint hep: its node old.example becomes new',
      'IPAMHandle vxlan-v6-tunnel-addr-old.example becomes vxlan-v6-tunnel-addr-new',
    ]);
    expect(data.resources.find(({ kind }) => kind === 'BGPConfiguration')).toMatchObject({
      metadata: { name: 'node.unmapped' },
    });
  });

  test('configurations of one node under its old and its new name are refused, both of them', () => {
    const felix = (name: string) => resource('felixconfigurations', name);
    expect(categories(run(felix('node.new'), felix('node.old'), node('old', 'new')))).toEqual([
      'collision',
      'collision',
      'migrated',
    ]);
  });

  test('a virtual owner that is called like a node stays virtual', () => {
    const { data } = run(
      node('old', 'new'),
      entry('ipam/v2/virtual/old/ipv4/block/10.0.0.0-30', { state: 'confirmed' }),
      block('10.0.0.0/30', { affinity: 'virtual:old' }),
    );
    expect(data.ipam.affinities.map(({ key }) => key)).toEqual(['/calico/ipam/v2/virtual/old/ipv4/block/10.0.0.0-30']);
    expect(data.ipam.blocks[0]?.value.affinity).toBe('virtual:old');
  });

  test('that Kubernetes does not know are found with what belongs to them', () => {
    const { data } = run(
      node('a', 'a'),
      node('b', 'b'),
      entry('ipam/v2/host/b/ipv4/block/10.0.0.0-30', ''),
      entry('ipam/v2/virtual/load-balancer/ipv4/block/10.0.0.4-30', ''),
      block('10.0.0.0/30', {
        affinity: 'host:b',
        allocations: [0, 0, 1, null],
        unallocated: [3],
        attributes: [{ secondary: { node: 'ghost' } }, { secondary: { node: 'a' } }],
      }),
    );
    expect(nodesWithout(data, ['a'])).toEqual([
      { name: 'b', calicoNode: true, affinities: 1, addresses: 0 },
      { name: 'ghost', calicoNode: false, affinities: 0, addresses: 2 },
    ]);
  });
});
