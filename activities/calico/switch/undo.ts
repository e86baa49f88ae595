// The way back from the switch: the etcd manifest applied, what the switch brought removed, what it changed put back as it was recorded.
// CRDs are put back, never removed: with a CRD goes every object of its kind, so that is decided where the objects are known.
// May be run from any half-done state, and again: each object is looked at before anything is done to it.
import { isObject, type JsonObject } from '../json';
import { isRefusedContent, type KubernetesApi } from '../kubernetes/connection';
import { applyObjects, isCrd, isNamespace } from './apply';
import { contentDifferences, sameContent } from './content';
import { Discovery, type PlacedObject } from './discovery';
import type { FormerState } from './former';
import { identityOf, titleOf, type ManifestObject } from './manifest';
import { fieldManager } from './takeover';
import type { UndoResult } from './types';

const shown = 20;

export async function undoSwitch(
  api: KubernetesApi,
  { switched, etcd, former }: { switched: ManifestObject[]; etcd: ManifestObject[]; former: FormerState },
  signal: AbortSignal,
  progress: (done: number, title: string) => void,
): Promise<UndoResult> {
  const applied = await applyObjects(api, etcd, signal, progress);
  const inEtcd = new Set(etcd.map(identityOf));
  // What stands last in the file depends on what stands before it.
  const others = switched.filter((object) => !inEtcd.has(identityOf(object))).reverse();
  const discovery = new Discovery(api);
  const refused: string[] = [];
  let removed = 0;
  let restored = 0;
  for (const object of others) {
    signal.throwIfAborted();
    progress(applied.length + removed + restored, titleOf(object));
    const placed = await discovery.find(object);
    if (!placed) continue;
    const before = former.get(identityOf(object));
    // Not recorded is not known to be ours.
    if (before === undefined) continue;
    if (isCrd(object)) {
      if (before) restored += (await restoreCrd(api, placed, before, refused)) ? 1 : 0;
    } else if (before === null) removed += (await removeOne(api, placed)) ? 1 : 0;
    else restored += (await restoreOne(api, placed, before)) ? 1 : 0;
  }
  return {
    applied: applied.length,
    removed,
    restored,
    differences: [...refused, ...(await differencesFrom(api, [...etcd, ...others], former, signal))].slice(0, shown),
  };
}

async function removeOne(api: KubernetesApi, object: PlacedObject): Promise<boolean> {
  const live = await api.get(object.path);
  if (!live || isBeingDeleted(live)) return false;
  // Somebody else may have put things into a namespace meanwhile; an empty one does no harm.
  if (isNamespace(object)) return false;
  const { uid } = isObject(live.metadata) ? live.metadata : {};
  await api.remove(object.path, typeof uid === 'string' ? { uid } : {});
  return true;
}

/** The whole former object, its field managers included, so that the next `kubectl apply` finds what it left. */
async function restoreOne(api: KubernetesApi, object: PlacedObject, before: JsonObject): Promise<boolean> {
  const live = await api.get(object.path);
  if (live && sameContent(before, live)) return false;
  const former = isObject(before.metadata) ? before.metadata : {};
  const { name, namespace, labels, annotations, ownerReferences, finalizers, managedFields } = former;
  const kept = { name, namespace, labels, annotations, ownerReferences, finalizers };
  const content = { ...before, status: undefined };
  if (!live) {
    // By its name, not into the collection: rights may be given for names only.
    await api.apply(object.path, { ...content, metadata: kept }, { fieldManager, force: true });
    return true;
  }
  const { resourceVersion } = isObject(live.metadata) ? live.metadata : {};
  await api.replace(object.path, { ...content, metadata: { ...kept, managedFields, resourceVersion } });
  return true;
}

/** As it was, by the right to patch that applying it took. What the server will not have back is told: it must not hold up the way back. */
async function restoreCrd(
  api: KubernetesApi,
  crd: PlacedObject,
  before: JsonObject,
  refused: string[],
): Promise<boolean> {
  const live = await api.get(crd.path);
  if (!live || isBeingDeleted(live) || sameContent(before, live)) return false;
  const { resourceVersion } = isObject(live.metadata) ? live.metadata : {};
  const { labels = {}, annotations = {}, managedFields = [] } = isObject(before.metadata) ? before.metadata : {};
  try {
    await api.patch(crd.path, 'json', [
      { op: 'add', path: '/spec', value: before.spec },
      { op: 'add', path: '/metadata/labels', value: labels },
      { op: 'add', path: '/metadata/annotations', value: annotations },
      { op: 'add', path: '/metadata/managedFields', value: managedFields },
      { op: 'replace', path: '/metadata/resourceVersion', value: resourceVersion },
    ]);
  } catch (error) {
    if (!isRefusedContent(error)) throw error;
    refused.push(`${titleOf(crd)} stays as the switch left it: ${error instanceof Error ? error.message : ''}`);
    return false;
  }
  return true;
}

async function differencesFrom(
  api: KubernetesApi,
  objects: ManifestObject[],
  former: FormerState,
  signal: AbortSignal,
): Promise<string[]> {
  const discovery = new Discovery(api);
  const found: string[] = [];
  for (const object of objects) {
    signal.throwIfAborted();
    const before = former.get(identityOf(object));
    if (isCrd(object) && !before) continue;
    const placed = await discovery.find(object);
    const live = placed && (await api.get(placed.path));
    const title = titleOf(placed ?? object);
    if (before === undefined) continue;
    if (before === null) {
      if (live && !isBeingDeleted(live)) found.push(`${title} was not there before the switch`);
    } else if (!live) found.push(`${title} was there before the switch and is missing`);
    else found.push(...contentDifferences(before, live).map((difference) => `${title}: ${difference}`));
  }
  return found;
}

function isBeingDeleted(object: JsonObject): boolean {
  return isObject(object.metadata) && object.metadata.deletionTimestamp !== undefined;
}
