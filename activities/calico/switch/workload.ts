// What a workload's pod template says about the datastore. Calico goes by DATASTORE_TYPE; where it is absent, by whether etcd endpoints are given.
import { isObject, type Json, type JsonObject } from '../json';
import type { ManifestObject } from './manifest';

export type Datastore = 'kubernetes' | 'etcd';

const workloadKinds = ['DaemonSet', 'Deployment', 'StatefulSet'];

export function isWorkload({ apiVersion, kind }: Pick<ManifestObject, 'apiVersion' | 'kind'>): boolean {
  return apiVersion.startsWith('apps/') && workloadKinds.includes(kind);
}

export interface Container {
  name: string;
  image: string;
  /** Name -> value; text is empty where it comes from elsewhere (a ConfigMap, a Secret). */
  env: Map<string, string>;
}

/** Containers of a workload's pod template, init containers first. */
export function containersOf(workload: JsonObject): Container[] {
  const pod = member(member(member(workload, 'spec'), 'template'), 'spec');
  return [...listOf(pod.initContainers), ...listOf(pod.containers)].filter(isObject).map((container) => ({
    name: textOf(container.name),
    image: textOf(container.image),
    env: new Map(
      listOf(container.env)
        .filter(isObject)
        .map((entry) => [textOf(entry.name), textOf(entry.value)]),
    ),
  }));
}

/** The datastore that a container is told to use; undefined for one that is told nothing. */
export function datastoreOf({ env }: Container): Datastore | undefined {
  const type = env.get('DATASTORE_TYPE');
  if (type === 'kubernetes') return 'kubernetes';
  if (type === 'etcdv3' || env.has('ETCD_ENDPOINTS')) return 'etcd';
  return undefined;
}

/** The container of a workload that is calico-node itself. */
export function calicoNodeOf(workload: JsonObject): Container | undefined {
  return containersOf(workload).find(({ name }) => name === 'calico-node');
}

/** Containers that are told another datastore than `expected`: "container calico-node says etcd". */
export function otherDatastore(workload: JsonObject, expected: Datastore): string[] {
  return containersOf(workload).flatMap((container) => {
    const says = datastoreOf(container);
    const endpoints = expected === 'kubernetes' && says === 'kubernetes' && container.env.has('ETCD_ENDPOINTS');
    if (endpoints) return [`container ${container.name} says kubernetes and still has ETCD_ENDPOINTS`];
    return says !== undefined && says !== expected ? [`container ${container.name} says ${says}`] : [];
  });
}

export function member(object: JsonObject | undefined, name: string): JsonObject {
  const value = object?.[name];
  return isObject(value) ? value : {};
}

/** `metadata.name`; empty where there is none. */
export function nameOf(object: JsonObject): string {
  return textOf(member(object, 'metadata').name);
}

function listOf(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : [];
}

function textOf(value: Json | undefined): string {
  return typeof value === 'string' ? value : '';
}
