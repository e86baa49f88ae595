// Calico's lock on the etcd side: one flag of ClusterInformation, written by compare-and-swap, so that nobody's change of that object is lost.
// The lock is advisory: Calico's components obey it, other writers do not; that is why drift is looked for later.
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { failure } from '../../errors';
import { lastReported, withHeartbeat } from '../../heartbeat';
import type { CalicoScope } from '../scope';
import type { EtcdConnections } from './connection';
import type { EtcdDatastore } from './datastore';
import { clusterInformationKey, readClusterInformation, withLockState, type LockState } from './lock-state';

const tries = 100;

export interface EtcdLockState {
  state: LockState;
  calicoVersion?: string;
  clusterGuid?: string;
  /** Of the read, as text. */
  revision: string;
}

export function createLockActivities({ etcd }: { etcd: EtcdConnections }) {
  return {
    /** Reads the lock; changes nothing. @throws PreconditionFailed when ClusterInformation cannot be read */
    async etcdLockState({ scope }: { scope: CalicoScope }): Promise<EtcdLockState> {
      return etcd.with(scope.source, async (datastore) => {
        const revision = await datastore.revision();
        const found = await read(datastore, scope.source.prefix);
        return found ? { ...found.information, revision } : { state: 'missing', revision };
      });
    },

    /**
     * Locks, and returns only after it has read the lock back.
     * @param input.before what `etcdLockState` said before the first try. Without it a try after one that was cut off may take
     * our own lock for one that was there.
     * @returns the state before us, and the revision of the write that locked
     * @throws PreconditionFailed when there is nothing to lock; SourceUnavailable (retryable)
     */
    async lockEtcd(input: {
      scope: CalicoScope;
      before?: LockState;
    }): Promise<{ before: LockState; revision: string }> {
      const { source } = input.scope;
      return etcd.with(source, async (datastore) => {
        const before = input.before ?? beforeLastAttempt() ?? (await stateNow(datastore, source.prefix));
        return withHeartbeat({ before }, async ({ signal }) => {
          const { revision } = await swap(datastore, source.prefix, 'locked', signal);
          return { before, revision };
        });
      });
    },

    /**
     * Puts the lock back to the state before `lockEtcd`: what was locked before stays locked, a flag that was not there goes again.
     * @throws PreconditionFailed when ClusterInformation is gone
     */
    async unlockEtcd(input: { scope: CalicoScope; to: LockState }): Promise<{ state: LockState; changed: boolean }> {
      const { source } = input.scope;
      const { to } = input;
      return withHeartbeat({}, ({ signal }) =>
        etcd.with(source, async (datastore) => {
          const state = await stateNow(datastore, source.prefix);
          const leave = to === 'locked' || to === 'missing' || (to === 'unset' && state === 'ready');
          if (leave) return { state, changed: false };
          const { changed } = await swap(datastore, source.prefix, to, signal);
          return { state: to, changed };
        }),
      );
    },
  };
}

async function read(datastore: EtcdDatastore, prefix: string) {
  const key = clusterInformationKey(prefix);
  const entry = await datastore.get(key);
  return entry && { key, entry, information: readClusterInformation(key, entry.value) };
}

async function stateNow(datastore: EtcdDatastore, prefix: string): Promise<LockState> {
  return (await read(datastore, prefix))?.information.state ?? 'missing';
}

/** Ends when a read shows the wanted state: so a write whose answer was lost counts, and one that was overwritten at once does not. */
async function swap(
  datastore: EtcdDatastore,
  prefix: string,
  wanted: 'unset' | 'ready' | 'locked',
  signal: AbortSignal,
): Promise<{ changed: boolean; revision: string }> {
  let changed = false;
  for (let attempt = 1; attempt <= tries; attempt += 1) {
    signal.throwIfAborted();
    const found = await read(datastore, prefix);
    if (!found) throw nothingToLock(prefix);
    const { key, entry, information } = found;
    if (information.state === wanted) return { changed, revision: entry.modRevision };
    const { swapped } = await datastore.compareAndSwap(key, entry.modRevision, withLockState(key, entry.value, wanted));
    if (swapped) changed = true;
    else await sleep(Math.random() * 10 * Math.min(attempt, 20), undefined, { signal });
  }
  throw failure(
    'SourceUnavailable',
    `${clusterInformationKey(prefix)} could not be set to ${wanted}: in ${tries} tries somebody else wrote it each time. It is tried again by itself; find out who writes that key all the time.`,
  );
}

function nothingToLock(prefix: string): Error {
  return failure(
    'PreconditionFailed',
    `There is no ClusterInformation at ${clusterInformationKey(prefix)}, so there is nothing to lock or unlock: no Calico was ever started on this etcd, or it uses another prefix. Correct endpoints and prefix of the source, or restore the key from a snapshot.`,
  );
}

const heartbeatSchema = z.object({ before: z.enum(['missing', 'unset', 'ready', 'locked']) });

/** What an attempt before this one found, sent with its heartbeat before it wrote. */
function beforeLastAttempt(): LockState | undefined {
  return heartbeatSchema.safeParse(lastReported()).data?.before;
}
