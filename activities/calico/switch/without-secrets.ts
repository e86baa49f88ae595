// Secrets have no part in the switch: calico-etcd-secrets lies on the cluster before, during and after it. So nothing of them is applied,
// recorded, compared or kept: a manifest becomes an artifact with its Secrets emptied, and the worker needs no right to any.
import { failure } from '../../errors';
import { isObject } from '../json';
import { parseManifest, titleOf, type ManifestObject } from './manifest';

export function isSecret({ apiVersion, kind }: Pick<ManifestObject, 'apiVersion' | 'kind'>): boolean {
  return apiVersion === 'v1' && kind === 'Secret';
}

/** The objects of a manifest that the switch applies. @throws as `parseManifest` */
export function appliedObjects(text: string, file: string): ManifestObject[] {
  return parseManifest(text, file).filter((object) => !isSecret(object));
}

/**
 * The text with each document that is a Secret emptied down to kind and name; all other lines keep their numbers.
 * @throws PreconditionFailed for a Secret that is no document of its own, such as one in a List; as `parseManifest`
 */
export function withoutSecrets(text: string, file: string): string {
  // A line that begins so separates documents wherever it stands: texts inside of a document are indented.
  const emptied = text
    .split(/^(?=---(?:\s|$))/m)
    .map((document) => emptiedSecret(document) ?? document)
    .join('');
  const full = parseManifest(emptied, file).find((object) => isSecret(object) && !isEmpty(object));
  if (!full) return emptied;
  throw failure(
    'PreconditionFailed',
    `The manifest ${file} is refused: ${titleOf(full)} (${full.where}) is no document of its own, and Secrets are not kept. Put it between two lines "---", or take it out of the file.`,
  );
}

/** Undefined for what is no Secret, or cannot be read by itself. */
function emptiedSecret(document: string): string | undefined {
  const [line = ''] = /^---.*(?:\n|$)/.exec(document) ?? [];
  const [only, ...others] = objectsOf(document.slice(line.length));
  if (!only || others.length > 0 || !isSecret(only)) return undefined;
  const { apiVersion, kind, name, namespace } = only;
  const lines = document.split('\n').length - 1;
  const stub = JSON.stringify({ apiVersion, kind, metadata: { name, namespace } });
  return `---\n${stub}${'\n'.repeat(Math.max(1, lines - 1))}`;
}

function objectsOf(document: string): ManifestObject[] {
  try {
    return parseManifest(document, '');
  } catch {
    return [];
  }
}

function isEmpty({ body }: ManifestObject): boolean {
  const { metadata, ...others } = body;
  const members = ['name', 'namespace'];
  return (
    Object.keys(others).every((name) => name === 'apiVersion' || name === 'kind') &&
    isObject(metadata) &&
    Object.keys(metadata).every((name) => members.includes(name))
  );
}
