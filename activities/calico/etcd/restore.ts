// A snapshot put back into etcd, key for key: below the prefix everything is as it was then, and nothing outside of it is touched.
// Keys with a lease stay out of it: the lease is gone, and a status report without one would never go away.
import type { ArtifactReference, ArtifactStore } from '../../artifacts/store';
import { failure } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import type { EtcdEntry } from '../model/entry';
import type { CalicoScope } from '../scope';
import type { EtcdConnections } from './connection';
import type { EtcdDatastore, EtcdWrite } from './datastore';
import { clusterInformationKey, readClusterInformation } from './lock-state';
import { pairUp } from './pairing';
import { entriesOf, type ReadingProgress } from './progress';
import { bytesOf, readEntries, sameValue } from './snapshot-file';

export interface EtcdRestored {
  written: number;
  deleted: number;
  equal: number;
  /** Keys with a lease, then or now: left as they are. Absent when there are none. */
  leased?: number;
}

/** Held in memory at a time. */
const bytesAtOnce = 4 * 1024 * 1024;

export function createRestoreActivities({ etcd, artifacts }: { etcd: EtcdConnections; artifacts: ArtifactStore }) {
  return {
    /**
     * Makes what is below the prefix equal to the snapshot, by value. Can be repeated at any point; what is equal is not written.
     * @param input.dryRun counts only
     * @throws PreconditionFailed when something is to be done and the datastore is in use (neither locked nor without ClusterInformation),
     * and for an artifact with keys outside of the prefix
     */
    async restoreEtcdSnapshot(input: {
      scope: CalicoScope;
      artifact: ArtifactReference;
      dryRun?: boolean;
    }): Promise<EtcdRestored> {
      const { scope, artifact, dryRun = false } = input;
      const { prefix } = scope.source;
      return withHeartbeat<ReadingProgress, EtcdRestored>({ done: 0, total: 0 }, async ({ signal, report }) => {
        const path = await artifacts.fetch(artifact);
        await requireInside(path, prefix);
        return etcd.with(scope.source, async (datastore) => {
          const restoring = { datastore, path, prefix, signal, report };
          const wanted = await restore({ ...restoring, write: async () => undefined });
          if (dryRun || wanted.written + wanted.deleted === 0) return wanted;
          await requireNotInUse(datastore, prefix);
          return restore({ ...restoring, write: (writes) => datastore.write(writes) });
        });
      });
    },
  };
}

interface Restoring {
  datastore: EtcdDatastore;
  path: string;
  prefix: string;
  signal: AbortSignal;
  report: (progress: ReadingProgress) => void;
  write: (writes: EtcdWrite[]) => Promise<void>;
}

async function restore({ datastore, path, prefix, signal, report, write }: Restoring): Promise<EtcdRestored> {
  const done: EtcdRestored = { written: 0, deleted: 0, equal: 0 };
  const pages = datastore.readAll(prefix, undefined, { signal });
  let batch: EtcdWrite[] = [];
  let bytes = 0;
  const last: EtcdWrite[] = [];
  for await (const { key, before, now } of pairUp(readEntries(path), entriesOf(pages, report))) {
    const verdict = verdictOn(before, now);
    done[verdict] = (done[verdict] ?? 0) + 1;
    if (verdict === 'equal' || verdict === 'leased') continue;
    const change = before ? { key, value: bytesOf(before) } : { key };
    // It may unlock the datastore, so it comes when everything else is there.
    if (key === clusterInformationKey(prefix)) last.push(change);
    else batch.push(change);
    bytes += before ? bytesOf(before).length : 0;
    if (bytes < bytesAtOnce) continue;
    signal.throwIfAborted();
    await write(batch);
    [batch, bytes] = [[], 0];
  }
  await write(batch);
  await write(last);
  return done;
}

function verdictOn(before: EtcdEntry | undefined, now: EtcdEntry | undefined): keyof EtcdRestored {
  if (before?.leased || now?.leased) return 'leased';
  if (!before) return 'deleted';
  return now && sameValue(before, now) ? 'equal' : 'written';
}

async function requireInside(path: string, prefix: string): Promise<void> {
  for await (const { key } of readEntries(path)) {
    if (key.startsWith(`${prefix}/`)) continue;
    throw failure(
      'PreconditionFailed',
      `The snapshot ${path} holds ${key}, which is not below ${prefix}/, and nothing of it was restored. Give the snapshot that was taken with the prefix of this plan.`,
    );
  }
}

/** Without ClusterInformation no component of Calico works: the datastore is empty, or a restore of before was cut off. */
async function requireNotInUse(datastore: EtcdDatastore, prefix: string): Promise<void> {
  const key = clusterInformationKey(prefix);
  const entry = await datastore.get(key);
  if (!entry || readClusterInformation(key, entry.value).state === 'locked') return;
  throw failure(
    'PreconditionFailed',
    `The datastore below ${prefix}/ is in use: it is not locked, and not empty. Lock it first (calicoctl datastore migrate lock), so that nobody writes while the snapshot is put back, and retry.`,
  );
}
