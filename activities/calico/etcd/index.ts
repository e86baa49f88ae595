// The activities on the etcd side of a Calico migration.
import type { ArtifactReference, ArtifactStore } from '../../artifacts/store';
import type { CalicoScope } from '../scope';
import type { EtcdConnections } from './connection';
import type { LockState } from './lock-state';

export type { LockState } from './lock-state';
export { EtcdConnections } from './connection';

export interface EtcdDependencies {
  etcd: EtcdConnections;
  artifacts: ArtifactStore;
}

export interface EtcdLockState {
  state: LockState;
  calicoVersion?: string;
  clusterGuid?: string;
  /** Of the read, as text. */
  revision: string;
}

/** Everything below the prefix at one revision: JSON lines of EtcdEntry, in key order. */
export interface EtcdSnapshot {
  artifact: ArtifactReference;
  revision: string;
  keys: number;
  bytes: number;
  /** Keys with a lease among them. */
  leased: number;
}

export interface EtcdChange {
  key: string;
  change: 'added' | 'changed' | 'deleted';
}

export interface EtcdDrift {
  /** Changes of keys that are never migrated: status reports, data made from Kubernetes. */
  harmless: number;
  /** The first twenty. */
  changes: EtcdChange[];
  total: number;
  /** Of the reading now. */
  revision: string;
}

export interface EtcdRestored {
  written: number;
  deleted: number;
  equal: number;
}

function notYet<T>(...wanted: unknown[]): Promise<T> {
  return Promise.reject(new Error(`not yet: ${wanted.length}`));
}

export function createEtcdActivities(dependencies: EtcdDependencies) {
  return {
    etcdLockState: (input: { scope: CalicoScope }) => notYet<EtcdLockState>(input, dependencies),
    /** `before`: what was there before the first try, so that a repeated try does not take our own lock for a former one. */
    lockEtcd: (input: { scope: CalicoScope; before?: LockState }) =>
      notYet<{ before: LockState; revision: string }>(input, dependencies),
    unlockEtcd: (input: { scope: CalicoScope; to: LockState }) =>
      notYet<{ state: LockState; changed: boolean }>(input, dependencies),
    takeEtcdSnapshot: (input: { scope: CalicoScope; name: string }) => notYet<EtcdSnapshot>(input, dependencies),
    verifyEtcdSnapshot: (input: { scope: CalicoScope; snapshot: EtcdSnapshot }) =>
      notYet<{ evidence: string[] }>(input, dependencies),
    findEtcdDrift: (input: { scope: CalicoScope; snapshot: EtcdSnapshot; ignore?: string[] }) =>
      notYet<EtcdDrift>(input, dependencies),
    restoreEtcdSnapshot: (input: { scope: CalicoScope; artifact: ArtifactReference; dryRun?: boolean }) =>
      notYet<EtcdRestored>(input, dependencies),
  };
}
