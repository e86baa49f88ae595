// What was written to etcd after the snapshot, in spite of the lock: anything that would be migrated and is newer than the pin, or gone.
// Whatever it finds is on the source only, and the target would never see it.
import type { ArtifactStore } from '../../artifacts/store';
import { withHeartbeat, type Beat } from '../../heartbeat';
import type { CalicoScope } from '../scope';
import type { EtcdConnections } from './connection';
import type { EtcdDatastore } from './datastore';
import { isNeverMigrated } from './never-migrated';
import { pairUp, type EntryPair } from './pairing';
import { entriesOf, type ReadingProgress } from './progress';
import type { EtcdSnapshot } from './snapshot';
import { readEntries, sameValue } from './snapshot-file';

export interface EtcdChange {
  key: string;
  change: 'added' | 'changed' | 'deleted';
}

export interface EtcdDrift {
  /** Keys that changed and are never migrated, or that were written again as they were. */
  harmless: number;
  /** The first twenty. */
  changes: EtcdChange[];
  total: number;
  /** Of the reading now. */
  revision: string;
}

const changesNamed = 20;

export function createDriftActivities({ etcd, artifacts }: { etcd: EtcdConnections; artifacts: ArtifactStore }) {
  return {
    /**
     * Compares etcd as it is now with the snapshot; changes nothing.
     * @param input.ignore keys that this migration itself has written since
     * @throws SourceUnavailable (retryable)
     */
    async findEtcdDrift(input: { scope: CalicoScope; snapshot: EtcdSnapshot; ignore?: string[] }): Promise<EtcdDrift> {
      const { scope, snapshot, ignore = [] } = input;
      return withHeartbeat<ReadingProgress, EtcdDrift>({ done: 0, total: snapshot.keys }, async (beat) => {
        const path = await artifacts.fetch(snapshot.artifact);
        const { prefix } = scope.source;
        return etcd.with(scope.source, (datastore) =>
          driftSince({ revision: snapshot.revision, path }, { datastore, prefix, ignore }, beat),
        );
      });
    },
  };
}

/** The comparison itself, for those who look again and again. `path`: the file of the snapshot. @throws SourceUnavailable (retryable) */
export async function driftSince(
  snapshot: { revision: string; path: string },
  looking: Looking,
  { signal, report }: Beat<ReadingProgress>,
): Promise<EtcdDrift> {
  const { datastore, prefix } = looking;
  const revision = await datastore.revision();
  const drift: EtcdDrift = { harmless: 0, changes: [], total: 0, revision };
  // Nothing at all was written since, to any key.
  if (revision === snapshot.revision) return drift;
  const pages = datastore.readAll(prefix, revision, { keysOnly: true, signal });
  for await (const pair of pairUp(readEntries(snapshot.path), entriesOf(pages, report))) {
    await judge(drift, pair, looking);
  }
  return drift;
}

interface Looking {
  datastore: EtcdDatastore;
  prefix: string;
  ignore: string[];
}

async function judge(drift: EtcdDrift, pair: EntryPair, { datastore, prefix, ignore }: Looking): Promise<void> {
  const { key, before, now } = pair;
  if (before && now && before.modRevision === now.modRevision) return;
  if (ignore.includes(key)) return;
  if (isNeverMigrated(key, prefix) || (await isSame(pair, drift.revision, datastore))) {
    drift.harmless += 1;
    return;
  }
  drift.total += 1;
  if (drift.total > changesNamed) return;
  const change = !before ? 'added' : now ? 'changed' : 'deleted';
  drift.changes.push({ key, change });
}

/** Written again with the same value: the look above was at revisions only. */
async function isSame({ key, before, now }: EntryPair, revision: string, datastore: EtcdDatastore): Promise<boolean> {
  if (!before || !now) return false;
  const entry = await datastore.get(key, revision);
  return entry !== undefined && sameValue(before, entry);
}
