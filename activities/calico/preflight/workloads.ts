// Who runs Calico on the cluster now, and whether the two manifests are those of this cluster: a trouble that the switch would have is found
// by asking the apiserver to pretend (dry run), before anything is locked.
import { counted, pass, type Finding } from '../../preflight/check';
import type { JsonObject } from '../json';
import { contentDifferences } from '../switch/content';
import { Discovery } from '../switch/discovery';
import { droppedBy } from '../switch/last-applied';
import { titleOf, type ManifestObject } from '../switch/manifest';
import { isCrd } from '../switch/apply';
import { lookAt } from '../switch/rollout';
import { fieldManager } from '../switch/takeover';
import { calicoNodeOf, datastoreOf, isWorkload, member, nameOf } from '../switch/workload';
import type { CalicoCheck, CheckContext } from './context';
import { firstOf } from './refusals';

export const workloadChecks: CalicoCheck[] = [
  { name: 'calico-node', title: 'calico-node runs on this cluster, with etcd', side: 'target', look: calicoNode },
  { name: 'operator', title: 'No operator manages Calico', side: 'target', look: operator },
  { name: 'manifests', title: 'The manifests of the switch are given', side: 'worker', look: manifests },
  {
    name: 'manifest-accepted',
    title: 'The cluster accepts the manifest for Kubernetes',
    side: 'target',
    look: accepted,
  },
  {
    name: 'etcd-manifest',
    title: 'The etcd manifest is what the cluster runs today',
    side: 'target',
    look: etcdManifest,
  },
];

async function calicoNode(context: CheckContext): Promise<Finding> {
  const found: JsonObject[] = [];
  for await (const item of context.kubernetes().list('/apis/apps/v1/daemonsets')) {
    if (calicoNodeOf(item)) found.push({ ...item, apiVersion: 'apps/v1', kind: 'DaemonSet' });
  }
  if (found.length === 0) {
    return {
      outcome: 'warn',
      found: 'no DaemonSet has a container calico-node',
      expected: 'calico-node in etcd mode; without it nobody can say when the switch is complete',
      fix: 'correct "target": is it the cluster of this etcd?',
    };
  }
  const states = found.map((live) => {
    const { namespace } = member(live, 'metadata');
    const title = titleOf({
      kind: 'DaemonSet',
      name: nameOf(live),
      ...(typeof namespace === 'string' && { namespace }),
    });
    const node = calicoNodeOf(live);
    return { title, datastore: node && datastoreOf(node), look: lookAt(title, live, 'etcd') };
  });
  const already = states.filter(({ datastore }) => datastore === 'kubernetes').map(({ title }) => title);
  if (already.length > 0) {
    return {
      outcome: 'fail',
      found: `${already.join(', ')} uses the Kubernetes datastore already`,
      expected: 'etcd: the data of etcd is not what this cluster works with',
      fix: 'correct "target" or "source"; a cluster that was switched by hand is migrated already, or half',
    };
  }
  const lagging = states.filter(({ look }) => look.lagging !== undefined);
  if (lagging.length > 0) {
    return {
      outcome: 'warn',
      found: lagging.map(({ title, look }) => `${title}: ${look.lagging ?? ''}`).join('; '),
      expected: 'every pod of calico-node ready: one that is not now will not be after the switch',
      fix: 'kubectl -n kube-system get pods -l k8s-app=calico-node',
    };
  }
  return pass(states.map(({ title, look }) => `${title}, ${look.ready} of ${look.desired} ready`).join('; '));
}

async function operator(context: CheckContext): Promise<Finding> {
  const installation = 'installations.operator.tigera.io';
  if (!(await context.crds()).has(installation)) return pass('none');
  const found: string[] = [];
  const path = '/apis/operator.tigera.io/v1/installations';
  for await (const item of context.kubernetes().list(path, { notServed: 'empty' })) {
    found.push(nameOf(item));
  }
  if (found.length === 0) return pass('its definitions are there, no Installation is');
  return {
    outcome: context.input.manifests ? 'fail' : 'warn',
    found: `Installation ${found.join(', ')} of the Tigera operator`,
    expected: 'none: the operator undoes what a manifest changes, and knows no etcd datastore',
    fix: 'leave "manifests" out of the plan, and change the datastore by hand at the gate apply-manifest',
  };
}

function manifests(context: CheckContext): Finding {
  const { manifests: pair } = context.input;
  if (!pair) {
    return {
      outcome: 'warn',
      found: 'none: people are asked to apply them, while both datastores are locked',
      expected: '"manifests" in the plan, for a short locked window',
    };
  }
  const { secrets = [] } = pair.kubernetes;
  if (secrets.length > 0) {
    return {
      outcome: 'warn',
      found: `the manifest for Kubernetes has ${firstOf(secrets)}, which is not applied: Secrets are not kept`,
      expected: 'that every Secret which Calico needs is on the cluster already',
      fix: 'kubectl apply -f <a file with these Secrets>  # before the start, and take them out of the manifest',
    };
  }
  return pass(
    `${counted(pair.kubernetes.objects, 'object')} for Kubernetes (${pair.kubernetes.workloads.join(', ')}), ${pair.etcd.objects} for etcd`,
  );
}

async function accepted(context: CheckContext): Promise<Finding> {
  const objects = await context.manifest('kubernetes');
  if (objects.length === 0) return pass('there is none');
  const { refused, looked } = await dryRun(context, objects, () => []);
  if (refused.length === 0) return pass(`${looked} of ${counted(objects.length, 'object')} tried; nothing was changed`);
  return {
    outcome: 'fail',
    found: firstOf(refused),
    expected: 'that every object is accepted',
    fix: 'kubectl apply --server-side --dry-run=server -f <the manifest>',
  };
}

async function etcdManifest(context: CheckContext): Promise<Finding> {
  const objects = await context.manifest('etcd');
  if (objects.length === 0) return pass('there is none');
  const missing: string[] = [];
  const { refused, differences } = await dryRun(context, objects, (object, live, after) => {
    if (!live) missing.push(titleOf(object));
    if (!live) return [];
    const removed = droppedBy(object.body, live).map((path) => `${path} would go`);
    return [...contentDifferences(live, after), ...removed].map((difference) => `${titleOf(object)}: ${difference}`);
  });
  const workloads = objects.filter((object) => isWorkload(object) && missing.includes(titleOf(object)));
  if (refused.length > 0 || workloads.length > 0) {
    return {
      outcome: 'fail',
      found: firstOf([...refused, ...workloads.map((object) => `${titleOf(object)} is not on the cluster`)]),
      expected: 'the manifest with which Calico was installed: it is what the way back applies',
      fix: 'correct "manifests.etcd"',
    };
  }
  const other = [...missing.map((title) => `${title} is not on the cluster`), ...differences];
  if (other.length === 0) return pass('it is');
  return {
    outcome: 'warn',
    found: `on the way back it would change: ${firstOf(other)}`,
    expected: 'nothing to change',
    fix: 'bring the file up to what the cluster runs: kubectl diff -f <the manifest>',
  };
}

/** Applies in pretence. Objects of kinds or namespaces that are not there yet are passed over: the manifest itself brings them. */
async function dryRun(
  context: CheckContext,
  objects: ManifestObject[],
  compare: (object: ManifestObject, live: JsonObject | undefined, after: JsonObject) => string[],
): Promise<{ looked: number; refused: string[]; differences: string[] }> {
  const api = context.kubernetes();
  const discovery = new Discovery(api);
  const namespaces = await context.namespaces();
  const kinds = new Set(objects.filter(isCrd).map(({ body }) => member(member(body, 'spec'), 'names').kind));
  const brought = new Set(objects.filter(({ kind }) => kind === 'Namespace').map(({ name }) => name));
  const found = { looked: 0, refused: [] as string[], differences: [] as string[] };
  for (const object of objects) {
    context.signal.throwIfAborted();
    try {
      const placed = await discovery.find(object);
      if (!placed && kinds.has(object.kind)) continue;
      const { path, body, namespace } = placed ?? (await discovery.place(object));
      if (namespace !== undefined && !namespaces.has(namespace) && brought.has(namespace)) continue;
      const live = await api.get(path);
      const after = await api.apply(path, body, { fieldManager, force: true, dryRun: true });
      found.looked += 1;
      found.differences.push(...compare(object, live, after));
    } catch (error) {
      context.signal.throwIfAborted();
      found.refused.push(
        `${titleOf(object)} (${object.where}): ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }
  return found;
}
