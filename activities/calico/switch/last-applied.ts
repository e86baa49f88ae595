// The annotation in which kubectl's client-side apply keeps what it applied last. Where an object has it, it is kept true, so that somebody
// who runs `kubectl apply -f` later gets what they expect: fields that their file drops go.
import { isObject, parseJson, printJson, type Json, type JsonObject } from '../json';

export const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';
/** The server refuses annotations of more than 256 KiB in all. */
const longest = 200_000;

/** The body to apply: with the annotation, where the live object has it and it fits. */
export function withLastApplied(body: JsonObject, live: JsonObject | undefined): JsonObject {
  const annotations = annotationsOf(live);
  if (annotations[lastApplied] === undefined) return body;
  const metadata = isObject(body.metadata) ? body.metadata : {};
  const own = { ...annotationsOf(body), [lastApplied]: undefined };
  const text = `${printJson({ ...body, metadata: { ...metadata, annotations: own } })}\n`;
  if (Buffer.byteLength(text) > longest) return body;
  return { ...body, metadata: { ...metadata, annotations: { ...own, [lastApplied]: text } } };
}

/**
 * Paths that the manifest applied last has and this body has not, so that applying it removes them: "spec.template.spec.containers[calico-node].env[IP]".
 * A dry run does not show them, since what belongs to kubectl's managers is made ours only when it is meant. Empty where nothing is remembered.
 */
export function droppedBy(body: JsonObject, live: JsonObject): string[] {
  const text = annotationsOf(live)[lastApplied];
  if (typeof text !== 'string') return [];
  try {
    return dropped(parseJson(text), body, '').filter(
      (path) => !/^(status|metadata\.(annotations|creationTimestamp)$)/.test(path),
    );
  } catch {
    return [];
  }
}

function dropped(former: Json | undefined, wanted: Json | undefined, path: string): string[] {
  if (former === undefined || former === null) return [];
  if (wanted === undefined || wanted === null) return [path];
  if (isObject(former) && isObject(wanted)) {
    return Object.entries(former).flatMap(([name, value]) =>
      dropped(value, wanted[name], path === '' ? name : `${path}.${name}`),
    );
  }
  // Lists of what has a name are merged by it; others are replaced whole, which a dry run shows.
  const [formerItems, wantedItems] = [byName(former), byName(wanted)];
  return [...formerItems].flatMap(([name, item]) => dropped(item, wantedItems.get(name), `${path}[${name}]`));
}

function byName(list: Json): Map<string, JsonObject> {
  const items = (Array.isArray(list) ? list : []).filter(isObject);
  return new Map(items.flatMap((item) => (typeof item.name === 'string' ? [[item.name, item] as const] : [])));
}

function annotationsOf(object: JsonObject | undefined): JsonObject {
  const metadata = isObject(object?.metadata) ? object.metadata : {};
  return isObject(metadata.annotations) ? metadata.annotations : {};
}
