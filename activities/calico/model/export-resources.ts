// The v3 resources among the entries: which of them travel, under which names, and what becomes of the others.
import { isObject, type JsonObject } from '../json';
import { withoutCollisions } from './collisions';
import { Refused, type Ledger } from './disposition';
import type { EtcdEntry } from './entry';
import type { CalicoKey } from './keys';
import { calicoctlOrder, fileKinds, kindByPlural, type CalicoKind } from './kinds';
import { metadataOf } from './metadata';
import { kubernetesNodeName, NodeMap } from './node-map';
import { isDerivedPolicy } from './policy-names';
import { readResource, requireName, type StoredName } from './read-resource';
import { objectMember, textMember } from './values';

type ResourceKey = Extract<CalicoKey, { type: 'resource' }>;

/** What an export works on and adds to. */
export interface ExportWork {
  entries: readonly EtcdEntry[];
  keys: readonly CalicoKey[];
  ledger: Ledger;
  remarks: string[];
  /** As remarks, after all of them: where names differ there are many. */
  renames: string[];
  strictParity: boolean;
}

interface Candidate {
  index: number;
  kind: CalicoKind;
  stored: StoredName;
  resource: JsonObject;
}

export interface ExportedResources {
  /** In the order of the file. */
  resources: JsonObject[];
  nodes: NodeMap;
}

/** Settles every resource among the entries, except for the cluster information. */
export function exportResources(work: ExportWork): ExportedResources {
  const read = work.keys.flatMap((key, index) => {
    const candidate = key.type === 'resource' ? settleOrRead(work, key, index) : undefined;
    return candidate ? [candidate] : [];
  });
  const names = nodeNames(work, read);
  const nodes = new NodeMap(names, work.strictParity);
  const renamed = read
    .filter(({ index }) => !work.ledger.isSettled(index))
    .map((candidate) => renameNodes(work, candidate, nodes));
  const placed = refuseWithoutTier(work, refuseCollisions(work, renamed.filter(nameFits(work))));
  for (const { index } of placed) work.ledger.settle(index, { fate: 'migrated' });
  remarkLostProfiles(work, placed);
  return { resources: inFileOrder(placed, work.strictParity).map(({ resource }) => resource), nodes };
}

const derivedReasons: Record<string, string> = {
  WorkloadEndpoint: 'the Kubernetes datastore makes it from the pod',
  LiveMigration: 'the Kubernetes datastore makes it from KubeVirt',
};

/** The resource, if it is one that may travel; otherwise its disposition is written. */
function settleOrRead(work: ExportWork, key: ResourceKey, index: number): Candidate | undefined {
  const { ledger, entries, remarks } = work;
  const entry = entries[index];
  const kind = kindByPlural(key.plural);
  if (!entry || kind?.fate === 'cluster') return undefined;
  try {
    if (!kind || kind.namespaced !== (key.namespace !== undefined))
      throw new Refused('unknown', 'Calico has no resource with a key of this shape');
    const reason = derivedReason(kind, key.name);
    if (reason) {
      ledger.settle(index, { fate: 'derived', reason });
      return undefined;
    }
    refuseKind(kind, key, work.strictParity);
    const resource = readResource(kind, key, entry, (text) => remarks.push(text));
    return { index, kind, stored: key, resource };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    ledger.refuse(index, error);
    return undefined;
  }
}

function derivedReason(kind: CalicoKind, name: string): string | undefined {
  if (isDerivedPolicy(kind.kind, name)) return 'Calico makes it from a policy of Kubernetes';
  if (kind.fate === 'profile' && /^(kns|ksa)\./.test(name))
    return 'Calico makes it from a namespace or service account of Kubernetes';
  return derivedReasons[kind.kind];
}

function refuseKind(kind: CalicoKind, { namespace }: ResourceKey, strictParity: boolean): void {
  if (kind.fate === 'profile')
    throw new Refused('user-profile', 'the Kubernetes datastore has no profiles but those that Calico makes itself');
  if (kind.fate === 'node-status')
    throw new Refused('node-status', 'it is a request for reports of a node, which is not migrated');
  if (strictParity && kind.namespaced && kind.kind.startsWith('Staged') && namespace !== 'default')
    throw new Refused('unknown', 'calicoctl exports it from the namespace default only');
}

/** Calico's name of every node, and that of Kubernetes. Nodes without the latter are refused. */
function nodeNames({ ledger }: ExportWork, candidates: readonly Candidate[]): Map<string, string> {
  const names = new Map<string, string>();
  for (const { kind, index, stored, resource } of candidates) {
    if (kind.fate !== 'node') continue;
    try {
      names.set(stored.name, kubernetesNodeName(objectMember(resource, 'spec')));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      ledger.refuse(index, error);
    }
  }
  return names;
}

function renameNodes(work: ExportWork, candidate: Candidate, nodes: NodeMap): Candidate {
  const { kind, resource } = candidate;
  const { name } = metadataOf(resource);
  const inSpec = (kind.kind === 'BGPPeer' || kind.kind === 'HostEndpoint') && !work.strictParity;
  const spec = objectMember(resource, 'spec');
  const node = inSpec ? spec.node : undefined;
  const renamedNode = typeof node === 'string' ? nodes.rename(node) : undefined;
  const renamedName = renameObject(kind, name, nodes);
  if (renamedName !== name) work.renames.push(`${kind.kind} ${name} becomes ${renamedName}`);
  if (typeof node === 'string' && renamedNode !== node)
    work.renames.push(`${kind.kind} ${name}: its node ${node} becomes ${renamedNode}`);
  return {
    ...candidate,
    resource: {
      ...resource,
      metadata: { ...objectMember(resource, 'metadata'), name: renamedName },
      spec: renamedNode === undefined ? spec : { ...spec, node: renamedNode },
    },
  };
}

function renameObject({ kind }: CalicoKind, name: string, nodes: NodeMap): string {
  if (kind === 'Node') return nodes.rename(name);
  return kind === 'BGPConfiguration' || kind === 'FelixConfiguration' ? nodes.renameConfiguration(name) : name;
}

function nameFits({ ledger, strictParity }: ExportWork) {
  return ({ index, resource }: Candidate): boolean => {
    try {
      if (!strictParity) requireName(metadataOf(resource));
      return true;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      ledger.refuse(index, error);
      return false;
    }
  };
}

function refuseCollisions({ ledger, entries, strictParity }: ExportWork, candidates: Candidate[]): Candidate[] {
  if (strictParity) return candidates;
  const claims = candidates.map((candidate) => {
    const { name, namespace } = metadataOf(candidate.resource);
    const place = namespace === undefined ? name : `${namespace}/${name}`;
    return { ...candidate, identity: `${candidate.kind.kind} ${place}` };
  });
  return withoutCollisions(claims, ledger, (index) => entries[index]?.key ?? '');
}

/** A policy whose tier is gone would be rejected on the target. The tier "default" is always there: Calico makes it. */
function refuseWithoutTier({ ledger, strictParity }: ExportWork, candidates: Candidate[]): Candidate[] {
  if (strictParity) return candidates;
  const tiers = new Set(['default']);
  for (const { kind, resource } of candidates) if (kind.kind === 'Tier') tiers.add(metadataOf(resource).name);
  return candidates.filter(({ kind, index, resource }) => {
    const tier = kind.tiered ? textMember(objectMember(resource, 'spec'), 'tier') : 'default';
    if (tiers.has(tier)) return true;
    ledger.refuse(index, { category: 'missing-tier', reason: `its tier ${tier} does not exist` });
    return false;
  });
}

function remarkLostProfiles({ keys, ledger, remarks }: ExportWork, placed: readonly Candidate[]): void {
  const lost = new Set(
    keys.flatMap((key, index) =>
      key.type === 'resource' && ledger.isRefused(index, 'user-profile') ? [key.name] : [],
    ),
  );
  if (lost.size === 0) return;
  for (const { kind, resource } of placed) {
    if (kind.kind !== 'HostEndpoint') continue;
    const { profiles } = isObject(resource.spec) ? resource.spec : {};
    for (const profile of Array.isArray(profiles) ? profiles : [])
      if (typeof profile === 'string' && lost.has(profile))
        remarks.push(`HostEndpoint ${metadataOf(resource).name} names the profile ${profile}, which is not migrated`);
  }
}

function inFileOrder(candidates: readonly Candidate[], strictParity: boolean): Candidate[] {
  const order = strictParity ? calicoctlOrder : fileKinds.map(({ kind }) => kind);
  const byKind = new Map<string, Candidate[]>(order.map((kind) => [kind, []]));
  for (const candidate of candidates) byKind.get(candidate.kind.kind)?.push(candidate);
  byKind.get('Tier')?.sort((left, right) => tierOrder(left) - tierOrder(right));
  return [...byKind.values()].flat();
}

function tierOrder({ resource }: Candidate): number {
  const { order } = objectMember(resource, 'spec');
  return typeof order === 'number' || typeof order === 'bigint' ? Number(order) : Number.MAX_VALUE;
}
