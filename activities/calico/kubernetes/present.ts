// What is on the cluster of Calico's, as the checks see it: object by object, kind by kind, page by page, so that nothing grows with the data
// but what has to be remembered.
import { isObject, type JsonObject } from '../json';
import type { crdKinds } from '../model/kinds';
import { ipamKinds } from '../model/kinds';
import type { KubernetesApi } from './api';
import { inventoryKey } from './inventory';
import { calicoGroup, collectionPath, nodesPath } from './paths';

export type CustomKind = (typeof crdKinds)[number];

/** The place of an object: what tells it from all others. */
export interface Place {
  plural: string;
  kind: string;
  namespace?: string;
  name: string;
}

export interface PresentObject extends Place {
  /** Complete, as the server gave it. */
  body: JsonObject;
}

const ofCalico = 'projectcalico.org/';

/** The cluster information goes last wherever something is taken away: it is the lock. */
export const clusterInformation = 'clusterinformations';

const ipamPlurals = new Set<string>(Object.values(ipamKinds).map(({ plural }) => plural));

export function isIpam({ plural }: Pick<Place, 'plural'>): boolean {
  return ipamPlurals.has(plural);
}

/** As the inventory's keys. */
export function keyOf({ plural, namespace, name }: Omit<Place, 'kind'>): string {
  return inventoryKey(plural, namespace, name);
}

/** Every object of a kind; none where the kind is not served. @throws TargetUnavailable, AuthDenied */
export async function* presentObjects(
  api: KubernetesApi,
  { kind, plural }: CustomKind,
  signal?: AbortSignal,
): AsyncGenerator<PresentObject> {
  for await (const body of api.list(collectionPath(plural), { notServed: 'empty' })) {
    signal?.throwIfAborted();
    const { name, namespace } = metadataOf(body);
    if (typeof name !== 'string') continue;
    // A list says the kind once, its items do not.
    const complete = { ...body, kind, apiVersion: `${calicoGroup}/v1` };
    yield { kind, plural, name, ...(typeof namespace === 'string' && { namespace }), body: complete };
  }
}

export interface PresentNode {
  name: string;
  /** Those of Calico's only. */
  annotations: Record<string, string>;
}

export async function* presentNodes(api: KubernetesApi, signal?: AbortSignal): AsyncGenerator<PresentNode> {
  for await (const body of api.list(nodesPath, { metadataOnly: true })) {
    signal?.throwIfAborted();
    const { name, annotations } = metadataOf(body);
    if (typeof name === 'string') yield { name, annotations: ofCalicoOnly(isObject(annotations) ? annotations : {}) };
  }
}

export function ofCalicoOnly(annotations: JsonObject): Record<string, string> {
  const kept = Object.entries(annotations).filter(
    (entry): entry is [string, string] => entry[0].startsWith(ofCalico) && typeof entry[1] === 'string',
  );
  return Object.fromEntries(kept);
}

export function metadataOf({ metadata }: JsonObject): JsonObject {
  return isObject(metadata) ? metadata : {};
}
