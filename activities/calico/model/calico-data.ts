// What an export file holds: the data of a Calico datastore as the v3 API names it, free of what is etcd's own. Both the file and the
// custom resources are made from this, and nothing else.
import type { JsonObject } from '../json';

/** An entry of IPAM. Keys always begin with "/calico/ipam/v2/", whatever the prefix of the source; nodes have their Kubernetes names. */
export interface KeyedValue {
  key: string;
  value: JsonObject;
}

export interface CalicoData {
  /** The whole object, its UID and times included; absent only in files that lack it. */
  clusterInformation?: JsonObject;
  /** Complete v3 objects (kind, apiVersion, metadata with v3 name, spec) in the order of the file. */
  resources: JsonObject[];
  ipam: { affinities: KeyedValue[]; blocks: KeyedValue[]; handles: KeyedValue[]; config?: KeyedValue };
}

/** Resources, IPAM entries and the cluster information together. */
export function countData({ clusterInformation, resources, ipam }: CalicoData): number {
  const single = (clusterInformation ? 1 : 0) + (ipam.config ? 1 : 0);
  return single + resources.length + ipam.affinities.length + ipam.blocks.length + ipam.handles.length;
}
