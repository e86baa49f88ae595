// What belongs to nodes that Kubernetes does not know. Decided by who sees the cluster; the export itself cannot.
import type { CalicoData } from './calico-data';
import { addressesByNode, filePrefix } from './ipam-entries';
import { parseKey } from './keys';
import { metadataOf } from './metadata';

export interface MissingNode {
  /** As Kubernetes would call it. */
  name: string;
  /** The source has a Calico Node of it: its annotations have nowhere to go. */
  calicoNode: boolean;
  /** Block affinities of it. */
  affinities: number;
  /** Addresses that are allocated in its name. */
  addresses: number;
}

/** Sorted by name. */
export function nodesWithout({ resources, ipam }: CalicoData, kubernetesNodeNames: Iterable<string>): MissingNode[] {
  const present = new Set(kubernetesNodeNames);
  const missing = new Map<string, MissingNode>();
  const of = (name: string): MissingNode | undefined => {
    if (present.has(name)) return undefined;
    const node = missing.get(name) ?? { name, calicoNode: false, affinities: 0, addresses: 0 };
    missing.set(name, node);
    return node;
  };
  for (const resource of resources) {
    const node = resource.kind === 'Node' ? of(metadataOf(resource).name) : undefined;
    if (node) node.calicoNode = true;
  }
  for (const { key } of ipam.affinities) {
    const parsed = parseKey(key, filePrefix);
    const node = parsed.type === 'affinity' && parsed.kind === 'host' ? of(parsed.host) : undefined;
    if (node) node.affinities += 1;
  }
  for (const { value } of ipam.blocks) {
    for (const [name, count] of addressesByNode(value)) {
      const node = of(name);
      if (node) node.addresses += count;
    }
  }
  return [...missing.values()].sort((left, right) => (left.name < right.name ? -1 : 1));
}
