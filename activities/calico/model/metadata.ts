// Metadata of v3 objects, and how custom resources carry it: whole, as JSON in an annotation, because Calico's labels and annotations are
// its own and only few of them may show on the custom resource.
import { isObject, parseJson, type Json, type JsonObject } from '../json';
import { stashAnnotation } from './policy-names';
import { listMember, textsMember } from './values';

/**
 * What of an object's metadata goes into a file: without UID, times and revisions, which belong to the datastore that gave them.
 * @throws Refused when labels or annotations are no texts
 */
export function portableMetadata(metadata: JsonObject, name: string, namespace?: string): JsonObject {
  const labels = textsMember(metadata, 'labels');
  const annotations = textsMember(metadata, 'annotations');
  const owners = listMember(metadata, 'ownerReferences');
  const finalizers = listMember(metadata, 'finalizers');
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(Object.keys(labels).length > 0 ? { labels } : {}),
    ...(Object.keys(annotations).length > 0 ? { annotations } : {}),
    ...(owners.length > 0 ? { ownerReferences: owners } : {}),
    ...(finalizers.length > 0 ? { finalizers } : {}),
  };
}

/** Names and maps of a v3 object that has been through `portableMetadata`. */
export function metadataOf(resource: JsonObject): {
  name: string;
  namespace?: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
} {
  const metadata = isObject(resource.metadata) ? resource.metadata : {};
  const { name, namespace } = metadata;
  return {
    name: typeof name === 'string' ? name : '',
    ...(typeof namespace === 'string' ? { namespace } : {}),
    labels: textsMember(metadata, 'labels'),
    annotations: textsMember(metadata, 'annotations'),
  };
}

/** Members that an IPAM object has no use for, and that Calico writes all the same. */
export const emptyStash = '{"creationTimestamp":null}';

/**
 * The metadata of a custom resource. The time of creation is left to Kubernetes: a reader takes it from there when the annotation has none.
 * @param crName the name of the custom resource; the v3 name is kept in the annotation when `keepName`
 */
export function customResourceMetadata(resource: JsonObject, crName: string, keepName: boolean): JsonObject {
  const { name, namespace, labels, annotations } = metadataOf(resource);
  const stash = stashText(keepName ? name : undefined, labels, annotations);
  const shownLabels = shown(labels);
  return {
    name: crName,
    ...(namespace === undefined ? {} : { namespace }),
    ...(Object.keys(shownLabels).length > 0 ? { labels: shownLabels } : {}),
    annotations: { ...shown(annotations), [stashAnnotation]: stash },
  };
}

/** The text of the annotation, its members in the order in which Calico prints them. */
export function stashText(
  name: string | undefined,
  labels: Record<string, string>,
  annotations: Record<string, string>,
): string {
  return JSON.stringify({
    name,
    creationTimestamp: null,
    labels: sorted(labels),
    annotations: sorted(annotations),
  });
}

/** The annotation as data; undefined where it is missing or no JSON object. */
export function readStash(annotations: JsonObject | undefined): JsonObject | undefined {
  const text = annotations?.[stashAnnotation];
  if (typeof text !== 'string') return undefined;
  try {
    const stash: Json = parseJson(text);
    return isObject(stash) ? stash : undefined;
  } catch {
    return undefined;
  }
}

/** Labels and annotations with these in their key also stand on the custom resource itself. */
export function isShown(key: string): boolean {
  return key.includes('projectcalico.org/') || key.includes('operator.tigera.io/');
}

function shown(texts: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(texts).filter(([key]) => isShown(key)));
}

function sorted(texts: Record<string, string>): Record<string, string> | undefined {
  const entries = Object.entries(texts).sort(([left], [right]) => (left < right ? -1 : 1));
  return entries.length > 0 ? Object.fromEntries(entries) : undefined;
}
