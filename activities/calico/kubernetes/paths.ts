// Where things are on a kube-apiserver: the paths of Calico's custom resources, of their definitions and of nodes.

export const calicoGroup = 'crd.projectcalico.org';

export interface ResourceAddress {
  plural: string;
  namespace?: string;
  name: string;
}

/** Of the collection; of all namespaces without one. */
export function collectionPath(plural: string, namespace?: string): string {
  const within = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`;
  return `/apis/${calicoGroup}/v1${within}/${plural}`;
}

export function resourcePath({ plural, namespace, name }: ResourceAddress): string {
  return `${collectionPath(plural, namespace)}/${encodeURIComponent(name)}`;
}

export const crdsPath = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

/** "ippools" -> "ippools.crd.projectcalico.org" */
export function crdName(plural: string): string {
  return `${plural}.${calicoGroup}`;
}

export function crdPath(name: string): string {
  return `${crdsPath}/${encodeURIComponent(name)}`;
}

export const nodesPath = '/api/v1/nodes';

export function nodePath(name: string): string {
  return `${nodesPath}/${encodeURIComponent(name)}`;
}
