// Makes the export file out of a snapshot of etcd: artifact in, artifacts out. Needs neither etcd nor a cluster, so it can be done any number of times.
import type { CalicoAccounting } from '../../journal/types';
import type { ArtifactReference, ArtifactStore } from '../artifacts/store';
import type { CalicoScope } from './scope';

export interface ExportRequest {
  scope: CalicoScope;
  /** A snapshot of etcd: an EtcdEntry a line, as JSON. */
  snapshot: ArtifactReference;
  /** At which it was taken, as text. */
  revision: string;
}

export interface ExportResult {
  /** `calico-export.yaml`: what `calicoctl datastore migrate import` reads. */
  file: ArtifactReference;
  accounting: CalicoAccounting;
  /** A Disposition a line, as JSON: one for every key. */
  dispositions: ArtifactReference;
  /** RefusalCategory -> how many. */
  refusedByCategory: Record<string, number>;
  /** Of the cluster information. */
  calicoVersion?: string;
  /** In the file: resources, IPAM entries and the cluster information. */
  objects: number;
}

export function createCalicoExportActivities(_dependencies: { artifacts: ArtifactStore }) {
  return {
    exportCalico: (_request: ExportRequest): Promise<ExportResult> => Promise.reject(new Error('not yet')),
  };
}
