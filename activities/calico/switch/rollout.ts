// Whether the DaemonSets and Deployments of a manifest run what it says: the template carries the datastore expected, the controllers have seen
// it, and every pod is of the new template and ready. While the datastore is locked new pods of calico-node are ready and wait.
import { counted } from '../../preflight/check';
import { isObject, type JsonObject } from '../json';
import type { KubernetesApi } from '../kubernetes/connection';
import { Discovery } from './discovery';
import { titleOf, type ManifestObject } from './manifest';
import type { WorkloadState } from './types';
import { calicoNodeOf, isWorkload, member, otherDatastore, type Datastore } from './workload';

export interface WorkloadLook extends WorkloadState {
  /** What is still missing: "2 of 5 pods are of the new template"; undefined when the rollout is complete. */
  lagging?: string;
  /** What waiting does not mend: "container calico-node says etcd". */
  wrong?: string;
}

/** Looks at every workload once. @throws TargetUnavailable, AuthDenied */
export async function lookAtWorkloads(
  api: KubernetesApi,
  objects: ManifestObject[],
  expected: Datastore,
): Promise<WorkloadLook[]> {
  const discovery = new Discovery(api);
  const looks: WorkloadLook[] = [];
  for (const object of objects.filter(isWorkload)) {
    const { path, ...placed } = await discovery.place(object);
    const live = await api.get(path);
    looks.push(lookAt(titleOf(placed), live, expected));
  }
  return looks;
}

/** What the status of one workload says. Pure. */
export function lookAt(name: string, live: JsonObject | undefined, expected: Datastore): WorkloadLook {
  if (!live) return { name, desired: 0, updated: 0, ready: 0, wrong: 'is not there' };
  const { desired, updated, ready, old } = countsOf(live);
  const state = { name, desired, updated, ready };
  const other = otherDatastore(live, expected);
  if (other.length > 0) {
    return { ...state, wrong: `is not set to ${expected}: ${other.join(', ')}${writersOf(live)}` };
  }
  const { generation } = member(live, 'metadata');
  const { observedGeneration } = member(live, 'status');
  const seen = numberOf(observedGeneration);
  if (seen < numberOf(generation)) {
    return {
      ...state,
      lagging: `the controller has not looked at it yet (generation ${seen} of ${numberOf(generation)})`,
    };
  }
  // calico-node-windows may have no node; calico-node itself without one means that nobody has counted, or that no node runs Calico.
  if (live.kind === 'DaemonSet' && desired === 0 && calicoNodeOf(live) && !/windows/i.test(name))
    return { ...state, lagging: 'it is scheduled on no node at all' };
  if (updated < desired) {
    const onDelete = member(member(live, 'spec'), 'updateStrategy').type === 'OnDelete';
    const why = onDelete ? '; its update strategy is OnDelete, so its old pods have to be deleted by hand' : '';
    return { ...state, lagging: `${updated} of ${desired} pods are of the new template${why}` };
  }
  if (old > 0) return { ...state, lagging: `${counted(old, 'pod')} of the former template still there` };
  if (ready < desired) return { ...state, lagging: `${ready} of ${desired} pods are ready` };
  return state;
}

function countsOf(live: JsonObject): { desired: number; updated: number; ready: number; old: number } {
  const status = member(live, 'status');
  if (live.kind === 'DaemonSet') {
    const desired = numberOf(status.desiredNumberScheduled);
    return {
      desired,
      updated: Math.min(numberOf(status.updatedNumberScheduled), numberOf(status.currentNumberScheduled)),
      ready: Math.min(numberOf(status.numberReady), numberOf(status.numberAvailable)),
      old: 0,
    };
  }
  const { replicas = 1 } = member(live, 'spec');
  const updated = numberOf(status.updatedReplicas);
  return {
    desired: numberOf(replicas),
    updated,
    ready: Math.min(numberOf(status.readyReplicas), numberOf(status.availableReplicas ?? status.readyReplicas)),
    old: Math.max(0, numberOf(status.replicas) - updated),
  };
}

/** Who has a hand in the pod template besides us: the one who put the setting there. */
function writersOf(live: JsonObject): string {
  const { managedFields } = member(live, 'metadata');
  const others = (Array.isArray(managedFields) ? managedFields : [])
    .filter(isObject)
    .filter(
      ({ fieldsV1, subresource }) => !subresource && 'f:template' in member(member({ fieldsV1 }, 'fieldsV1'), 'f:spec'),
    )
    .map(({ manager }) => manager)
    .filter((manager): manager is string => typeof manager === 'string' && manager !== 'cutover');
  return others.length > 0 ? ` (its template was also written by ${[...new Set(others)].join(', ')})` : '';
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : Number(value ?? 0);
}
