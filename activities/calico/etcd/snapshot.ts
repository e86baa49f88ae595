// A snapshot of everything below the prefix, at one revision, as an artifact: what the export is made from, and what a way back can restore.
import { Readable } from 'node:stream';
import { formatBytes, formatCount } from '../../../journal/quantities';
import type { ArtifactReference, ArtifactStore } from '../../artifacts/store';
import { failure } from '../../errors';
import { withHeartbeat, type Beat } from '../../heartbeat';
import type { CalicoScope } from '../scope';
import type { EtcdConnections } from './connection';
import type { EtcdDatastore } from './datastore';
import { isCompacted } from './errors';
import { pairUp, type EntryPair } from './pairing';
import { entriesOf, reported, type ReadingProgress } from './progress';
import { printEntry, readEntries, sameValue, sizeOf } from './snapshot-file';

/** Everything below the prefix at one revision: JSON lines of EtcdEntry, in the byte order of their keys. */
export interface EtcdSnapshot {
  artifact: ArtifactReference;
  /** 64-bit, as text. */
  revision: string;
  keys: number;
  /** Of keys and values, as etcd holds them. */
  bytes: number;
  /** Keys with a lease among them. */
  leased: number;
}

/** A compaction in the middle of a reading begins it anew; one that comes so often is told. */
const readings = 3;
const differencesNamed = 20;

export function createSnapshotActivities({ etcd, artifacts }: { etcd: EtcdConnections; artifacts: ArtifactStore }) {
  return {
    /**
     * Reads everything below the prefix at one revision and stores it.
     * @param input.name of the artifact: `etcd.jsonl`
     * @throws PreconditionFailed when etcd compacts the revision away each time it is tried; SourceUnavailable (retryable)
     */
    async takeEtcdSnapshot({ scope, name }: { scope: CalicoScope; name: string }): Promise<EtcdSnapshot> {
      return withHeartbeat<ReadingProgress, EtcdSnapshot>({ done: 0, total: 0 }, (beat) =>
        etcd.with(scope.source, async (datastore) => {
          for (let reading = 1; ; reading += 1) {
            try {
              return await take(datastore, artifacts, { scope, name, beat });
            } catch (error) {
              if (!isCompacted(error) || reading === readings) throw error;
            }
          }
        }),
      );
    },

    /**
     * Reads the stored snapshot again and compares it, key for key, with etcd at its revision.
     * @throws VerificationMismatch naming the first keys that differ; PreconditionFailed when etcd has compacted the revision away,
     * since then only the digest of the file could be checked
     */
    async verifyEtcdSnapshot(input: { scope: CalicoScope; snapshot: EtcdSnapshot }): Promise<{ evidence: string[] }> {
      const { scope, snapshot } = input;
      return withHeartbeat<ReadingProgress, { evidence: string[] }>({ done: 0, total: snapshot.keys }, async (beat) => {
        const path = await artifacts.fetch(snapshot.artifact);
        return etcd.with(scope.source, async (datastore) => {
          const pages = datastore.readAll(scope.source.prefix, snapshot.revision, { signal: beat.signal });
          try {
            const keys = await compare(pairUp(readEntries(path), entriesOf(pages, beat.report)), snapshot);
            return { evidence: evidenceOf(snapshot, keys) };
          } catch (error) {
            throw isCompacted(error) ? onlyDigest(snapshot) : error;
          }
        });
      });
    },
  };
}

interface Taking {
  scope: CalicoScope;
  name: string;
  beat: Beat<ReadingProgress>;
}

async function take(datastore: EtcdDatastore, artifacts: ArtifactStore, taking: Taking): Promise<EtcdSnapshot> {
  const { scope, name, beat } = taking;
  const revision = await datastore.revision();
  const read = () => datastore.readAll(scope.source.prefix, revision, { signal: beat.signal });
  const counted = { keys: 0, bytes: 0, leased: 0 };
  // A page at a time: a hundred thousand small chunks would cost more than the reading.
  async function* pages(): AsyncGenerator<Buffer> {
    for await (const page of reported(read(), beat.report)) {
      counted.keys += page.entries.length;
      counted.bytes += page.entries.reduce((sum, entry) => sum + Buffer.byteLength(entry.key) + sizeOf(entry), 0);
      counted.leased += page.entries.filter(({ leased }) => leased).length;
      yield Buffer.from(page.entries.map(printEntry).join(''));
    }
  }
  const artifact = await artifacts.put(scope.migration, name, Readable.from(pages(), { objectMode: false }));
  return { artifact, revision, ...counted };
}

/** @returns how many keys are equal */
async function compare(pairs: AsyncIterable<EntryPair>, snapshot: EtcdSnapshot): Promise<number> {
  const differing: string[] = [];
  let total = 0;
  let equal = 0;
  for await (const { key, before, now } of pairs) {
    if (before && now && before.modRevision === now.modRevision && sameValue(before, now)) {
      equal += 1;
      continue;
    }
    total += 1;
    const how = !before ? 'missing in the snapshot' : !now ? 'not in etcd' : 'different';
    if (differing.length < differencesNamed) differing.push(`${key} (${how})`);
  }
  if (total > 0 || equal !== snapshot.keys) {
    throw failure(
      'VerificationMismatch',
      `The snapshot of etcd at revision ${snapshot.revision} is not what etcd holds at that revision: ${total} keys differ, ${equal} of ${snapshot.keys} are equal: ${differing.join(', ')}. Take the snapshot again.`,
    );
  }
  return equal;
}

function evidenceOf({ artifact, revision, leased }: EtcdSnapshot, keys: number): string[] {
  const withLease = leased > 0 ? `, ${formatCount(leased)} of them with a lease` : '';
  return [
    `${formatCount(keys)} keys at etcd revision ${revision} read a second time: equal to the snapshot, key for key${withLease}`,
    `${artifact.name}: ${formatBytes(artifact.bytes)}, sha256 ${artifact.sha256} as stored`,
  ];
}

function onlyDigest({ artifact, revision }: EtcdSnapshot): Error {
  return failure(
    'PreconditionFailed',
    `The snapshot ${artifact.name} could not be compared with etcd: revision ${revision} has been compacted away there, and only the digest of the file was checked. Take the snapshot again.`,
    { reason: 'compacted' },
  );
}
