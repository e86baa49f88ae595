// The last look at the cluster: everything that the migration may have made there, found or not found by looking, never by memory.
import type { CreatedObject } from '../../../journal/types';
import type { ArtifactReference } from '../../artifacts/store';
import type { CalicoScope } from '../scope';
import type { CheckDependencies } from './checks';

export interface KubernetesLeftoverRequest {
  scope: CalicoScope;
  /** What was there before us. */
  inventory: ArtifactReference;
  /** Names of the CRDs that we created. */
  crds: string[];
}

export function createKubernetesLeftoverActivities(_dependencies: CheckDependencies) {
  return {
    findKubernetesLeftovers: (_request: KubernetesLeftoverRequest): Promise<CreatedObject[]> =>
      Promise.reject(new Error('not yet')),
  };
}
