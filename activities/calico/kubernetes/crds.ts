// The definitions of Calico's kinds: those of the manifest that the cluster lacks are made and waited for; what is there stays as it is.
import type { ArtifactReference } from '../../artifacts/store';
import type { CalicoScope } from '../scope';
import type { KubernetesDependencies } from './dependencies';

export interface EnsureCrdsRequest {
  scope: CalicoScope;
  /** YAML of the manifest, its CustomResourceDefinitions among other things. */
  manifest?: ArtifactReference;
}

export interface EnsuredCrds {
  created: string[];
  present: number;
  /** What deserves a look: a CRD that is there with another schema than the manifest's. */
  notes: string[];
}

export interface RemoveCrdsRequest {
  scope: CalicoScope;
  /** Those that we created, by name. */
  crds: string[];
  /** What was there before us. */
  inventory: ArtifactReference;
}

export interface RemovedCrds {
  removed: string[];
  kept: { name: string; why: string }[];
}

export function createCrdActivities(_dependencies: KubernetesDependencies) {
  return {
    ensureCrds: (_request: EnsureCrdsRequest): Promise<EnsuredCrds> => Promise.reject(new Error('not yet')),
    removeCrds: (_request: RemoveCrdsRequest): Promise<RemovedCrds> => Promise.reject(new Error('not yet')),
  };
}
