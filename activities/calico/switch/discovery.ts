// Where an object of a manifest lives on the apiserver: asked of its discovery, once for each group and version.
import { failure } from '../../errors';
import { isObject, type JsonObject } from '../json';
import type { KubernetesApi } from '../kubernetes/connection';
import { defaultNamespace, titleOf, type ManifestObject } from './manifest';

interface ServedKind {
  plural: string;
  namespaced: boolean;
}

/** An object of a manifest with its path, and its namespace spelled out. */
export interface PlacedObject extends ManifestObject {
  /** `/apis/apps/v1/namespaces/kube-system/daemonsets/calico-node` */
  path: string;
}

export class Discovery {
  private readonly known = new Map<string, Map<string, ServedKind>>();

  constructor(private readonly api: KubernetesApi) {}

  /** Undefined while the kind is not served: its CRD is not there, or not yet. */
  async find(object: ManifestObject): Promise<PlacedObject | undefined> {
    const kinds = this.known.get(object.apiVersion) ?? (await this.read(object.apiVersion));
    const served = kinds.get(object.kind);
    if (!served) {
      this.known.delete(object.apiVersion);
      return undefined;
    }
    const { plural, namespaced } = served;
    const root = rootOf(object.apiVersion);
    const { namespace: said, ...rest } = object;
    if (!namespaced) return { ...rest, path: `${root}/${plural}/${object.name}` };
    const namespace = said ?? defaultNamespace;
    const metadata = isObject(object.body.metadata) ? object.body.metadata : {};
    return {
      ...rest,
      namespace,
      body: { ...object.body, metadata: { ...metadata, namespace } },
      path: `${root}/namespaces/${namespace}/${plural}/${object.name}`,
    };
  }

  /** @throws PreconditionFailed (not retryable) when the kind is not served */
  async place(object: ManifestObject): Promise<PlacedObject> {
    const placed = await this.find(object);
    if (placed) return placed;
    throw failure(
      'PreconditionFailed',
      `The cluster serves no ${object.kind} of ${object.apiVersion}, which ${titleOf(object)} (${object.where}) is. Take a manifest for this version of Kubernetes, or add the CRD that brings the kind.`,
    );
  }

  private async read(apiVersion: string): Promise<Map<string, ServedKind>> {
    const answer = await this.api.get(rootOf(apiVersion));
    const kinds = new Map(resourcesOf(answer).map(({ kind, ...served }) => [kind, served]));
    this.known.set(apiVersion, kinds);
    return kinds;
  }
}

function rootOf(apiVersion: string): string {
  return apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
}

function resourcesOf(answer: JsonObject | undefined): (ServedKind & { kind: string })[] {
  const resources = Array.isArray(answer?.resources) ? answer.resources : [];
  return resources.filter(isObject).flatMap(({ name, kind, namespaced }) =>
    // A name with a slash is a subresource.
    typeof name === 'string' && typeof kind === 'string' && !name.includes('/')
      ? [{ kind, plural: name, namespaced: namespaced === true }]
      : [],
  );
}
