// Whether the address management on the target agrees with itself: allocations with handles, handles with blocks, affinities with blocks.
import type { ValidationRecord } from '../../../journal/types';
import type { ArtifactReference } from '../../artifacts/store';
import type { CalicoScope } from '../scope';
import type { CheckDependencies } from './checks';

export interface IpamRequest {
  scope: CalicoScope;
  /** The pinned snapshot of etcd: tells what the export refused from what etcd did not have. */
  snapshot: ArtifactReference;
  /** The export file. */
  file: ArtifactReference;
}

export function createIpamActivities(_dependencies: CheckDependencies) {
  return {
    checkIpam: (_request: IpamRequest): Promise<ValidationRecord[]> => Promise.reject(new Error('not yet')),
  };
}
