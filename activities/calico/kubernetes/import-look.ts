// What the import will have to do, decided for every object before the first write: one list for each kind, compared while it is read.
import { failure } from '../../errors';
import type { KindImport } from '../../../journal/types';
import type { Json, JsonObject } from '../json';
import { differences } from '../model/compare';
import { describeObject, type DesiredObject } from '../model/desired';
import type { KubernetesApi } from './api';
import { Findings } from './findings';
import type { Inventory } from './inventory';
import { collectionPath } from './paths';
import { clusterInformation, keyOf, metadataOf } from './present';

export interface Replacement {
  object: DesiredObject;
  /** Of the object that is there: what the new content must not lose. */
  kept: { metadata: JsonObject; status?: Json };
}

export interface ImportLook {
  create: DesiredObject[];
  replace: Replacement[];
  /** In the order of the import. */
  kinds: Map<string, KindImport>;
  conflicts: Findings;
}

/** @throws PreconditionFailed for a kind or a namespace that is not there; TargetUnavailable, AuthDenied */
export async function lookBeforeImport(
  api: KubernetesApi,
  objects: Iterable<DesiredObject>,
  { existing, inventory }: { existing: 'stop' | 'replace'; inventory: Inventory },
  seen: (kind: string) => void,
): Promise<ImportLook> {
  const wanted = byPlural(objects);
  const look: ImportLook = { create: [], replace: [], kinds: new Map(), conflicts: new Findings() };
  for (const [plural, ofKind] of wanted) {
    const kind = [...ofKind.values()][0]?.kind ?? plural;
    const counts = { kind, wanted: ofKind.size, created: 0, equal: 0, replaced: 0, conflicting: 0 };
    look.kinds.set(plural, counts);
    for await (const live of api.list(collectionPath(plural))) {
      seen(kind);
      const object = takeOut(ofKind, plural, live);
      if (!object) continue;
      const found = differences(object.body, live);
      if (found.length === 0) counts.equal += 1;
      else {
        const why = existing === 'replace' ? notOurs(object, live, inventory) : '';
        if (why === undefined) look.replace.push({ object, kept: keptOf(live) });
        else {
          counts.conflicting += 1;
          look.conflicts.add(`${describeObject(object)}${why}: ${found.slice(0, 3).join('; ')}`);
        }
      }
    }
    for (const object of ofKind.values()) look.create.push(object);
  }
  await requireNamespaces(api, look.create);
  return look;
}

function byPlural(objects: Iterable<DesiredObject>): Map<string, Map<string, DesiredObject>> {
  const wanted = new Map<string, Map<string, DesiredObject>>();
  for (const object of objects) {
    const ofKind = wanted.get(object.plural) ?? new Map<string, DesiredObject>();
    ofKind.set(keyOf(object), object);
    wanted.set(object.plural, ofKind);
  }
  return wanted;
}

function takeOut(ofKind: Map<string, DesiredObject>, plural: string, live: JsonObject): DesiredObject | undefined {
  const { name, namespace } = metadataOf(live);
  if (typeof name !== 'string') return undefined;
  const key = keyOf({ plural, name, ...(typeof namespace === 'string' && { namespace }) });
  const object = ofKind.get(key);
  ofKind.delete(key);
  return object;
}

/** Why it may not be replaced: only what the inventory holds can be put back. The lock of the cluster information is our own doing. */
function notOurs(object: DesiredObject, live: JsonObject, { objects }: Inventory): string | undefined {
  const former = objects.get(keyOf(object));
  if (!former) return ' (made since the migration began)';
  if (object.plural === clusterInformation) return undefined;
  return differences(former, live).length === 0 ? undefined : ' (changed since the migration began)';
}

function keptOf(live: JsonObject): Replacement['kept'] {
  const { uid, resourceVersion, finalizers, ownerReferences } = metadataOf(live);
  return {
    metadata: { uid, resourceVersion, ...(finalizers && { finalizers }), ...(ownerReferences && { ownerReferences }) },
    status: live.status,
  };
}

async function requireNamespaces(api: KubernetesApi, objects: DesiredObject[]): Promise<void> {
  const needed = new Map<string, number>();
  for (const { namespace } of objects) {
    if (namespace !== undefined) needed.set(namespace, (needed.get(namespace) ?? 0) + 1);
  }
  if (needed.size === 0) return;
  const leaving = new Map<string, number>();
  for await (const namespace of api.list('/api/v1/namespaces', { metadataOnly: true })) {
    const { name, deletionTimestamp } = metadataOf(namespace);
    if (typeof name !== 'string') continue;
    if (deletionTimestamp !== undefined && needed.has(name)) leaving.set(name, needed.get(name) ?? 0);
    needed.delete(name);
  }
  const listed = (names: Map<string, number>): string =>
    [...names].map(([name, count]) => `${name} (${count} objects)`).join(', ');
  const missing = needed.size > 0 ? [`are not there: ${listed(needed)}`] : [];
  const terminating = leaving.size > 0 ? [`are being deleted: ${listed(leaving)}`] : [];
  const wrong = [...missing, ...terminating].join('; and others ');
  if (wrong === '') return;
  throw failure(
    'PreconditionFailed',
    `Namespaces that the data belongs to ${wrong}. Nothing was written. Create them, or remove what belongs to them from the source, and start again.`,
  );
}
