// The cluster that the sample datastore belongs to, before the migration: its nodes, its namespaces, and Calico installed from the etcd
// manifest as people install it, with kubectl's client-side apply.
import { readFile } from 'node:fs/promises';
import { parseAllDocuments } from 'yaml';
import { parseJson, isObject, printJson, type JsonObject } from '../../activities/calico/json';
import type { Cluster } from './cluster';
import { exampleManifests, workerRights } from './manifests';
import type { SampleDatastore } from './sample-datastore';
import { kubernetesLabels, nodeAddress, type SampleNode } from './sample-nodes';

const resourcePaths: Record<string, string> = {
  Namespace: 'api/v1/namespaces',
  ServiceAccount: 'api/v1/namespaces/{namespace}/serviceaccounts',
  Secret: 'api/v1/namespaces/{namespace}/secrets',
  ConfigMap: 'api/v1/namespaces/{namespace}/configmaps',
  ClusterRole: 'apis/rbac.authorization.k8s.io/v1/clusterroles',
  Role: 'apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles',
  RoleBinding: 'apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings',
  ClusterRoleBinding: 'apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
  DaemonSet: 'apis/apps/v1/namespaces/{namespace}/daemonsets',
  Deployment: 'apis/apps/v1/namespaces/{namespace}/deployments',
};

/** Can be run again: what is there stays. Without nodes and namespaces of its own the cluster is left as it is. */
export async function seedCluster(
  cluster: Cluster,
  { nodes, namespaces }: Pick<SampleDatastore, 'nodes' | 'namespaces'>,
) {
  for (const name of namespaces)
    await make(cluster, '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  for (const node of nodes) await makeNode(cluster, node);
  await installManifest(cluster, exampleManifests.etcd);
}

/** The groups and the name under which the account of `rbac.yaml` is known to an apiserver. */
export const workerAccount = {
  name: 'system:serviceaccount:cutover:cutover',
  groups: ['system:serviceaccounts', 'system:serviceaccounts:cutover'],
};

/** Gives the worker's account the rights that it has on a real cluster, and no more. */
export async function grantWorkerRights(cluster: Cluster): Promise<void> {
  await installManifest(cluster, workerRights);
}

async function installManifest(cluster: Cluster, path: string): Promise<void> {
  for (const document of parseAllDocuments(await readFile(path, 'utf8'))) {
    const object = parseJson(JSON.stringify(document.toJS()));
    if (isObject(object)) await installAsKubectlDoes(cluster, object);
  }
}

async function make(cluster: Cluster, path: string, object: JsonObject): Promise<void> {
  const { status, body } = await cluster.ask('POST', path, object);
  if (status >= 400 && status !== 409)
    throw new Error(`${path} answered ${status}: ${typeof body.message === 'string' ? body.message : ''}`);
}

async function makeNode(cluster: Cluster, node: SampleNode): Promise<void> {
  const name = node.kubernetes;
  await make(cluster, '/api/v1/nodes', {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      labels: kubernetesLabels(node),
      annotations: {
        'example.com/owner': 'platform',
        // Left behind by a trial of somebody's: the migration replaces it, and the way back puts it back.
        ...(node.index === 0 ? { 'projectcalico.org/IPv4Address': '192.0.2.99/24' } : {}),
      },
    },
  });
  const addresses = [{ type: 'InternalIP', address: nodeAddress(node) }];
  const conditions = [{ type: 'Ready', status: 'True', reason: 'KubeletReady', lastHeartbeatTime: null }];
  await cluster.change('PATCH', `/api/v1/nodes/${name}/status`, { status: { addresses, conditions } }, merge);
}

const merge = 'application/merge-patch+json';

/** The annotation is what makes kubectl know later which fields it had set. */
async function installAsKubectlDoes(cluster: Cluster, object: JsonObject): Promise<void> {
  const { kind, metadata } = object;
  const path = typeof kind === 'string' ? resourcePaths[kind] : undefined;
  if (!path || !isObject(metadata))
    throw new Error(`The manifest has an object of kind ${printJson(kind ?? null)}. Teach it here.`);
  const namespace = typeof metadata.namespace === 'string' ? metadata.namespace : '';
  const annotations = {
    ...(isObject(metadata.annotations) ? metadata.annotations : {}),
    'kubectl.kubernetes.io/last-applied-configuration': `${printJson(object)}\n`,
  };
  const manager = 'fieldManager=kubectl-client-side-apply';
  const whole = { ...object, metadata: { ...metadata, annotations } };
  await make(cluster, `/${path.replace('{namespace}', namespace)}?${manager}`, whole);
}
