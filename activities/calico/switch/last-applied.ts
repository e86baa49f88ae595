// The annotation in which kubectl's client-side apply keeps what it applied last. Where an object has it, it is kept true, so that somebody
// who runs `kubectl apply -f` later gets what they expect: fields that their file drops go.
import { isObject, printJson, type JsonObject } from '../json';

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

function annotationsOf(object: JsonObject | undefined): JsonObject {
  const metadata = isObject(object?.metadata) ? object.metadata : {};
  return isObject(metadata.annotations) ? metadata.annotations : {};
}
