// The lock of the Kubernetes datastore: Calico's ready flag in ClusterInformation. The object is made locked, so that no component ever finds a
// datastore that is ready and half full. Only the flag is changed, on the object as it was read; everything else in it stays.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ArtifactReference } from '../../artifacts/store';
import { failure } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import type { LockState } from '../etcd/lock-state';
import { isObject, type JsonObject } from '../json';
import { desiredState } from '../model/desired';
import type { CalicoScope } from '../scope';
import { isAbsent, isConflict } from './answers';
import type { KubernetesApi } from './api';
import type { KubernetesDependencies } from './dependencies';
import { collectionPath, resourcePath } from './paths';
import { clusterInformation, metadataOf } from './present';
import { readClusterInformationOf } from './wanted';

export interface KubernetesLockState {
  state: LockState;
  calicoVersion?: string;
}

export interface LockKubernetesRequest {
  scope: CalicoScope;
  /** The export file: GUID and version of a ClusterInformation that is not there yet. */
  file?: ArtifactReference;
}

const path = resourcePath({ plural: clusterInformation, name: 'default' });
/** Far beyond what any number of writers needs. */
const tries = 50;

export function createKubernetesLockActivities({ kubernetes, artifacts }: KubernetesDependencies) {
  const made = async (file: ArtifactReference | undefined): Promise<JsonObject | undefined> => {
    if (!file) return undefined;
    const information = await readClusterInformationOf(artifacts, file);
    const alone = { clusterInformation: information, resources: [], ipam: { affinities: [], blocks: [], handles: [] } };
    // How policies are named matters to nothing here.
    return desiredState(alone, { policyNaming: 'prefixed', affinityLabels: false }).objects[0]?.body;
  };

  return {
    kubernetesLockState: async ({ scope }: { scope: CalicoScope }): Promise<KubernetesLockState> => {
      const api = await kubernetes.connect(scope.target);
      const information = await api.get(path);
      const { calicoVersion } = specOf(information);
      return { state: stateOf(information), ...(typeof calicoVersion === 'string' && { calicoVersion }) };
    },

    /** @throws PreconditionFailed when there is no ClusterInformation and the file has none either; TargetUnavailable, AuthDenied */
    lockKubernetes: ({ scope, file }: LockKubernetesRequest): Promise<{ before: LockState; created: boolean }> =>
      withHeartbeat(undefined, async ({ signal }) => {
        const api = await kubernetes.connect(scope.target);
        const first = await api.get(path);
        if (first) return { before: await swap(api, first, 'locked', signal), created: false };
        const body = await made(file);
        if (!body) {
          throw failure(
            'PreconditionFailed',
            'There is no ClusterInformation on the cluster to lock, and the export file has none to make it of. Give an export file of an initialised Calico.',
          );
        }
        const outcome = await api.create(collectionPath(clusterInformation), body);
        if (outcome === 'created') return { before: 'missing', created: true };
        const other = await api.get(path);
        return { before: other ? await swap(api, other, 'locked', signal) : 'missing', created: false };
      }),

    /** @throws PreconditionFailed when there is no ClusterInformation; TargetUnavailable, AuthDenied */
    unlockKubernetes: ({ scope }: { scope: CalicoScope }): Promise<{ before: LockState; changed: boolean }> =>
      withHeartbeat(undefined, async ({ signal }) => {
        const api = await kubernetes.connect(scope.target);
        const before = await swap(api, await api.get(path), 'ready', signal);
        return { before, changed: before !== 'ready' };
      }),
  };
}

/** Ends when the flag says what is wanted; returns what it said before. */
async function swap(
  api: KubernetesApi,
  first: JsonObject | undefined,
  wanted: 'ready' | 'locked',
  signal: AbortSignal,
): Promise<LockState> {
  const before = stateOf(first);
  let information = first;
  for (let attempt = 1; attempt <= tries; attempt += 1) {
    signal.throwIfAborted();
    if (!information) throw nothingThere(wanted);
    if (stateOf(information) === wanted) return before;
    const { resourceVersion } = metadataOf(information);
    try {
      await api.patch(path, 'merge', { metadata: { resourceVersion }, spec: { datastoreReady: wanted === 'ready' } });
      return before;
    } catch (error) {
      if (!isConflict(error) && !isAbsent(error)) throw error;
    }
    await sleep(Math.random() * 10 * Math.min(attempt, 20), undefined, { signal });
    information = await api.get(path);
  }
  throw failure(
    'TargetUnavailable',
    `ClusterInformation default could not be set to ${wanted}: in ${tries} tries somebody else wrote it each time. It is tried again by itself; find out who writes that object all the time.`,
  );
}

function stateOf(information: JsonObject | undefined): LockState {
  if (!information) return 'missing';
  const { datastoreReady } = specOf(information);
  if (datastoreReady === true) return 'ready';
  return datastoreReady === false ? 'locked' : 'unset';
}

function specOf(information: JsonObject | undefined): JsonObject {
  return isObject(information?.spec) ? information.spec : {};
}

function nothingThere(wanted: 'ready' | 'locked'): Error {
  const doing = wanted === 'ready' ? 'unlock' : 'lock';
  return failure(
    'PreconditionFailed',
    `There is no ClusterInformation on the cluster to ${doing}: nothing was imported, or somebody has removed it. Import again before you ${doing} it.`,
  );
}
