// What the activities of the switch are asked and what they answer: small plain JSON, for histories. Manifests themselves are artifacts.
import type { ArtifactReference } from '../../artifacts/store';
import type { EtcdSnapshot } from '../etcd';
import type { CalicoScope } from '../scope';

/** A manifest as it was on the worker when the migration began; what is applied is the artifact, not the file. */
export interface ManifestFacts {
  artifact: ArtifactReference;
  /** That are applied: Secrets are not. */
  objects: number;
  /** Names: `felixconfigurations.crd.projectcalico.org`. */
  crds: string[];
  /** "DaemonSet kube-system/calico-node": what a rollout waits for. */
  workloads: string[];
  /** "v3.30.3", by the tag of calico/node's image. */
  calicoVersion?: string;
  images: string[];
  /** "Secret kube-system/calico-etcd-secrets": passed over, they stay on the cluster as they are. */
  secrets?: string[];
}

export interface ManifestPair {
  kubernetes: ManifestFacts;
  etcd: ManifestFacts;
}

export interface ApplyResult {
  /** Objects of the manifest, all of them. */
  applied: number;
  /** Not there before this call, the first twenty: "DaemonSet kube-system/calico-node". */
  created: string[];
  /** Existing objects that are not as they were. */
  changed: number;
}

export interface UndoResult {
  /** Objects of the etcd manifest. */
  applied: number;
  /** Objects that the switch had brought. */
  removed: number;
  /** Objects of the other manifest alone, put back as they were recorded. */
  restored: number;
  /** What is not as it was recorded, the first twenty: "ConfigMap kube-system/calico-config: data.extra was …". */
  differences: string[];
}

export interface WorkloadState {
  /** "DaemonSet kube-system/calico-node" */
  name: string;
  desired: number;
  updated: number;
  ready: number;
}

export interface WatchCalicoRequest {
  scope: CalicoScope;
  /** The snapshot at the pinned revision: whatever is newer in etcd was written by somebody who should not. */
  snapshot: EtcdSnapshot;
  /** The manifest of the Kubernetes datastore; without it the workloads are not looked at. */
  manifest?: ArtifactReference;
  /** ISO 8601. */
  startedIso: string;
  untilIso: string;
  intervalMs: number;
  /** Breaches of earlier watches that people have let pass: what was written to etcd then is not reported again. */
  accepted?: string[];
}

export interface WatchCalicoResult {
  /** Single looks: the lock of either side, etcd's drift, each workload. */
  samples: number;
  errors: number;
  /** Two decimals. */
  errorRatePercent: number;
  breaches: string[];
}
