// What the Kubernetes datastore has to hold for this data: complete custom resources in the order of their dependencies, and annotations of nodes.
import { isObject, type Json, type JsonObject } from '../json';
import type { Encoding } from '../scope';
import type { CalicoData, KeyedValue } from './calico-data';
import { tierLabel, withWriteDefaults } from './defaults';
import { ipamMetadata, ipamSpec } from './desired-ipam';
import { desiredNode } from './desired-node';
import { Refused, type RefusalCategory } from './disposition';
import { filePrefix, ipamName } from './ipam-entries';
import { parseKey } from './keys';
import { fileKind, ipamKinds, type CalicoKind } from './kinds';
import { isNamespaceName, isObjectName } from './kubernetes-names';
import { customResourceMetadata, metadataOf } from './metadata';
import { storedPolicyName } from './policy-names';
import { objectMember, textMember } from './values';

export interface DesiredObject {
  /** Objects of a stage need only what lower stages have; inside a stage the order is free. */
  stage: number;
  plural: string;
  kind: string;
  namespace?: string;
  name: string;
  /** Complete: apiVersion "crd.projectcalico.org/v1", kind, metadata, spec. */
  body: JsonObject;
}

export interface DesiredNode {
  name: string;
  /** Every annotation that Calico has on a node; null: to be removed. */
  annotations: Record<string, string | null>;
}

export interface DesiredProblem {
  /** "IPAMHandle A_b" */
  object: string;
  reason: string;
  category: RefusalCategory;
}

export interface DesiredState {
  /** In dependency order; the first is the cluster information, locked. */
  objects: DesiredObject[];
  nodes: DesiredNode[];
  /** What cannot be expressed, or would overwrite something else: not among the objects. */
  problems: DesiredProblem[];
}

export const crdVersion = 'crd.projectcalico.org/v1';

/** A stage needs those before it: a policy its tier, a peer its filters. Calico reads blocks only once it knows its pools. */
const stages: readonly (readonly string[])[] = [
  ['ClusterInformation'],
  ['Tier'],
  ['BGPFilter'],
  ['IPPool', 'IPReservation'],
  ['BGPConfiguration', 'FelixConfiguration', 'KubeControllersConfiguration'],
  ['GlobalNetworkSet', 'NetworkSet'],
  ['HostEndpoint'],
  [
    'GlobalNetworkPolicy',
    'NetworkPolicy',
    'StagedGlobalNetworkPolicy',
    'StagedNetworkPolicy',
    'StagedKubernetesNetworkPolicy',
  ],
  ['BGPPeer'],
  ['BlockAffinity'],
  ['IPAMBlock'],
  ['IPAMHandle'],
  ['IPAMConfig'],
];
const stageOf = new Map(stages.flatMap((kinds, stage) => kinds.map((kind) => [kind, stage] as const)));

export function desiredState(data: CalicoData, encoding: Encoding): DesiredState {
  const problems: DesiredProblem[] = [];
  const attempt = <Made>(object: string, make: () => Made): Made[] => {
    try {
      return [make()];
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      problems.push({ object, reason: error.reason, category: error.category });
      return [];
    }
  };
  const { clusterInformation, resources, ipam } = data;
  const made = [
    ...(clusterInformation ? attempt('ClusterInformation default', () => clusterObject(clusterInformation)) : []),
    ...resources
      .filter(({ kind }) => kind !== 'Node')
      .flatMap((resource) => attempt(label(resource), () => resourceObject(resource, encoding))),
    ...[...ipam.affinities, ...ipam.blocks, ...ipam.handles, ...(ipam.config ? [ipam.config] : [])].flatMap((entry) =>
      attempt(entry.key, () => ipamObject(entry, encoding)),
    ),
  ];
  const nodes = resources
    .filter(({ kind }) => kind === 'Node')
    .flatMap((resource) => attempt(label(resource), () => desiredNode(resource)));
  return {
    objects: unique(made, describeObject, problems).sort((left, right) => left.stage - right.stage),
    nodes: unique(nodes, ({ name }) => `Node ${name}`, problems),
    problems,
  };
}

/** "NetworkPolicy prod/default.allow-db" */
export function describeObject({ kind, namespace, name }: Pick<DesiredObject, 'kind' | 'namespace' | 'name'>): string {
  return `${kind} ${namespace === undefined ? name : `${namespace}/${name}`}`;
}

function label(resource: JsonObject): string {
  return describeObject({ kind: textMember(resource, 'kind'), ...metadataOf(resource) });
}

/** Only what belongs to the cluster travels; the rest Calico on Kubernetes fills in itself. */
function clusterObject(clusterInformation: JsonObject): DesiredObject {
  const spec = objectMember(clusterInformation, 'spec');
  const clusterGUID = textMember(spec, 'clusterGUID');
  const calicoVersion = textMember(spec, 'calicoVersion');
  const kind = { kind: 'ClusterInformation', plural: 'clusterinformations' };
  return object(kind, customResourceMetadata({ metadata: { name: 'default' } }, 'default', false), {
    ...(clusterGUID !== '' && { clusterGUID }),
    clusterType: 'kdd',
    ...(calicoVersion !== '' && { calicoVersion }),
    datastoreReady: false,
  });
}

function resourceObject(resource: JsonObject, encoding: Encoding): DesiredObject {
  const kind = fileKind(textMember(resource, 'kind'));
  if (!kind) throw new Refused('unknown', 'the Kubernetes datastore has no such kind');
  const { name } = metadataOf(resource);
  const spec = withWriteDefaults(kind.kind, withoutNulls(objectMember(resource, 'spec')), name);
  const labelled = kind.tiered ? withTierLabel(resource, textMember(spec, 'tier')) : resource;
  const stored = kind.tiered ? storedPolicyName(name, encoding.policyNaming) : name;
  const metadata = customResourceMetadata(labelled, stored, kind.tiered === true);
  return object(kind, metadata, spec, isObject(resource.status) ? withoutNulls(resource.status) : undefined);
}

/** The label follows the tier; in the default tier a label that is there already is left alone, as Calico does. */
function withTierLabel(resource: JsonObject, tier: string): JsonObject {
  const { labels } = metadataOf(resource);
  if (tier === 'default' && tierLabel in labels) return resource;
  return {
    ...resource,
    metadata: { ...objectMember(resource, 'metadata'), labels: { ...labels, [tierLabel]: tier } },
  };
}

function ipamObject({ key: text, value }: KeyedValue, encoding: Encoding): DesiredObject {
  const key = parseKey(text, filePrefix);
  if (key.type === 'other' || key.type === 'resource') throw new Refused('unknown', 'it is no key of IPAM');
  const kind = ipamKinds[key.type === 'ipam-config' ? 'config' : key.type];
  const metadata = { name: ipamName(key), ...ipamMetadata(key, encoding.affinityLabels) };
  return object(kind, metadata, ipamSpec(key, value));
}

function object(
  { kind, plural }: Pick<CalicoKind, 'kind' | 'plural'>,
  metadata: JsonObject,
  spec: JsonObject,
  status?: JsonObject,
): DesiredObject {
  const { name, namespace } = metadataOf({ metadata });
  if (!isObjectName(name) || (namespace !== undefined && !isNamespaceName(namespace)))
    throw new Refused('inexpressible-name', `no object of Kubernetes can be named ${JSON.stringify(name)}`);
  return {
    stage: stageOf.get(kind) ?? stages.length,
    plural,
    kind,
    ...(namespace !== undefined && { namespace }),
    name,
    body: { apiVersion: crdVersion, kind, metadata, spec, ...(status && { status }) },
  };
}

/** Two that would be one: neither is taken. */
function unique<Made>(made: Made[], identityOf: (one: Made) => string, problems: DesiredProblem[]): Made[] {
  const counts = new Map<string, number>();
  for (const one of made) counts.set(identityOf(one), (counts.get(identityOf(one)) ?? 0) + 1);
  for (const [identity, count] of counts)
    if (count > 1)
      problems.push({
        object: identity,
        reason: `${count} objects of the source would become it`,
        category: 'collision',
      });
  return made.filter((one) => counts.get(identityOf(one)) === 1);
}

/** Kubernetes drops members that are null, or rejects them; Calico means "not set" by them. Nulls in lists stay. */
function withoutNulls(object: JsonObject): JsonObject {
  const entries = Object.entries(object).filter(([, value]) => value !== null && value !== undefined);
  return Object.fromEntries(entries.map(([name, value]) => [name, withoutNullsInside(value)]));
}

function withoutNullsInside(value: Json | undefined): Json | undefined {
  if (Array.isArray(value)) return value.map((item) => (isObject(item) ? withoutNulls(item) : item));
  return isObject(value) ? withoutNulls(value) : value;
}
