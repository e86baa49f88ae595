// IPAM among the entries: blocks, affinities, handles and the configuration, with the names of Kubernetes nodes in them.
import type { JsonObject } from '../json';
import type { CalicoData, KeyedValue } from './calico-data';
import { withoutCollisions } from './collisions';
import { Refused } from './disposition';
import type { EtcdEntry } from './entry';
import type { ExportWork } from './export-resources';
import { addressesByNode, checkIpamValue, filePrefix, ipamKindName, ipamName, type IpamKey } from './ipam-entries';
import { isObjectName } from './kubernetes-names';
import { printKey } from './keys';
import type { NodeMap } from './node-map';
import { objectValue } from './values';

interface Candidate {
  index: number;
  identity: string;
  key: IpamKey;
  entry: KeyedValue;
}

/** Settles every IPAM entry. */
export function exportIpam(work: ExportWork, nodes: NodeMap): CalicoData['ipam'] {
  const { keys, entries, ledger, strictParity } = work;
  const read = keys.flatMap((key, index) => {
    const entry = entries[index];
    if (key.type === 'other' || key.type === 'resource' || !entry) return [];
    const candidate = settleOrRead(work, key, index, entry, nodes);
    return candidate ? [candidate] : [];
  });
  const placed = strictParity ? read : withoutCollisions(read, ledger, (index) => entries[index]?.key ?? '');
  for (const { index } of placed) ledger.settle(index, { fate: 'migrated' });
  remarkGoneNodes(work, placed, nodes);
  const of = (type: IpamKey['type']): KeyedValue[] =>
    placed.filter(({ key }) => key.type === type).map(({ entry }) => entry);
  const [config] = of('ipam-config');
  return { affinities: of('affinity'), blocks: of('block'), handles: of('handle'), ...(config && { config }) };
}

function settleOrRead(
  work: ExportWork,
  key: IpamKey,
  index: number,
  entry: EtcdEntry,
  nodes: NodeMap,
): Candidate | undefined {
  try {
    if (work.strictParity) refuseAsCalicoctl(key);
    // Data of old Calico versions: an affinity without a value is one without a state.
    const empty = key.type === 'affinity' && entry.value === '' && entry.valueBase64 === undefined;
    const value = empty ? { state: '', deleted: false } : objectValue(entry);
    checkIpamValue(key, value);
    const renamed = renameKey(key, nodes);
    const name = ipamName(renamed);
    if (!work.strictParity && !isObjectName(name))
      throw new Refused('inexpressible-name', `no object of Kubernetes can be named ${JSON.stringify(name)}`);
    remarkEntry(work, key, renamed, value);
    return {
      index,
      key: renamed,
      identity: `${ipamKindName(key)} ${name}`,
      entry: {
        key: printKey(renamed, filePrefix),
        value: key.type === 'block' ? nodes.renameBlock(value) : value,
      },
    };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    work.ledger.refuse(index, error);
    return undefined;
  }
}

function refuseAsCalicoctl(key: IpamKey): void {
  if (key.type === 'affinity' && key.kind === 'virtual')
    throw new Refused('unknown', 'calicoctl does not export affinities of load balancers');
  if (key.type === 'handle' && key.id.includes('/'))
    throw new Refused('unknown', 'calicoctl does not find handles with a slash in their ID');
}

function renameKey(key: IpamKey, nodes: NodeMap): IpamKey {
  if (key.type === 'handle') return { ...key, id: nodes.renameHandle(key.id) };
  return key.type === 'affinity' && key.kind === 'host' ? { ...key, host: nodes.rename(key.host) } : key;
}

function remarkEntry({ remarks, renames }: ExportWork, key: IpamKey, renamed: IpamKey, value: JsonObject): void {
  if (key.type === 'handle' && renamed.type === 'handle' && key.id !== renamed.id)
    renames.push(`IPAMHandle ${key.id} becomes ${renamed.id}`);
  if (key.type === 'block' && typeof value.cidr === 'string' && value.cidr !== key.cidr)
    remarks.push(`IPAMBlock ${key.cidr}: its value says ${value.cidr}; the key counts`);
  if (value.deleted === true) remarks.push(`${printKey(key, filePrefix)} is marked as deleted, and migrated so`);
}

function remarkGoneNodes({ remarks }: ExportWork, placed: readonly Candidate[], nodes: NodeMap): void {
  const gone = new Map<string, { affinities: number; addresses: number }>();
  const of = (node: string) => {
    const counts = gone.get(node) ?? { affinities: 0, addresses: 0 };
    gone.set(node, counts);
    return counts;
  };
  for (const { key, entry } of placed) {
    if (key.type === 'affinity' && key.kind === 'host' && !nodes.knows(key.host)) of(key.host).affinities += 1;
    if (key.type === 'block')
      for (const [node, count] of addressesByNode(entry.value)) if (!nodes.knows(node)) of(node).addresses += count;
  }
  for (const [node, { affinities, addresses }] of gone)
    remarks.push(
      `Node ${node} is not there any more; its ${affinities} block affinities and ${addresses} addresses are migrated all the same`,
    );
}
