// A manifest: the objects of a YAML file for kubectl, each with the place where it stands, so that every complaint names file, document and line.
import { failure } from '../../errors';
import { isObject, type Json, type JsonObject } from '../json';
import { readYaml } from './kubectl-yaml';

export interface ManifestObject {
  apiVersion: string;
  kind: string;
  name: string;
  /** As the manifest says it; where it says none, a namespaced object goes to `default`. */
  namespace?: string;
  body: JsonObject;
  /** "calico.yaml, document 3, line 120" */
  where: string;
}

/** kubectl's own default; a context may name another, but a manifest of Calico names its namespaces. */
export const defaultNamespace = 'default';
const mistakesShown = 10;

/**
 * Reads a manifest: any number of documents, `List` kinds taken apart, documents without content passed over.
 * @param file what to call it in complaints, for instance its path
 * @throws PreconditionFailed naming every mistake (the first ten) by document and line
 */
export function parseManifest(text: string, file: string): ManifestObject[] {
  const { documents, mistakes } = readYaml(text);
  const complaints = mistakes.map(({ document, line, message }) => `document ${document}, line ${line}: ${message}`);
  const objects: ManifestObject[] = [];
  for (const { number, line, value } of documents) {
    if (value === undefined) continue;
    const place = `document ${number}, line ${line}`;
    for (const body of itemsOf(value)) {
      const wrong = whatIsWrong(body);
      if (wrong) complaints.push(`${place}: ${wrong}`);
      else objects.push(objectOf(body, `${file}, ${place}`));
    }
  }
  complaints.push(...doubled(objects));
  if (objects.length === 0 && complaints.length === 0) complaints.push('there is no object in it');
  if (complaints.length > 0) {
    const more = complaints.length > mistakesShown ? `; and ${complaints.length - mistakesShown} more` : '';
    throw failure(
      'PreconditionFailed',
      `The manifest ${file} cannot be used: ${complaints.slice(0, mistakesShown).join('; ')}${more}. Correct the file and start again; "kubectl apply --dry-run=server -f" shows what a cluster makes of it.`,
    );
  }
  return objects;
}

/** "DaemonSet kube-system/calico-node", "ClusterRole calico-node": how people are told of an object. */
export function titleOf({ kind, namespace, name }: Pick<ManifestObject, 'kind' | 'namespace' | 'name'>): string {
  return namespace === undefined ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
}

/** Group without version, kind, namespace and name: the same object whatever version of its group a manifest writes it in. */
export function identityOf({ apiVersion, kind, namespace, name }: ManifestObject): string {
  const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
  return [group, kind, namespace ?? '', name].join('/');
}

function itemsOf(value: Json): (Json | undefined)[] {
  const isList = isObject(value) && typeof value.kind === 'string' && /List$/.test(value.kind);
  return isList && Array.isArray(value.items) ? value.items : [value];
}

function whatIsWrong(body: Json | undefined): string | undefined {
  if (!isObject(body)) return 'it is no object of Kubernetes, which would have apiVersion, kind and metadata';
  const { apiVersion, kind, metadata } = body;
  if (typeof apiVersion !== 'string' || apiVersion === '') return 'apiVersion is missing';
  if (typeof kind !== 'string' || kind === '') return 'kind is missing';
  if (!isObject(metadata) || typeof metadata.name !== 'string' || metadata.name === '') {
    return `the ${kind} has no metadata.name`;
  }
  if (metadata.namespace !== undefined && typeof metadata.namespace !== 'string') {
    return `metadata.namespace of ${kind} ${metadata.name} is no text`;
  }
  return undefined;
}

function objectOf(body: Json | undefined, where: string): ManifestObject {
  const object = isObject(body) ? body : {};
  const metadata = isObject(object.metadata) ? object.metadata : {};
  const { namespace } = metadata;
  return {
    apiVersion: textOf(object.apiVersion),
    kind: textOf(object.kind),
    name: textOf(metadata.name),
    ...(typeof namespace === 'string' && namespace !== '' && { namespace }),
    body: object,
    where,
  };
}

function textOf(value: Json | undefined): string {
  return typeof value === 'string' ? value : '';
}

function doubled(objects: ManifestObject[]): string[] {
  const first = new Map<string, ManifestObject>();
  return objects.flatMap((object) => {
    const before = first.get(identityOf(object));
    if (!before) first.set(identityOf(object), object);
    return before ? [`${titleOf(object)} stands there twice: ${before.where} and ${object.where}`] : [];
  });
}
