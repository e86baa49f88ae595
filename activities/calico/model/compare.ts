// Whether an object that was read back is what was to be written; exact for 64-bit numbers. What the server adds by itself does not count,
// nor do labels and annotations that others put beside ours.
import { equalJson, isObject, parseJson, printJson, type Json, type JsonObject } from '../json';
import { crdDefault } from './crd-defaults';
import type { DesiredNode } from './desired';
import { jsonAnnotations } from './desired-node';
import { isShown, readStash } from './metadata';
import { stashAnnotation } from './policy-names';

/** More of one object tell nobody anything. */
const enough = 20;

/**
 * Paths that differ, with both values: `spec.cidr: wanted "10.0.0.0/8", found nothing`; the first twenty. Empty: equal.
 * The status is not compared: on Kubernetes its writers make it anew.
 */
export function differences(desired: JsonObject, live: JsonObject): string[] {
  const kind = typeof desired.kind === 'string' ? desired.kind : '';
  const wanted = isObject(desired.metadata) ? desired.metadata : {};
  const found = isObject(live.metadata) ? live.metadata : {};
  return [
    // Equal or not, it will be gone as soon as its finalizers are.
    ...(found.deletionTimestamp === undefined ? [] : ['metadata.deletionTimestamp: it is being deleted']),
    ...differ(kind, 'kind', desired.kind, live.kind),
    ...differ(kind, 'spec', desired.spec ?? {}, live.spec ?? {}),
    ...differ(kind, 'metadata.labels', shownTexts(wanted.labels), shownTexts(found.labels)),
    ...differ(kind, 'metadata.annotations', shownTexts(wanted.annotations), shownTexts(found.annotations)),
    ...differ(kind, `metadata.annotations.${stashAnnotation}`, stashOf(wanted), stashOf(found)),
  ].slice(0, enough);
}

/** As `differences`, for Calico's annotations on a node; those of others do not count. */
export function nodeDifferences(desired: DesiredNode, live: Readonly<Record<string, string | undefined>>): string[] {
  return Object.entries(desired.annotations).flatMap(([annotation, wanted]) => {
    const found = live[annotation];
    const isJson = Object.values<string>(jsonAnnotations).includes(annotation);
    const equal =
      wanted === null || found === undefined || !isJson
        ? (wanted ?? undefined) === found
        : equalJson(asJson(wanted), asJson(found));
    return equal ? [] : [`${annotation}: ${describe(wanted ?? undefined, found)}`];
  });
}

function differ(kind: string, path: string, wanted: Json | undefined, found: Json | undefined): string[] {
  if (equalJson(wanted ?? undefined, found ?? undefined)) return [];
  if (Array.isArray(wanted) && Array.isArray(found)) {
    const length = Math.max(wanted.length, found.length);
    return Array.from({ length }, (_, index) => `${path}[${index}]`).flatMap((inner, index) =>
      equalJson(wanted[index], found[index]) ? [] : differInList(kind, inner, wanted[index], found[index]),
    );
  }
  if (isObject(wanted) && isObject(found)) {
    const names = new Set([...Object.keys(wanted), ...Object.keys(found)]);
    return [...names].flatMap((name) => differ(kind, `${path}.${name}`, wanted[name], found[name]));
  }
  const byDefault = isNothing(wanted) && found !== undefined && equalJson(found, crdDefault(kind, path));
  return byDefault ? [] : [`${path}: ${describe(wanted, found)}`];
}

/** In a list null is a value: a free address. */
function differInList(kind: string, path: string, wanted: Json | undefined, found: Json | undefined): string[] {
  if (wanted === null || found === null) return [`${path}: ${describe(wanted, found)}`];
  return differ(kind, path, wanted, found);
}

function describe(wanted: Json | undefined, found: Json | undefined): string {
  return `wanted ${brief(wanted)}, found ${brief(found)}`;
}

function brief(value: Json | undefined): string {
  if (value === undefined) return 'nothing';
  const text = printJson(value);
  return text.length > 200 ? `${text.slice(0, 199)}…` : text;
}

/** Labels and annotations that are Calico's own business; the stash is compared as data. */
function shownTexts(texts: Json | undefined): JsonObject {
  const entries = Object.entries(isObject(texts) ? texts : {});
  return Object.fromEntries(entries.filter(([key]) => isShown(key) && key !== stashAnnotation));
}

/** Without the time of creation, which every writer sets for itself, and with maps that are empty left out. */
function stashOf(metadata: JsonObject): Json | undefined {
  const annotations = isObject(metadata.annotations) ? metadata.annotations : undefined;
  const stash = readStash(annotations);
  if (!stash) return annotations?.[stashAnnotation];
  return Object.fromEntries(
    Object.entries(stash).filter(
      ([name, value]) =>
        name !== 'creationTimestamp' && !isNothing(value) && !(isObject(value) && Object.keys(value).length === 0),
    ),
  );
}

function asJson(text: string): Json | undefined {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

function isNothing(value: Json | undefined): boolean {
  return value === undefined || value === null;
}
