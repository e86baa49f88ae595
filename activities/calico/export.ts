// Makes the export file out of a snapshot of etcd: artifact in, artifacts out. Needs neither etcd nor a cluster, so it can be done any number of times.
import type { CalicoAccounting } from '../../journal/types';
import type { ArtifactReference, ArtifactStore } from '../artifacts/store';
import { failure } from '../errors';
import { withHeartbeat } from '../heartbeat';
import { readEntries } from './etcd/snapshot-file';
import { countData, type CalicoData } from './model/calico-data';
import { countRefused } from './model/disposition';
import type { EtcdEntry } from './model/entry';
import { exportEntries } from './model/export';
import { ExportFileError, writeExportFile } from './model/export-file';
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

export function createCalicoExportActivities({ artifacts }: { artifacts: ArtifactStore }) {
  return {
    /**
     * The same snapshot gives the same file, byte for byte.
     * @throws PreconditionFailed when the snapshot is none or has no ClusterInformation; VerificationMismatch, ArtifactStoreUnavailable
     */
    exportCalico: ({ scope, snapshot, revision }: ExportRequest): Promise<ExportResult> =>
      withHeartbeat({ entries: 0 }, async (beat) => {
        const entries: EtcdEntry[] = [];
        for await (const entry of readEntries(await artifacts.fetch(snapshot))) {
          entries.push(entry);
          beat.report({ entries: entries.length });
        }
        const { data, accounting, dispositions } = exportEntries(entries, { prefix: scope.source.prefix, revision });
        beat.signal.throwIfAborted();
        const { migration } = scope;
        const calicoVersion = versionOf(data);
        return {
          file: await artifacts.put(migration, 'calico-export.yaml', fileText(data)),
          accounting,
          dispositions: await artifacts.put(migration, 'calico-dispositions.jsonl', lines(dispositions)),
          refusedByCategory: countRefused(dispositions),
          ...(calicoVersion !== undefined && { calicoVersion }),
          objects: countData(data),
        };
      }),
  };
}

function fileText(data: CalicoData): string {
  try {
    return writeExportFile(data);
  } catch (error) {
    if (!(error instanceof ExportFileError)) throw error;
    throw failure(
      'PreconditionFailed',
      `The export file cannot be written: ${error.where} would hold ${error.found}. Check that the source is a Calico datastore and that its ClusterInformation can be read.`,
    );
  }
}

function versionOf({ clusterInformation }: CalicoData): string | undefined {
  const spec = clusterInformation?.spec;
  const version = typeof spec === 'object' && spec !== null && 'calicoVersion' in spec ? spec.calicoVersion : undefined;
  return typeof version === 'string' && version !== '' ? version : undefined;
}

function lines(items: readonly unknown[]): string {
  return items.map((item) => `${JSON.stringify(item)}\n`).join('');
}
