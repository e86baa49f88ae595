// Both sides as they stand at one moment, to prove that a way back leaves them as they were: every key of etcd byte for byte, and on the
// cluster Calico's definitions, what it noted on the nodes, and its components.
import type { Etcd3 } from 'etcd3';
import { isObject, printJson, type Json, type JsonObject } from '../../activities/calico/json';
import type { Cluster } from '../calico/cluster';
import { readEtcd } from './read-etcd';

export interface State {
  /** Key -> its bytes in base64, and its revision. */
  etcd: Map<string, { value: string; revision: string }>;
  /** What is on the cluster -> its content as text. */
  cluster: Map<string, string>;
}

const components = [
  '/api/v1/namespaces/kube-system/configmaps',
  '/api/v1/namespaces/kube-system/secrets',
  '/api/v1/namespaces/kube-system/serviceaccounts',
  '/apis/apps/v1/namespaces/kube-system/daemonsets',
  '/apis/apps/v1/namespaces/kube-system/deployments',
  '/apis/policy/v1/namespaces/kube-system/poddisruptionbudgets',
  '/apis/rbac.authorization.k8s.io/v1/clusterroles',
  '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
];

export async function readState(etcd: Etcd3, cluster: Cluster, prefix = '/calico'): Promise<State> {
  const state: State = { etcd: new Map(), cluster: new Map() };
  for (const { key, value, mod_revision } of await readEtcd(etcd, prefix))
    state.etcd.set(key.toString(), { value: value.toString('base64'), revision: mod_revision });
  for (const { metadata } of (await cluster.list('/apis/apiextensions.k8s.io/v1/customresourcedefinitions')) ?? [])
    if (isObject(metadata)) state.cluster.set(`definition ${printJson(metadata.name ?? null)}`, 'there');
  for (const { metadata } of (await cluster.list('/api/v1/nodes')) ?? [])
    if (isObject(metadata))
      state.cluster.set(`node ${printJson(metadata.name ?? null)}`, printJson(metadata.annotations ?? {}));
  for (const path of components)
    for (const object of (await cluster.list(path)) ?? []) state.cluster.set(...described(path, object));
  return state;
}

/** Without what the apiserver keeps for itself, and without the status. */
function described(path: string, object: JsonObject): [string, string] {
  const { name, labels } = isObject(object.metadata) ? object.metadata : {};
  const content = { ...object, metadata: { labels: sorted(labels) }, status: undefined };
  return [`${path.slice(path.lastIndexOf('/') + 1)} ${printJson(name ?? null)}`, printJson(content)];
}

function sorted(labels: Json | undefined): Json {
  return isObject(labels) ? Object.fromEntries(Object.entries(labels).sort()) : {};
}

/** One line for each thing that is not as it was; a lock and its unlock write one key twice, so its revision alone does not count. */
export function stateDifferences(before: State, after: State): string[] {
  const values = (state: State): Map<string, string> =>
    new Map([...state.etcd].map(([key, { value }]) => [key, value]));
  const revisions = [...before.etcd].filter(([key, { revision }]) => after.etcd.get(key)?.revision !== revision);
  const touched = revisions.map(([key]) => key).filter((key) => !key.endsWith('/clusterinformations/default'));
  return [
    ...between(values(before), values(after)),
    ...touched.map((key) => `${key} was written`),
    ...between(before.cluster, after.cluster),
  ];
}

function between(before: Map<string, string>, after: Map<string, string>): string[] {
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((what) => {
    const [was, is] = [before.get(what), after.get(what)];
    if (was === is) return [];
    return [`${what} ${was === undefined ? 'is new' : is === undefined ? 'is gone' : `was ${was}, is ${is}`}`];
  });
}
