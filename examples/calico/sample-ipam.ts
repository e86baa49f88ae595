// Addresses of the sample datastore: IPv4 and IPv6 blocks with 64-bit sequence numbers, affinities and handles that agree with each other.
// Every allocation has its handle, every handle its blocks, every affinity its block.
import { createHash } from 'node:crypto';
import { printJson, type JsonObject } from '../../activities/calico/json';
import type { SampleNode } from './sample-nodes';

export const loadBalancers = 'load-balancer';

/** Nanoseconds since 1970, as Calico begins to count: far beyond 2^53. */
const firstSequenceNumber = 1795244676171828089n;
const blockSize = 64;
const sampleTime = '2026-11-02 03:04:05.000000006 +0000 UTC';

const ownTunnels = [
  { type: 'ipipTunnelAddress', handle: 'ipip-tunnel-addr', version: 4 },
  { type: 'vxlanTunnelAddress', handle: 'vxlan-tunnel-addr', version: 4 },
  { type: 'wireguardTunnelAddress', handle: 'wireguard-tunnel-addr', version: 4 },
  { type: 'vxlanV6TunnelAddress', handle: 'vxlan-v6-tunnel-addr', version: 6 },
  { type: 'wireguardV6TunnelAddress', handle: 'wireguard-v6-tunnel-addr', version: 6 },
] as const;

/** Handles that are not of pods: five tunnels a node, one load balancer. */
export function handlesBesidesPods(nodes: number): number {
  return nodes * ownTunnels.length + 1;
}

export interface SamplePod {
  name: string;
  namespace: string;
  node: SampleNode;
  containerId: string;
  addresses: string[];
}

export interface SampleIpam {
  /** Keys after the prefix: `/ipam/v2/config`. */
  entries: { key: string; value: string }[];
  pods: SamplePod[];
  /** By Calico's node name, then by the beginning of the handle: `ipip-tunnel-addr`. */
  tunnels: Map<string, Record<string, string>>;
  blocks: number;
}

/** @param pods their number; spread over all nodes, every fourth with an IPv6 address too, every hundredth with a second IPv4 address */
export function sampleIpam(nodes: SampleNode[], namespaces: string[], pods: number): SampleIpam {
  const space = new Space();
  const tunnels = new Map<string, Record<string, string>>();
  for (const node of nodes) {
    const addresses: Record<string, string> = {};
    for (const { type, handle, version } of ownTunnels) {
      const id = `${handle}-${node.calico}`;
      addresses[handle] = space.allocate(`host:${node.calico}`, version, id, { node: node.calico, type });
    }
    tunnels.set(node.calico, addresses);
  }
  const all = Array.from({ length: pods }, (_, index): SamplePod => {
    const node = nodes[index % nodes.length] as SampleNode;
    const namespace = namespaces[index % namespaces.length] as string;
    const containerId = createHash('sha256').update(`pod ${index}`).digest('hex');
    // Names of handles are told apart by case in etcd, and lower-cased in Kubernetes.
    const handle = `k8s-pod-network.${index === 1 ? containerId.toUpperCase() : containerId}`;
    const name = `web-${index}`;
    const secondary = { namespace, node: node.calico, pod: name, timestamp: sampleTime };
    const take = (version: 4 | 6): string => space.allocate(`host:${node.calico}`, version, handle, secondary);
    const addresses = [take(4)];
    if (index % 100 === 0) addresses.push(take(4));
    if (index % 4 === 0) addresses.push(take(6));
    return { name, namespace, node, containerId, addresses };
  });
  space.allocate(`virtual:${loadBalancers}`, 4, 'lb-7c2ad40fe1b94d1c', {
    service: 'frontend',
    namespace: 'shop',
    type: 'LoadBalancer',
  });
  // A block that its node has given back: it stays for the addresses that are still in use, here none.
  space.open(null, 4);
  const config = { auto_allocate_blocks: true, maxBlocksPerHost: 64 };
  return {
    entries: [...space.entries(), { key: '/ipam/v2/config', value: printJson(config) }],
    pods: all,
    tunnels,
    blocks: space.blocks.length,
  };
}

interface Block {
  owner: string | null;
  version: 4 | 6;
  /** `10.64.0.0/26`. */
  cidr: string;
  address: (ordinal: number) => string;
  allocations: (number | null)[];
  /** First in, first out: what was given back last is at the end. */
  free: number[];
  attributes: { handle_id: string; secondary: Record<string, string> }[];
  sequenceNumber: bigint;
  sequenceNumbers: Record<string, bigint>;
}

/** Takes addresses as Calico's own address management does: a block for each owner, another one when it is full. */
class Space {
  readonly blocks: Block[] = [];
  private readonly current = new Map<string, Block>();
  private readonly handles = new Map<string, Map<string, number>>();
  private readonly opened = { 4: 0, 6: 0, virtual: 0 };

  allocate(owner: string, version: 4 | 6, handle: string, secondary: Record<string, string>): string {
    const of = `${owner} ${version}`;
    let block = this.current.get(of);
    if (!block || block.free.length === 0) {
      block = this.open(owner, version);
      this.current.set(of, block);
    }
    const ordinal = block.free.shift() ?? 0;
    let attribute = block.attributes.findIndex(({ handle_id }) => handle_id === handle);
    if (attribute < 0) attribute = block.attributes.push({ handle_id: handle, secondary }) - 1;
    block.allocations[ordinal] = attribute;
    block.sequenceNumbers[String(ordinal)] = block.sequenceNumber;
    block.sequenceNumber += 1n;
    const counts = this.handles.get(handle) ?? new Map<string, number>();
    this.handles.set(handle, counts.set(block.cidr, (counts.get(block.cidr) ?? 0) + 1));
    return block.address(ordinal);
  }

  open(owner: string | null, version: 4 | 6): Block {
    const { cidr, address } = this.nextRange(owner, version);
    const ordinals = Array.from({ length: blockSize }, (_, ordinal) => ordinal);
    const block: Block = {
      owner,
      version,
      cidr,
      address,
      allocations: ordinals.map(() => null),
      // Not in the order of the addresses, as after some pods have come and gone.
      free: [...ordinals.slice(3), ...ordinals.slice(0, 3)],
      attributes: [],
      sequenceNumber: firstSequenceNumber + BigInt(this.blocks.length) * 1_000_003n,
      sequenceNumbers: {},
    };
    this.blocks.push(block);
    return block;
  }

  private nextRange(owner: string | null, version: 4 | 6): Pick<Block, 'cidr' | 'address'> {
    if (version === 6) {
      const first = this.opened[6]++ * blockSize;
      const address = (ordinal: number): string =>
        `fd00:10:64::${first + ordinal === 0 ? '' : (first + ordinal).toString(16)}`;
      return { cidr: `${address(0)}/122`, address };
    }
    const virtual = owner?.startsWith('virtual:') ?? false;
    const first = (virtual ? this.opened.virtual++ : this.opened[4]++) * blockSize;
    const address = (ordinal: number): string =>
      `10.${virtual ? 99 : 64 + Math.floor(first / 65_536)}.${Math.floor(first / 256) % 256}.${(first % 256) + ordinal}`;
    return { cidr: `${address(0)}/26`, address };
  }

  entries(): { key: string; value: string }[] {
    return [...this.blocks.map(blockEntry), ...this.affinities(), ...this.handleEntries()];
  }

  private affinities(): { key: string; value: string }[] {
    return this.blocks.flatMap(({ owner, version, cidr }, index) => {
      if (owner === null) return [];
      const key = `/ipam/v2/${owner.replace(':', '/')}/ipv${version}/block/${cidr.replace('/', '-')}`;
      // Some releases wrote nothing at all; it counts as an affinity without a state.
      return { key, value: index === 1 ? '' : printJson({ state: 'confirmed', deleted: false }) };
    });
  }

  private handleEntries(): { key: string; value: string }[] {
    return [...this.handles].map(([id, counts]) => ({
      key: `/ipam/v2/handle/${id}`,
      value: printJson({ block: Object.fromEntries(counts), deleted: false }),
    }));
  }
}

function blockEntry(block: Block): { key: string; value: string } {
  const value: JsonObject = {
    cidr: block.cidr,
    affinity: block.owner,
    allocations: block.allocations,
    unallocated: block.free,
    attributes: block.attributes,
    sequenceNumber: block.sequenceNumber,
    sequenceNumberForAllocation: block.sequenceNumbers,
    deleted: false,
  };
  return {
    key: `/ipam/v2/assignment/ipv${block.version}/block/${block.cidr.replace('/', '-')}`,
    value: printJson(value),
  };
}
