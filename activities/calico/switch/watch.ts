// After the unlock: the cluster watched for as long as the plan says, in one activity whose counters live in its heartbeats, so that a day of
// watching costs no history and a restarted worker goes on counting. A component that still writes to etcd is what it is there to find.
import { setTimeout as sleep } from 'node:timers/promises';
import { lastReported, withHeartbeat } from '../../heartbeat';
import type { CalicoDependencies } from '../dependencies';
import { driftSince } from '../etcd/drift';
import { clusterInformationKey, readClusterInformation } from '../etcd/lock-state';
import type { KubernetesApi } from '../kubernetes/connection';
import { parseManifest, type ManifestObject } from './manifest';
import { lookAtWorkloads } from './rollout';
import type { WatchCalicoRequest, WatchCalicoResult } from './types';
import { addLooks, breachesOf, initialState, parseState, type Look, type WatchState } from './watch-state';
import { member } from './workload';

const clusterInformationPath = '/apis/crd.projectcalico.org/v1/clusterinformations/default';
const keysNamed = 3;

export interface WatchOptions {
  /** How long something may be in trouble that may pass by itself. */
  patienceMs?: number;
}

export function createWatchActivities(
  { etcd, kubernetes, artifacts }: Pick<CalicoDependencies, 'etcd' | 'kubernetes' | 'artifacts'>,
  { patienceMs = 600_000 }: WatchOptions = {},
) {
  /** The old side: locked still, and nothing of Calico's written since the pin. */
  async function lookAtEtcd(request: WatchCalicoRequest, path: string, signal: AbortSignal): Promise<Look> {
    const { scope, snapshot, accepted = [] } = request;
    const { prefix } = scope.source;
    const at = 'etcd';
    return etcd.with(scope.source, async (datastore) => {
      const key = clusterInformationKey(prefix);
      const entry = await datastore.get(key);
      const state = entry ? readClusterInformation(key, entry.value).state : 'missing';
      if (state !== 'locked') {
        return {
          at,
          breach: `etcd is ${state}, no longer locked: whatever still uses it hands out addresses a second time`,
        };
      }
      const beat = { signal, report: () => undefined };
      const { total, changes } = await driftSince(
        { revision: snapshot.revision, path },
        { datastore, prefix, ignore: [key] },
        beat,
      );
      if (total === 0) return { at };
      const named = changes.slice(0, keysNamed).map(({ key: changed, change }) => `${change} ${changed}`);
      const breach = `somebody writes to etcd: ${total} of Calico's keys changed since the snapshot (${named.join(', ')}${total > keysNamed ? ', …' : ''})`;
      return accepted.includes(breach) ? { at } : { at, breach };
    });
  }

  async function lookAtTarget(api: KubernetesApi): Promise<Look> {
    const at = 'ClusterInformation of the target';
    const live = await api.get(clusterInformationPath);
    if (!live) return { at, breach: 'the target has no ClusterInformation default: no component can work with it' };
    const { datastoreReady } = member(live, 'spec');
    return datastoreReady === true
      ? { at }
      : { at, breach: 'the target is locked again: no pod gets an address until it is unlocked' };
  }

  async function lookAtAll(request: WatchCalicoRequest, objects: ManifestObject[], path: string, signal: AbortSignal) {
    const { target } = request.scope;
    const old = tried('etcd', signal, async () => [await lookAtEtcd(request, path, signal)]);
    const fresh = tried('ClusterInformation of the target', signal, async () => [
      await lookAtTarget(await kubernetes.connect(target)),
    ]);
    const workloads = tried('workloads', signal, async () =>
      (await lookAtWorkloads(await kubernetes.connect(target), objects, 'kubernetes')).map(
        ({ name, wrong, lagging }): Look => ({
          at: name,
          ...(wrong !== undefined && { breach: `${name} ${wrong}` }),
          ...(lagging !== undefined && { trouble: lagging }),
        }),
      ),
    );
    return (await Promise.all([old, fresh, workloads])).flat();
  }

  return {
    /**
     * Looks at both sides until `untilIso`, or until something is wrong that people must decide about.
     * Never throws for what it watches: what does not answer is an error in the figures, and a breach when it lasts.
     * @throws VerificationMismatch, ArtifactStoreUnavailable when the snapshot or the manifest cannot be read
     */
    watchCalico: (request: WatchCalicoRequest): Promise<WatchCalicoResult> =>
      withHeartbeat(resumedState(), async ({ signal, report }) => {
        const { manifest, snapshot, intervalMs } = request;
        const objects = manifest ? parseManifest(await artifacts.read(manifest), manifest.name) : [];
        const path = await artifacts.fetch(snapshot.artifact);
        const until = Date.parse(request.untilIso);
        let state = resumedState();
        for (;;) {
          const roundAt = Date.now();
          const looks = await lookAtAll(request, objects, path, signal);
          const now = Date.now();
          state = addLooks(state, looks, now);
          report(state);
          const breaches = breachesOf(state, looks, now, patienceMs);
          if (breaches.length > 0 || now >= until) return resultOf(state, breaches);
          await sleep(Math.max(0, Math.min(roundAt + intervalMs, until) - now), undefined, { signal });
        }
      }),
  };
}

async function tried(at: string, signal: AbortSignal, look: () => Promise<Look[]>): Promise<Look[]> {
  try {
    return await look();
  } catch (error) {
    signal.throwIfAborted();
    return [{ at, trouble: error instanceof Error ? error.message : String(error) }];
  }
}

/** What the attempt before this one had counted, if there was one. */
function resumedState(): WatchState {
  return parseState(lastReported()) ?? initialState;
}

function resultOf({ samples, errors }: WatchState, breaches: string[]): WatchCalicoResult {
  const errorRatePercent = samples === 0 ? 0 : Math.round((errors / samples) * 10_000) / 100;
  return { samples, errors, errorRatePercent, breaches };
}
