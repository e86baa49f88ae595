// The activities of the switch: manifests read and fixed, applied, waited for, undone, and the cluster watched afterwards.
import type { ArtifactReference } from '../../artifacts/store';
import type { CalicoDependencies } from '../dependencies';
import type { CalicoScope } from '../scope';
import type {
  ApplyResult,
  ManifestPair,
  UndoResult,
  WatchCalicoRequest,
  WatchCalicoResult,
  WorkloadState,
} from './types';

export type * from './types';

export function createSwitchActivities(_dependencies: CalicoDependencies) {
  return {
    readManifests: (_request: {
      scope: CalicoScope;
      manifests: { kubernetes: string; etcd: string };
    }): Promise<ManifestPair> => Promise.reject(new Error('not yet')),
    recordManifestState: (_request: {
      scope: CalicoScope;
      manifests: ArtifactReference[];
    }): Promise<{ former: ArtifactReference; existing: number; absent: number }> =>
      Promise.reject(new Error('not yet')),
    applyManifest: (_request: {
      scope: CalicoScope;
      manifest: ArtifactReference;
      former: ArtifactReference;
    }): Promise<ApplyResult> => Promise.reject(new Error('not yet')),
    waitForRollout: (_request: {
      scope: CalicoScope;
      manifest: ArtifactReference;
      timeoutMs: number;
      expect: 'kubernetes' | 'etcd';
    }): Promise<{ workloads: WorkloadState[] }> => Promise.reject(new Error('not yet')),
    undoManifest: (_request: {
      scope: CalicoScope;
      manifest: ArtifactReference;
      etcd: ArtifactReference;
      former: ArtifactReference;
    }): Promise<UndoResult> => Promise.reject(new Error('not yet')),
    watchCalico: (_request: WatchCalicoRequest): Promise<WatchCalicoResult> => Promise.reject(new Error('not yet')),
  };
}
