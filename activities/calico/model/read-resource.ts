// One v3 object out of its etcd value: named as its key says, cleaned of what is the datastore's own, with the defaults that a reader sees.
import { isObject, type JsonObject } from '../json';
import { tierLabel, withReadDefaults } from './defaults';
import { Refused } from './disposition';
import type { EtcdEntry } from './entry';
import type { CalicoKind } from './kinds';
import { isNamespaceName, isObjectName } from './kubernetes-names';
import { portableMetadata } from './metadata';
import { policyName, stashAnnotation } from './policy-names';
import { objectMember, objectValue, textMember, textsMember } from './values';

export const resourceVersion3 = 'projectcalico.org/v3';

/** Where an object belongs: the name as stored, and the namespace. */
export interface StoredName {
  name: string;
  namespace?: string;
}

const members = new Set(['kind', 'apiVersion', 'metadata', 'spec', 'status']);

/**
 * @param remark is told what of the value is left out
 * @throws Refused
 */
export function readResource(
  kind: CalicoKind,
  { name, namespace }: StoredName,
  entry: EtcdEntry,
  remark: (text: string) => void,
): JsonObject {
  const value = objectValue(entry);
  const foreign = Object.keys(value).filter((member) => !members.has(member));
  if (foreign.length > 0) remark(`${kind.kind} ${name}: ${foreign.join(', ')} is not of the v3 API and is left out`);
  const found = textMember(value, 'kind');
  if (found !== '' && found !== kind.kind) throw new Refused('unparseable', `the value calls itself ${found}`);
  const spec = withReadDefaults(kind.kind, objectMember(value, 'spec'), name);
  const metadata = kind.tiered
    ? policyMetadata(value, { name, namespace }, textMember(objectMember(value, 'spec'), 'tier'), spec)
    : portableMetadata(objectMember(value, 'metadata'), name, namespace);
  return {
    kind: kind.kind,
    apiVersion: resourceVersion3,
    metadata,
    spec,
    ...(isObject(value.status) && { status: value.status }),
  };
}

function policyMetadata(value: JsonObject, stored: StoredName, tier: string, spec: JsonObject): JsonObject {
  const metadata = objectMember(value, 'metadata');
  const { [stashAnnotation]: stash, ...annotations } = textsMember(metadata, 'annotations');
  const name = policyName(stored.name, stash, tier);
  const labels = { [tierLabel]: textMember(spec, 'tier'), ...objectMember(metadata, 'labels') };
  return portableMetadata({ ...metadata, labels, annotations }, name, stored.namespace);
}

/** @throws Refused when no object of Kubernetes can have this name */
export function requireName({ name, namespace }: StoredName): void {
  if (!isObjectName(name))
    throw new Refused('inexpressible-name', `no object of Kubernetes can be named ${JSON.stringify(name)}`);
  if (namespace !== undefined && !isNamespaceName(namespace))
    throw new Refused('inexpressible-name', `no namespace can be named ${JSON.stringify(namespace)}`);
}
