// Calico's names of nodes, and those of Kubernetes. They may differ; the Kubernetes datastore knows only the latter, so every place that
// holds one is renamed.
import { isObject, type Json, type JsonObject } from '../json';
import { listMember, textMember } from './values';
import { Refused } from './disposition';

const tunnelHandles = [
  'ipip-tunnel-addr-',
  'vxlan-tunnel-addr-',
  'vxlan-v6-tunnel-addr-',
  'wireguard-tunnel-addr-',
  'wireguard-v6-tunnel-addr-',
];

/** The name that Kubernetes has for this Calico node. @throws Refused when it names none */
export function kubernetesNodeName(spec: JsonObject): string {
  const references = listMember(spec, 'orchRefs').filter(isObject);
  const reference = references.findLast(({ orchestrator }) => orchestrator === 'k8s');
  const name = reference ? textMember(reference, 'nodeName') : '';
  if (name === '')
    throw new Refused('node-without-kubernetes-node', 'the node has no orchRef that names its Kubernetes node');
  return name;
}

export class NodeMap {
  private readonly known: Set<string>;

  /** @param strictParity renames only what calicoctl renames */
  constructor(
    private readonly names: ReadonlyMap<string, string>,
    private readonly strictParity = false,
  ) {
    this.known = new Set([...names.keys(), ...names.values()]);
  }

  /** The source has a node of this name. */
  knows(name: string): boolean {
    return this.known.has(name);
  }

  rename(name: string): string {
    return this.names.get(name) ?? name;
  }

  /** "node.<old>" -> "node.<new>": configurations of single nodes. */
  renameConfiguration(name: string): string {
    return name.startsWith('node.') ? `node.${this.rename(name.slice('node.'.length))}` : name;
  }

  renameHandle(id: string): string {
    const prefixes = this.strictParity ? tunnelHandles.filter((prefix) => !prefix.includes('-v6-')) : tunnelHandles;
    const prefix = prefixes.find((candidate) => id.startsWith(candidate));
    return prefix === undefined ? id : prefix + this.rename(id.slice(prefix.length));
  }

  /** A block with the names of Kubernetes in its affinity and its attributes. */
  renameBlock(block: JsonObject): JsonObject {
    const { affinity, attributes } = block;
    return {
      ...block,
      ...(typeof affinity === 'string' && { affinity: this.renameAffinity(affinity) }),
      ...(Array.isArray(attributes) && { attributes: attributes.map((attribute) => this.renameAttribute(attribute)) }),
    };
  }

  private renameAffinity(affinity: string): string {
    const [, type = '', owner = ''] = /^(host|virtual):(.*)$/s.exec(affinity) ?? [];
    const renames = type === 'host' || (type === 'virtual' && this.strictParity);
    return renames && this.names.has(owner) ? `host:${this.rename(owner)}` : affinity;
  }

  private renameAttribute(attribute: Json): Json {
    if (!isObject(attribute)) return attribute;
    const { handle_id: handle, secondary, alternateOwnerAttrs } = attribute;
    return {
      ...attribute,
      ...(typeof handle === 'string' && { handle_id: this.renameHandle(handle) }),
      ...(isObject(secondary) && { secondary: this.renameOwner(secondary) }),
      ...(isObject(alternateOwnerAttrs) && { alternateOwnerAttrs: this.renameOwner(alternateOwnerAttrs) }),
    };
  }

  private renameOwner(owner: JsonObject): JsonObject {
    return typeof owner.node === 'string' ? { ...owner, node: this.rename(owner.node) } : owner;
  }
}
