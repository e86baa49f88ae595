// Whether the worker may do on the cluster what the migration will ask for: each verb asked of the apiserver itself, so that roles,
// webhooks and whatever else decides are all heard.
import { counted, pass, type Finding } from '../../preflight/check';
import type { KubernetesApi } from '../kubernetes/connection';
import { crdKinds } from '../model/kinds';
import { Discovery } from '../switch/discovery';
import type { ManifestObject } from '../switch/manifest';
import { member } from '../switch/workload';
import type { CalicoCheck, CheckContext } from './context';

export const privilegeChecks: CalicoCheck[] = [
  {
    name: 'kubernetes-permissions',
    title: 'We may do on the cluster what will be needed',
    side: 'target',
    look: permissions,
  },
];

interface Access {
  verb: string;
  group: string;
  /** With a subresource: `nodes/status`. */
  resource: string;
  namespace?: string;
  /** Roles may be given for objects by name; without one the right is asked for all of the kind. */
  name?: string;
}

const crdGroup = 'crd.projectcalico.org';
const always: [group: string, resource: string, verbs: string[]][] = [
  [crdGroup, 'clusterinformations', ['patch']],
  ['', 'nodes', ['get', 'list']],
  ['', 'nodes/status', ['patch']],
  ['', 'namespaces', ['list']],
  ['apps', 'daemonsets', ['list']],
  ['apiextensions.k8s.io', 'customresourcedefinitions', ['get', 'list']],
];

async function permissions(context: CheckContext): Promise<Finding> {
  const api = context.kubernetes();
  const wanted = [...ofData(await missingCrds(context)), ...(await ofManifests(context, api))];
  const missing: string[] = [];
  // Ten at a time: a hundred and some small questions.
  for (let index = 0; index < wanted.length; index += 10) {
    context.signal.throwIfAborted();
    const part = wanted.slice(index, index + 10);
    const answers = await Promise.all(part.map((access) => mayDo(api, access)));
    missing.push(...part.filter((_, at) => !answers[at]).map(describe));
  }
  if (missing.length === 0) return pass(`all of ${counted(wanted.length, 'right')} asked for`);
  return {
    outcome: 'fail',
    found: `missing: ${grouped(missing)}`,
    expected: 'every right of the role in examples/calico/rbac.yaml',
    fix: 'kubectl apply -f examples/calico/rbac.yaml  # as an administrator of the cluster, and let the plan refer to that account',
  };
}

function ofData(bringsCrds: boolean): Access[] {
  const data = crdKinds.flatMap(({ plural }) =>
    ['get', 'list', 'create', 'update', 'delete'].map((verb) => ({ verb, group: crdGroup, resource: plural })),
  );
  const rest = always.flatMap(([group, resource, verbs]) => verbs.map((verb) => ({ verb, group, resource })));
  const definitions = ['create', 'delete'].map((verb) => ({
    verb,
    group: 'apiextensions.k8s.io',
    resource: 'customresourcedefinitions',
  }));
  return [...data, ...rest, ...(bringsCrds ? definitions : [])];
}

async function missingCrds(context: CheckContext): Promise<boolean> {
  // Who may not even look is told of all that is missing, not of this alone.
  const present = await context.crds().catch(() => new Map<string, unknown>());
  return crdKinds.some(({ plural }) => !present.has(`${plural}.${crdGroup}`));
}

/** Each kind of object of the manifests in each of its namespaces: read, applied, and removed or put back on the way back. */
async function ofManifests(context: CheckContext, api: KubernetesApi): Promise<Access[]> {
  const objects: ManifestObject[] = [...(await context.manifest('kubernetes')), ...(await context.manifest('etcd'))];
  const discovery = new Discovery(api);
  const wanted = new Map<string, Access>();
  for (const object of objects) {
    const placed = await discovery.find(object);
    if (!placed) continue;
    const group = object.apiVersion.includes('/') ? object.apiVersion.slice(0, object.apiVersion.indexOf('/')) : '';
    const [resource = '', name = ''] = placed.path.split('/').slice(-2);
    const removable = object.kind !== 'CustomResourceDefinition' && object.kind !== 'Namespace';
    for (const verb of ['get', 'create', 'patch', ...(removable ? ['update', 'delete'] : [])]) {
      const access: Access = {
        verb,
        group,
        resource,
        ...(placed.namespace !== undefined && { namespace: placed.namespace }),
        // Definitions come in their dozens, and each group of them is one right.
        ...(object.kind !== 'CustomResourceDefinition' && { name }),
      };
      wanted.set(describe(access), access);
    }
  }
  return [...wanted.values()];
}

async function mayDo(api: KubernetesApi, access: Access): Promise<boolean> {
  const { verb, group, namespace, name } = access;
  const [resource, subresource] = access.resource.split('/');
  const answer = await api.ask('/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { resourceAttributes: { verb, group, resource, subresource, namespace, name } },
  });
  return member(answer, 'status').allowed === true;
}

function describe({ verb, group, resource, namespace, name }: Access): string {
  const which = name === undefined ? '' : ` "${name}"`;
  const where = namespace === undefined ? '' : ` in ${namespace}`;
  return `${verb} ${group === '' ? resource : `${resource}.${group}`}${which}${where}`;
}

/** "get, list nodes; patch nodes/status" */
function grouped(accesses: string[]): string {
  const byResource = new Map<string, string[]>();
  for (const access of accesses) {
    const [verb = '', ...resource] = access.split(' ');
    byResource.set(resource.join(' '), [...(byResource.get(resource.join(' ')) ?? []), verb]);
  }
  const lines = [...byResource].map(([resource, verbs]) => `${verbs.join(', ')} ${resource}`);
  return lines.length > 10 ? `${lines.slice(0, 10).join('; ')}; and ${lines.length - 10} more` : lines.join('; ');
}
