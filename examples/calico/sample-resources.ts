// The v3 resources of the sample datastore, as Calico 3.30 writes them into etcd: every kind that is migrated, with the shapes that have
// gone wrong in migrations before. Each is said with the reason where it is not plain.
import type { JsonObject } from '../../activities/calico/json';
import { nodeAddress, type SampleNode } from './sample-nodes';

/** One key below `/resources/v3/projectcalico.org/`. */
export interface SampleResource {
  kind: string;
  plural: string;
  namespace?: string;
  /** As the key says it: policies have their tier in front. */
  name: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  spec: JsonObject;
  status?: JsonObject;
}

export const sampleNamespaces = ['default', 'prod', 'shop', 'monitoring'];

const pool = { nodeSelector: 'all()', allowedUses: ['Workload', 'Tunnel'], assignmentMode: 'Automatic' };

/** Everything but nodes, policies and what is of Kubernetes' making. */
export function networkResources(nodes: SampleNode[]): SampleResource[] {
  const of = (index: number): SampleNode => nodes[index % nodes.length] as SampleNode;
  return [
    {
      kind: 'IPPool',
      plural: 'ippools',
      name: 'default-ipv4-ippool',
      labels: { tier: 'gold', 'projectcalico.org/owner': 'network' },
      // A line of "=" ends a part of the export file, unless it is written with care.
      annotations: { 'example.com/note': 'first line\n====\nthird line, sécurité ✓' },
      spec: {
        cidr: '10.64.0.0/14',
        vxlanMode: 'Never',
        ipipMode: 'CrossSubnet',
        natOutgoing: true,
        blockSize: 26,
        ...pool,
      },
    },
    {
      kind: 'IPPool',
      plural: 'ippools',
      name: 'default-ipv6-ippool',
      spec: { cidr: 'fd00:10:64::/48', vxlanMode: 'Never', ipipMode: 'Never', blockSize: 122, ...pool },
    },
    {
      kind: 'IPPool',
      plural: 'ippools',
      name: 'load-balancers',
      spec: {
        cidr: '10.99.0.0/24',
        vxlanMode: 'Never',
        ipipMode: 'Never',
        blockSize: 26,
        ...pool,
        allowedUses: ['LoadBalancer'],
      },
    },
    {
      kind: 'IPPool',
      plural: 'ippools',
      name: 'retired',
      spec: { cidr: '10.98.0.0/24', vxlanMode: 'Always', ipipMode: 'Never', disabled: true, blockSize: 28, ...pool },
    },
    {
      kind: 'IPReservation',
      plural: 'ipreservations',
      name: 'gateways',
      spec: { reservedCIDRs: ['10.67.255.252/30'] },
    },
    {
      kind: 'BGPConfiguration',
      plural: 'bgpconfigurations',
      name: 'default',
      spec: {
        logSeverityScreen: 'Info',
        nodeToNodeMeshEnabled: false,
        asNumber: 64512,
        serviceClusterIPs: [{ cidr: '10.96.0.0/16' }],
        communities: [{ name: 'bgp-large', value: '63400:300:100' }],
        prefixAdvertisements: [{ cidr: '10.64.0.0/14', communities: ['bgp-large', '63400:120'] }],
      },
    },
    // Per node, by Calico's name of it: renamed with the node.
    ...[0, 1].map((index): SampleResource => ({
      kind: 'BGPConfiguration',
      plural: 'bgpconfigurations',
      name: `node.${of(index).calico}`,
      spec: { logSeverityScreen: 'Debug' },
    })),
    {
      kind: 'BGPFilter',
      plural: 'bgpfilters',
      name: 'no-documentation',
      spec: {
        exportV4: [{ cidr: '77.0.0.0/16', matchOperator: 'In', action: 'Accept' }],
        importV4: [{ cidr: '192.0.2.0/24', matchOperator: 'In', action: 'Reject' }],
        importV6: [{ cidr: '2001:db8::/32', matchOperator: 'In', action: 'Reject' }],
      },
    },
    {
      kind: 'BGPPeer',
      plural: 'bgppeers',
      name: 'rack-tor-1',
      // Needs its filter first, which calicoctl's file has after it.
      spec: { nodeSelector: "rack == 'r1'", peerIP: '192.0.2.1', asNumber: 64567, filters: ['no-documentation'] },
    },
    {
      kind: 'BGPPeer',
      plural: 'bgppeers',
      name: 'of-one-node',
      spec: {
        node: of(1).calico,
        peerIP: 'fd00::1',
        asNumber: 64568,
        password: { secretKeyRef: { name: 'bgp-secrets', key: 'rr-password' } },
      },
    },
    {
      kind: 'FelixConfiguration',
      plural: 'felixconfigurations',
      name: 'default',
      annotations: { 'example.com/owner': 'net-team' },
      spec: {
        logSeverityScreen: 'Info',
        ipipEnabled: true,
        reportingInterval: '0s',
        // As the earliest releases had it; today's want "Drop".
        defaultEndpointToHostAction: 'DROP',
        failsafeInboundHostPorts: [
          { protocol: 'tcp', port: 22 },
          { protocol: 'udp', port: 68 },
        ],
        bpfEnabled: false,
        bpfLogLevel: '',
        bpfConnectTimeLoadBalancing: 'TCP',
        bpfHostNetworkedNATWithoutCTLB: 'Enabled',
        floatingIPs: 'Disabled',
      },
    },
    ...[1, 2]
      .map((index): SampleResource => ({
        kind: 'FelixConfiguration',
        plural: 'felixconfigurations',
        name: `node.${of(index).calico}`,
        spec: { logSeverityScreen: 'Debug', bpfLogLevel: '', floatingIPs: 'Disabled' },
      }))
      .filter(({ name }, index, all) => all.findIndex((other) => other.name === name) === index),
    {
      kind: 'KubeControllersConfiguration',
      plural: 'kubecontrollersconfigurations',
      name: 'default',
      spec: {
        logSeverityScreen: 'Info',
        healthChecks: 'Enabled',
        etcdV3CompactionPeriod: '10m0s',
        prometheusMetricsPort: 9094,
        controllers: {
          node: {
            reconcilerPeriod: '5m0s',
            syncLabels: 'Enabled',
            hostEndpoint: { autoCreate: 'Enabled' },
            leakGracePeriod: '15m0s',
          },
          policy: { reconcilerPeriod: '5m0s' },
          namespace: { reconcilerPeriod: '5m0s' },
        },
      },
      status: { runningConfig: { controllers: {} } },
    },
    { kind: 'Tier', plural: 'tiers', name: 'adminnetworkpolicy', spec: { order: 1000, defaultAction: 'Pass' } },
    {
      kind: 'Tier',
      plural: 'tiers',
      name: 'baselineadminnetworkpolicy',
      spec: { order: 10000000, defaultAction: 'Pass' },
    },
    { kind: 'Tier', plural: 'tiers', name: 'default', spec: { order: 1000000, defaultAction: 'Deny' } },
    { kind: 'Tier', plural: 'tiers', name: 'platform', spec: { order: 200.5, defaultAction: 'Deny' } },
    { kind: 'Tier', plural: 'tiers', name: 'security', spec: { order: 10, defaultAction: 'Pass' } },
    {
      kind: 'GlobalNetworkSet',
      plural: 'globalnetworksets',
      name: 'corporate',
      labels: { external: 'true' },
      spec: { nets: ['198.51.100.0/28', '2001:db8::/64'] },
    },
    ...sampleNamespaces.slice(1).map((namespace): SampleResource => ({
      kind: 'NetworkSet',
      plural: 'networksets',
      namespace,
      name: 'partners',
      labels: { partner: 'acme' },
      spec: { nets: ['203.0.113.0/25'] },
    })),
    {
      kind: 'HostEndpoint',
      plural: 'hostendpoints',
      name: 'edge-eth0',
      labels: { role: 'edge' },
      spec: {
        node: of(1).calico,
        interfaceName: 'eth0',
        expectedIPs: [nodeAddress(of(1))],
        ports: [{ name: 'ssh', protocol: 'TCP', port: 22 }],
      },
    },
    ...nodes.map((node): SampleResource => ({
      kind: 'HostEndpoint',
      plural: 'hostendpoints',
      name: `${node.calico}-auto-hep`,
      labels: { 'projectcalico.org/created-by': 'calico-kube-controllers', rack: node.rack },
      spec: { node: node.calico, interfaceName: '*', expectedIPs: [nodeAddress(node)] },
    })),
  ];
}
