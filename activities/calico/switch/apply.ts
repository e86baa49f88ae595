// Objects of a manifest onto the cluster, as `kubectl apply --server-side --force-conflicts` does: namespaces and CRDs first and waited for,
// then the others in the order of the file. Fields that an earlier manifest set and this one does not have go.
import { setTimeout as sleep } from 'node:timers/promises';
import { failure } from '../../errors';
import { isObject, type JsonObject } from '../json';
import { isConflict, type KubernetesApi } from '../kubernetes/connection';
import { sameContent } from './content';
import { Discovery, type PlacedObject } from './discovery';
import { withLastApplied } from './last-applied';
import { titleOf, type ManifestObject } from './manifest';
import { fieldManager, takenOver } from './takeover';

export interface AppliedObject {
  object: PlacedObject;
  outcome: 'created' | 'changed' | 'equal';
}

const crdWaitMs = 60_000;
const conflictTries = 5;

/**
 * Applies all objects; equal ones stay as they are, so that it can be done again at any point.
 * @throws PreconditionFailed naming the object that the server refused, with its reason; TargetUnavailable, AuthDenied
 */
export async function applyObjects(
  api: KubernetesApi,
  objects: ManifestObject[],
  signal: AbortSignal,
  progress: (done: number, title: string) => void,
): Promise<AppliedObject[]> {
  const discovery = new Discovery(api);
  const applied: AppliedObject[] = [];
  for (const object of inOrder(objects)) {
    signal.throwIfAborted();
    progress(applied.length, titleOf(object));
    const placed = await placeServed(discovery, object, objects, signal);
    applied.push({ object: placed, outcome: await applyOne(api, placed) });
    if (isCrd(object)) await established(api, placed, signal);
  }
  return applied;
}

function inOrder(objects: ManifestObject[]): ManifestObject[] {
  const early = (object: ManifestObject) => isCrd(object) || isNamespace(object);
  return [...objects.filter(isNamespace), ...objects.filter(isCrd), ...objects.filter((object) => !early(object))];
}

export function isCrd({ apiVersion, kind }: Pick<ManifestObject, 'apiVersion' | 'kind'>): boolean {
  return kind === 'CustomResourceDefinition' && apiVersion.startsWith('apiextensions.k8s.io/');
}

export function isNamespace({ apiVersion, kind }: Pick<ManifestObject, 'apiVersion' | 'kind'>): boolean {
  return kind === 'Namespace' && apiVersion === 'v1';
}

/** A kind whose CRD the same manifest brings may take a moment to be served. */
async function placeServed(
  discovery: Discovery,
  object: ManifestObject,
  objects: ManifestObject[],
  signal: AbortSignal,
): Promise<PlacedObject> {
  const brought = objects.some((other) => isCrd(other) && kindOfCrd(other.body) === object.kind);
  const until = Date.now() + crdWaitMs;
  while (brought && Date.now() < until) {
    const placed = await discovery.find(object);
    if (placed) return placed;
    await sleep(250, undefined, { signal });
  }
  return discovery.place(object);
}

function kindOfCrd(body: JsonObject): string | undefined {
  const names = isObject(body.spec) ? body.spec.names : undefined;
  return isObject(names) && typeof names.kind === 'string' ? names.kind : undefined;
}

async function applyOne(api: KubernetesApi, object: PlacedObject): Promise<AppliedObject['outcome']> {
  const live = await takeOver(api, object);
  const after = await api.apply(object.path, withLastApplied(object.body, live), { fieldManager, force: true });
  if (!live) return 'created';
  return sameContent(live, after) ? 'equal' : 'changed';
}

/** Makes what kubectl's managers own ours, on the object as it is now; somebody's write in between means another try. */
async function takeOver(api: KubernetesApi, object: PlacedObject): Promise<JsonObject | undefined> {
  for (let attempt = 1; ; attempt += 1) {
    const live = await api.get(object.path);
    const managedFields = live && takenOver(live);
    if (!managedFields) return live;
    const { resourceVersion } = isObject(live.metadata) ? live.metadata : {};
    try {
      await api.patch(object.path, 'json', [
        { op: 'replace', path: '/metadata/managedFields', value: managedFields },
        { op: 'replace', path: '/metadata/resourceVersion', value: resourceVersion },
      ]);
      return live;
    } catch (error) {
      if (!isConflict(error) || attempt >= conflictTries) throw error;
    }
  }
}

async function established(api: KubernetesApi, crd: PlacedObject, signal: AbortSignal): Promise<void> {
  const until = Date.now() + crdWaitMs;
  for (;;) {
    const live = await api.get(crd.path);
    const status = isObject(live?.status) ? live.status : {};
    const conditions = (Array.isArray(status.conditions) ? status.conditions : []).filter(isObject);
    const holds = (type: string) =>
      conditions.some((condition) => condition.type === type && condition.status === 'True');
    if (holds('Established') && holds('NamesAccepted')) return;
    if (Date.now() >= until) {
      const why = conditions.find(({ status: state }) => state === 'False')?.message;
      throw failure(
        'PreconditionFailed',
        `CRD ${crd.name} was not established within ${crdWaitMs / 1000} s${typeof why === 'string' ? `: ${why}` : ''}. Look at it with "kubectl describe crd ${crd.name}" and retry.`,
      );
    }
    await sleep(200, undefined, { signal });
  }
}
