// The last look at the cluster: everything that the migration may have made there, found or not found by looking, never by memory.
import type { CreatedObject } from '../../../journal/types';
import type { ArtifactReference } from '../../artifacts/store';
import { withHeartbeat } from '../../heartbeat';
import { crdKinds } from '../model/kinds';
import type { CalicoScope } from '../scope';
import type { KubernetesApi } from './api';
import type { KubernetesDependencies } from './dependencies';
import { readInventory, type Inventory } from './inventory';
import { crdName, crdPath } from './paths';
import { keyOf, presentNodes, presentObjects, type CustomKind } from './present';

export interface KubernetesLeftoverRequest {
  scope: CalicoScope;
  /** What was there before us. */
  inventory: ArtifactReference;
  /** Names of the CRDs that we created. */
  crds: string[];
}

/** Of a kind; the rest is one line with their number. */
const namedOfKind = 5;
const namedNodes = 10;

export function createKubernetesLeftoverActivities({ kubernetes, artifacts }: KubernetesDependencies) {
  return {
    /**
     * What the way back should have left: nothing beyond the inventory. One record for each sort of thing that is gone, and one for each
     * thing that is still there, a few of each kind by name. Changes nothing.
     * @throws TargetUnavailable (retryable): what cannot be looked at is not called gone; AuthDenied
     */
    findKubernetesLeftovers: ({ scope, inventory, crds }: KubernetesLeftoverRequest): Promise<CreatedObject[]> =>
      withHeartbeat({ kind: '' }, async ({ signal, report }) => {
        const before = await readInventory(artifacts, inventory);
        const api = await kubernetes.connect(scope.target);
        const found: CreatedObject[] = [];
        for (const kind of crdKinds) {
          report({ kind: kind.kind });
          found.push(...(await objectsBeyond(api, kind, before, crds, signal)));
        }
        return [
          ...(await definitions(
            api,
            crds.filter((name) => !before.crds.includes(name)),
          )),
          ...(found.length > 0 ? found : [gone('object', 'custom resources of Calico that were not there before')]),
          ...(await annotations(api, before, signal)),
        ];
      }),
  };
}

async function definitions(api: KubernetesApi, crds: string[]): Promise<CreatedObject[]> {
  const there: string[] = [];
  for (const name of crds) if (await api.get(crdPath(name))) there.push(name);
  if (there.length === 0) return [gone('CRD', `${crds.length} created by the migration`)];
  return there.map((name) =>
    present(
      'CustomResourceDefinition',
      name,
      `kubectl delete crd ${name} removes it, and with it every object of the kind`,
    ),
  );
}

async function objectsBeyond(
  api: KubernetesApi,
  kind: CustomKind,
  before: Inventory,
  crds: string[],
  signal: AbortSignal,
): Promise<CreatedObject[]> {
  const found: CreatedObject[] = [];
  let more = 0;
  for await (const live of presentObjects(api, kind, signal)) {
    if (before.objects.has(keyOf(live))) continue;
    const { namespace, name } = live;
    const within = namespace === undefined ? '' : ` -n ${namespace}`;
    if (found.length < namedOfKind) {
      found.push(
        present(
          kind.kind,
          namespace === undefined ? name : `${namespace}/${name}`,
          `not there before; kubectl delete ${crdName(kind.plural)} ${name}${within} removes it`,
        ),
      );
    } else more += 1;
  }
  if (more === 0) return found;
  const why = crds.includes(crdName(kind.plural))
    ? `not there before; kubectl delete crd ${crdName(kind.plural)} removes all of them`
    : 'not there before';
  return [...found, present(kind.kind, `${more} more`, why)];
}

async function annotations(api: KubernetesApi, before: Inventory, signal: AbortSignal): Promise<CreatedObject[]> {
  const differing: CreatedObject[] = [];
  let more = 0;
  for await (const { name, annotations: now } of presentNodes(api, signal)) {
    const former = before.nodes.get(name) ?? {};
    const changed = [...new Set([...Object.keys(now), ...Object.keys(former)])].filter(
      (annotation) => now[annotation] !== former[annotation],
    );
    if (changed.length === 0) continue;
    if (differing.length < namedNodes) {
      const why = `not as before: ${changed.sort().join(', ')}; Calico on etcd does not read them`;
      differing.push(present('node annotations', name, why));
    } else more += 1;
  }
  if (differing.length === 0) return [gone('node annotations', 'projectcalico.org/*, as they were before')];
  return more > 0 ? [...differing, present('node annotations', `${more} more nodes`, 'not as before')] : differing;
}

function gone(kind: string, name: string): CreatedObject {
  return { kind, where: 'target', name, state: 'gone' };
}

function present(kind: string, name: string, why: string): CreatedObject {
  return { kind, where: 'target', name, state: 'present', why };
}
