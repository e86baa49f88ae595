// Takes the import back: what it created goes, what it replaced returns, and nothing else is touched.
import type { ArtifactReference } from '../../artifacts/store';
import type { CalicoScope, Encoding } from '../scope';
import type { CheckDependencies } from './checks';

export interface RemoveRequest {
  scope: CalicoScope;
  /** The export file. */
  file: ArtifactReference;
  /** What was there before us. */
  inventory: ArtifactReference;
  encoding: Encoding;
  /** Late rollback: what appeared since the import goes as well. */
  alsoNew?: boolean;
}

export interface Removal {
  removed: number;
  restored: number;
  /** Objects of Calico kinds that are neither ours nor were there before, and stay: the first twenty. */
  left: string[];
  leftTotal: number;
  /** Removed or put back although somebody had changed them since the import: the first twenty. */
  changedSince: string[];
  changedSinceTotal: number;
}

export function createRemoveActivities(_dependencies: CheckDependencies) {
  return {
    removeImported: (_request: RemoveRequest): Promise<Removal> => Promise.reject(new Error('not yet')),
  };
}
