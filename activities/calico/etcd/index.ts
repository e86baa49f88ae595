// The activities on the etcd side of a Calico migration.
import type { ArtifactStore } from '../../artifacts/store';
import type { EtcdConnections } from './connection';
import { createDriftActivities } from './drift';
import { createLockActivities } from './lock';
import { createRestoreActivities } from './restore';
import { createSnapshotActivities } from './snapshot';

export { EtcdConnections } from './connection';
export type { EtcdChange, EtcdDrift } from './drift';
export type { EtcdLockState } from './lock';
export type { LockState } from './lock-state';
export type { EtcdRestored } from './restore';
export type { EtcdSnapshot } from './snapshot';
export { readEntries } from './snapshot-file';

export interface EtcdDependencies {
  etcd: EtcdConnections;
  artifacts: ArtifactStore;
}

export function createEtcdActivities(dependencies: EtcdDependencies) {
  return {
    ...createLockActivities(dependencies),
    ...createSnapshotActivities(dependencies),
    ...createDriftActivities(dependencies),
    ...createRestoreActivities(dependencies),
  };
}
