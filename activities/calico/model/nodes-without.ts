// What belongs to nodes that Kubernetes does not know. Decided by who sees the cluster; the export itself cannot.
import type { CalicoData } from './calico-data';

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
export function nodesWithout(_data: CalicoData, _kubernetesNodeNames: Iterable<string>): MissingNode[] {
  throw new Error('not yet');
}
