// The lock of the Kubernetes datastore: Calico's ready flag in ClusterInformation. The object is made locked, so that no component ever finds a
// datastore that is ready and half full.
import type { ArtifactReference } from '../../artifacts/store';
import type { LockState } from '../etcd/lock-state';
import type { CalicoScope } from '../scope';
import type { KubernetesDependencies } from './dependencies';

export interface KubernetesLockState {
  state: LockState;
  calicoVersion?: string;
}

export interface LockKubernetesRequest {
  scope: CalicoScope;
  /** The export file: GUID and version of a ClusterInformation that is not there yet. */
  file?: ArtifactReference;
}

export function createKubernetesLockActivities(_dependencies: KubernetesDependencies) {
  return {
    kubernetesLockState: (_request: { scope: CalicoScope }): Promise<KubernetesLockState> =>
      Promise.reject(new Error('not yet')),
    lockKubernetes: (_request: LockKubernetesRequest): Promise<{ before: LockState; created: boolean }> =>
      Promise.reject(new Error('not yet')),
    unlockKubernetes: (_request: { scope: CalicoScope }): Promise<{ before: LockState; changed: boolean }> =>
      Promise.reject(new Error('not yet')),
  };
}
