// What of an object is its content: everything but what the server and the controllers write into it. Two objects with equal content are equal.
import { isObject, equalJson, printJson, type Json, type JsonObject } from '../json';
import { lastApplied } from './last-applied';

const serversMetadata = [
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'managedFields',
  'selfLink',
];
const controllersAnnotations = [
  lastApplied,
  'deprecated.daemonset.template.generation',
  'deployment.kubernetes.io/revision',
];

/** The object without status, server metadata and the bookkeeping annotations of kubectl and of controllers. */
export function contentOf(object: JsonObject): JsonObject {
  const metadata = without(isObject(object.metadata) ? object.metadata : {}, serversMetadata);
  const annotations = without(isObject(metadata.annotations) ? metadata.annotations : {}, controllersAnnotations);
  return {
    ...object,
    status: undefined,
    metadata: { ...metadata, annotations: Object.keys(annotations).length > 0 ? annotations : undefined },
  };
}

export function sameContent(left: JsonObject, right: JsonObject): boolean {
  return equalJson(contentOf(left), contentOf(right));
}

/** Paths at which the content differs, with what was there and what is: "spec.replicas was 2, is 1". */
export function contentDifferences(former: JsonObject, live: JsonObject): string[] {
  return compare(contentOf(former), contentOf(live), '');
}

function compare(former: Json | undefined, live: Json | undefined, path: string): string[] {
  if (equalJson(former, live)) return [];
  if (isObject(former) && isObject(live)) {
    const names = [...new Set([...Object.keys(former), ...Object.keys(live)])];
    return names.flatMap((name) => compare(former[name], live[name], path === '' ? name : `${path}.${name}`));
  }
  if (Array.isArray(former) && Array.isArray(live) && former.length === live.length) {
    return former.flatMap((item, index) => compare(item, live[index], `${path}[${index}]`));
  }
  return [`${path} was ${shown(former)}, is ${shown(live)}`];
}

function shown(value: Json | undefined): string {
  if (value === undefined) return 'absent';
  const text = printJson(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

function without(object: JsonObject, names: string[]): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
}
