// Looks at both datastores with eyes of its own: what etcd holds is looked up on the cluster, object by object, without a line of the code
// that has moved it. Written for the sample datastore and Calico 3.30; it knows the few things that change on the way.
import type { Etcd3 } from 'etcd3';
import { equalJson, isObject, parseJson, printJson, type Json, type JsonObject } from '../../activities/calico/json';
import type { Cluster } from '../calico/cluster';
import { readEtcd } from './read-etcd';

export interface Comparison {
  /** Kind (as the cluster's plural) -> objects that are there and equal. */
  equal: Map<string, number>;
  /** "ipamblocks 10-64-0-0-26: not there" */
  problems: string[];
  /** Keys that belong to Kubernetes or to Calico itself, and have no object. */
  derived: number;
}

interface Expected {
  plural: string;
  namespace?: string;
  name: string;
  spec: JsonObject;
  /** Of the v3 object; undefined where there are none. */
  labels?: JsonObject;
}

const group = '/apis/crd.projectcalico.org/v1';
const policies = /^(staged)?(global)?networkpolicies$/;
const tunnel = /^((?:ipip|vxlan|vxlan-v6|wireguard|wireguard-v6)-tunnel-addr-)(.+)$/;

export async function compareDatastores(etcd: Etcd3, cluster: Cluster, prefix = '/calico'): Promise<Comparison> {
  const entries = await readEtcd(etcd, prefix);
  const values = Object.fromEntries(entries.map(({ key, value }) => [key.toString(), value.toString()]));
  const found: Comparison = { equal: new Map(), problems: [], derived: 0 };
  const names = nodeNames(values, prefix);
  const expected = new Map<string, Expected>();
  for (const [key, value] of Object.entries(values)) {
    const path = key.slice(prefix.length + 1);
    if (path.startsWith('resources/v3/projectcalico.org/nodes/')) {
      await compareNode(cluster, objectIn(value), names, found);
      continue;
    }
    const object = path.startsWith('ipam/') ? ofIpam(path, value, names) : ofResource(path, value, names);
    if (object) expected.set(`${object.plural} ${object.namespace ?? ''} ${object.name}`, object);
    else found.derived += 1;
  }
  for (const plural of new Set([...expected.values()].map((one) => one.plural)))
    compareKind(plural, (await cluster.list(`${group}/${plural}`)) ?? [], expected, found);
  for (const { plural, name, namespace } of expected.values())
    found.problems.push(`${plural} ${namespace ? `${namespace}/` : ''}${name}: not on the cluster`);
  return found;
}

/** Takes what it finds out of `expected`; what is left there is missing. */
function compareKind(plural: string, live: JsonObject[], expected: Map<string, Expected>, found: Comparison): void {
  for (const { metadata, spec } of live) {
    const { name, namespace, annotations } = isObject(metadata) ? metadata : {};
    const key = `${plural} ${text(namespace)} ${text(name)}`;
    const wanted = expected.get(key);
    expected.delete(key);
    const shown = `${plural} ${text(namespace)}${namespace ? '/' : ''}${text(name)}`;
    if (!wanted) {
      found.problems.push(`${shown}: on the cluster, and not in etcd`);
      continue;
    }
    const stash = objectIn(text(isObject(annotations) ? annotations['projectcalico.org/metadata'] : '{}'));
    const labels = isObject(stash.labels) ? stash.labels : {};
    const missingLabels = Object.entries(wanted.labels ?? {}).filter(([label, value]) => labels[label] !== value);
    if (!equalJson(wanted.spec, spec))
      found.problems.push(`${shown}: wanted ${short(wanted.spec)}, found ${short(spec)}`);
    else if (missingLabels.length > 0)
      found.problems.push(`${shown}: labels ${short(Object.fromEntries(missingLabels))} are missing`);
    else count(found, plural);
  }
}

function ofResource(path: string, value: string, names: Map<string, string>): Expected | undefined {
  const [, plural, namespace, name] =
    /^resources\/v3\/projectcalico\.org\/([^/]+)\/(?:([^/]+)\/)?([^/]+)$/.exec(path) ?? [];
  if (!plural || !name || /^(profiles|workloadendpoints|caliconodestatuses)$/.test(plural)) return undefined;
  if (/^(knp\.default|kanp\.adminnetworkpolicy|kbanp\.baselineadminnetworkpolicy)\./.test(name)) return undefined;
  const { metadata, spec } = objectIn(value);
  const whole: JsonObject = { ...(isObject(spec) ? spec : {}) };
  if (policies.test(plural)) whole.tier ??= 'default';
  if (plural === 'clusterinformations') Object.assign(whole, { clusterType: 'kdd', datastoreReady: true });
  if (plural === 'felixconfigurations' && whole.defaultEndpointToHostAction === 'DROP')
    whole.defaultEndpointToHostAction = 'Drop';
  if (typeof whole.node === 'string') whole.node = names.get(whole.node) ?? whole.node;
  const ofNode = /^node\.(.+)$/.exec(name)?.[1];
  const labels = isObject(metadata) && isObject(metadata.labels) ? metadata.labels : undefined;
  return { plural, namespace, name: ofNode ? `node.${names.get(ofNode) ?? ofNode}` : name, spec: whole, labels };
}

function ofIpam(path: string, value: string, names: Map<string, string>): Expected | undefined {
  const object = objectIn(value || '{}');
  const handle = /^ipam\/v2\/handle\/(.+)$/.exec(path)?.[1];
  if (handle) {
    const handleID = renamedHandle(handle, names);
    return {
      plural: 'ipamhandles',
      name: handleID.toLowerCase(),
      spec: { handleID, block: object.block, deleted: false },
    };
  }
  const affinity = /^ipam\/v2\/(host|virtual)\/([^/]+)\/ipv[46]\/block\/(.+)$/.exec(path);
  if (affinity) {
    const [, type = '', owner = '', block = ''] = affinity;
    const node = type === 'host' ? (names.get(owner) ?? owner) : owner;
    const cidr = block.replace('-', '/');
    const spec = { cidr, node, type, state: object.state ?? '', deleted: 'false' };
    return { plural: 'blockaffinities', name: `${node}-${blockName(cidr)}`, spec };
  }
  if (path.startsWith('ipam/v2/assignment/')) return ofBlock(object, names);
  if (path !== 'ipam/v2/config') return undefined;
  const { strict_affinity = false, auto_allocate_blocks = false, maxBlocksPerHost } = object;
  const spec = { strictAffinity: strict_affinity, autoAllocateBlocks: auto_allocate_blocks, maxBlocksPerHost };
  return { plural: 'ipamconfigs', name: 'default', spec };
}

function ofBlock(block: JsonObject, names: Map<string, string>): Expected {
  const { affinity, attributes, ...rest } = block;
  const owner = /^host:(.+)$/.exec(text(affinity))?.[1];
  const spec: JsonObject = {
    ...rest,
    strictAffinity: false,
    affinity: owner ? `host:${names.get(owner) ?? owner}` : (affinity ?? undefined),
    attributes: (Array.isArray(attributes) ? attributes : []).filter(isObject).map(({ handle_id, secondary }) => {
      const pairs = isObject(secondary) ? secondary : {};
      const node = names.get(text(pairs.node)) ?? pairs.node;
      return { handle_id: renamedHandle(text(handle_id), names), secondary: { ...pairs, node } };
    }),
  };
  return { plural: 'ipamblocks', name: blockName(text(block.cidr)), spec };
}

async function compareNode(cluster: Cluster, node: JsonObject, names: Map<string, string>, found: Comparison) {
  const { metadata, spec, status } = node;
  if (!isObject(metadata) || !isObject(spec) || !isObject(status)) throw new Error('a node of the sample is no object');
  const name = names.get(text(metadata.name)) ?? '';
  const live = await cluster.get(`/api/v1/nodes/${name}`);
  const annotations = isObject(live?.metadata) && isObject(live.metadata.annotations) ? live.metadata.annotations : {};
  const bgp = isObject(spec.bgp) ? spec.bgp : {};
  const wireguard = isObject(spec.wireguard) ? spec.wireguard : {};
  const wanted: Record<string, Json | undefined> = {
    IPv4Address: bgp.ipv4Address,
    IPv6Address: bgp.ipv6Address,
    ASNumber: text(bgp.asNumber),
    IPv4IPIPTunnelAddr: bgp.ipv4IPIPTunnelAddr,
    RouteReflectorClusterID: bgp.routeReflectorClusterID,
    IPv4VXLANTunnelAddr: spec.ipv4VXLANTunnelAddr,
    VXLANTunnelMACAddr: spec.vxlanTunnelMACAddr,
    IPv6VXLANTunnelAddr: spec.ipv6VXLANTunnelAddr,
    VXLANTunnelMACAddrV6: spec.vxlanTunnelMACAddrV6,
    IPv4WireguardInterfaceAddr: wireguard.interfaceIPv4Address,
    IPv6WireguardInterfaceAddr: wireguard.interfaceIPv6Address,
    WireguardPublicKey: status.wireguardPublicKey,
  };
  const wrong = Object.entries(wanted).filter(([key, value]) => annotations[`projectcalico.org/${key}`] !== value);
  const labels = objectIn(text(annotations['projectcalico.org/labels']) || '{}');
  const rack = isObject(metadata.labels) ? metadata.labels.rack : undefined;
  if (wrong.length > 0) found.problems.push(`node ${name}: ${wrong.map(([key]) => key).join(', ')} differ`);
  else if (!equalJson(labels, { rack })) found.problems.push(`node ${name}: its labels are ${short(labels)}`);
  else count(found, 'nodes');
}

/** Calico's name of a node -> Kubernetes' name of it. */
function nodeNames(values: Record<string, string>, prefix: string): Map<string, string> {
  const names = new Map<string, string>();
  for (const [key, value] of Object.entries(values)) {
    const calico = key.split(`${prefix}/resources/v3/projectcalico.org/nodes/`)[1];
    const spec = calico ? objectIn(value).spec : undefined;
    if (!calico || !isObject(spec) || !Array.isArray(spec.orchRefs)) continue;
    const last = spec.orchRefs.filter(isObject).at(-1);
    names.set(calico, text(last?.nodeName));
  }
  return names;
}

function renamedHandle(handle: string, names: Map<string, string>): string {
  const [, kind, node] = tunnel.exec(handle) ?? [];
  return kind && node ? `${kind}${names.get(node) ?? node}` : handle;
}

function blockName(cidr: string): string {
  return cidr.replace(/[.:/]/g, '-');
}

function objectIn(value: string): JsonObject {
  const parsed = parseJson(value);
  return isObject(parsed) ? parsed : {};
}

function text(value: Json | undefined): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
}

function short(value: Json | undefined): string {
  return printJson(value ?? null).slice(0, 200);
}

function count({ equal }: Comparison, plural: string): void {
  equal.set(plural, (equal.get(plural) ?? 0) + 1);
}
