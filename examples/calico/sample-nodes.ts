// The nodes of the sample datastore, as Calico calls them in etcd and as Kubernetes calls them: two of three differ, as they do in clusters
// whose hosts were named before Kubernetes came.
import type { SampleResource } from './sample-resources';

export interface SampleNode {
  index: number;
  /** In the keys of etcd. */
  calico: string;
  /** Of the Node object. */
  kubernetes: string;
  rack: string;
}

/** The same ones for the same number. */
export function sampleNodes(count: number): SampleNode[] {
  return Array.from({ length: count }, (_, index) => {
    const kubernetes = `worker-${index + 1}`;
    const calico =
      index % 3 === 0
        ? kubernetes
        : index % 3 === 1
          ? `${kubernetes}.example.net`
          : `ip-172-16-0-${11 + index}.internal`;
    return { index, calico, kubernetes, rack: `r${1 + (index % 2)}` };
  });
}

/** Labels that Kubernetes gave the node, and that calico/kube-controllers copied. */
export function kubernetesLabels({ kubernetes }: SampleNode): Record<string, string> {
  return { 'kubernetes.io/hostname': kubernetes, 'kubernetes.io/os': 'linux', 'node.kubernetes.io/pool': 'general' };
}

/** `172.16.0.11`. */
export function nodeAddress({ index }: SampleNode): string {
  return `172.16.${Math.floor((11 + index) / 256)}.${(11 + index) % 256}`;
}

/** The Calico Node: labels copied from Kubernetes beside its own, and every kind of tunnel address that the given addresses hold. */
export function calicoNode(node: SampleNode, tunnels: Record<string, string>): SampleResource {
  const copied = kubernetesLabels(node);
  const hexadecimal = (11 + node.index).toString(16).padStart(4, '0');
  const mac = `${hexadecimal.slice(0, 2)}:${hexadecimal.slice(2)}`;
  return {
    kind: 'Node',
    plural: 'nodes',
    name: node.calico,
    labels: { ...copied, rack: node.rack },
    annotations: {
      'example.com/racked-by': 'anna',
      'projectcalico.org/kube-labels': JSON.stringify(copied),
    },
    spec: {
      addresses: [{ address: `${nodeAddress(node)}/24`, type: 'CalicoNodeIP' }],
      bgp: {
        asNumber: 64512 + node.index,
        ipv4Address: `${nodeAddress(node)}/24`,
        ipv6Address: `fd00:172::${(11 + node.index).toString(16)}/64`,
        ipv4IPIPTunnelAddr: tunnels['ipip-tunnel-addr'],
        routeReflectorClusterID: node.index === 0 ? '224.0.0.1' : undefined,
      },
      ipv4VXLANTunnelAddr: tunnels['vxlan-tunnel-addr'],
      vxlanTunnelMACAddr: `66:00:00:00:${mac}`,
      ipv6VXLANTunnelAddr: tunnels['vxlan-v6-tunnel-addr'],
      vxlanTunnelMACAddrV6: `66:00:00:01:${mac}`,
      wireguard: {
        interfaceIPv4Address: tunnels['wireguard-tunnel-addr'],
        interfaceIPv6Address: tunnels['wireguard-v6-tunnel-addr'],
      },
      // The last reference to Kubernetes counts.
      orchRefs: [{ orchestrator: 'k8s', nodeName: node.kubernetes }],
    },
    status: { wireguardPublicKey: Buffer.alloc(32, node.index + 1).toString('base64') },
  };
}
