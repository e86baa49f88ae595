// What an IPAM entry is by its key: the custom resource that it becomes, and the shape that its value must have.
import { isObject, type JsonObject } from '../json';
import { affinityName, blockName, handleName } from './ipam-names';
import { checkAffinity, checkBlock, checkHandle, checkIpamConfig } from './ipam-values';
import type { CalicoKey } from './keys';
import { ipamKinds } from './kinds';

export type IpamKey = Exclude<CalicoKey, { type: 'other' | 'resource' }>;

/** Under which files keep IPAM, whatever the prefix of the source. */
export const filePrefix = '/calico';

/** Of the custom resource that this key leads to. */
export function ipamName(key: IpamKey): string {
  switch (key.type) {
    case 'block':
      return blockName(key.cidr);
    case 'affinity':
      return affinityName(key.host, key.cidr);
    case 'handle':
      return handleName(key.id);
    case 'ipam-config':
      return 'default';
  }
}

export function ipamKindName({ type }: IpamKey): string {
  return ipamKinds[type === 'ipam-config' ? 'config' : type].kind;
}

/** @throws Refused when the value has not the shape that its key asks for */
export function checkIpamValue({ type }: IpamKey, value: JsonObject): void {
  const check = { block: checkBlock, affinity: checkAffinity, handle: checkHandle, 'ipam-config': checkIpamConfig };
  check[type](value);
}

/** How many addresses of a block are allocated in the name of each node. */
export function addressesByNode({ allocations, attributes }: JsonObject): Map<string, number> {
  const counts = new Map<string, number>();
  const owners = (Array.isArray(attributes) ? attributes : []).map((attribute) =>
    isObject(attribute) && isObject(attribute.secondary) ? attribute.secondary.node : undefined,
  );
  for (const allocation of Array.isArray(allocations) ? allocations : []) {
    const node = typeof allocation === 'number' ? owners[allocation] : undefined;
    if (typeof node === 'string') counts.set(node, (counts.get(node) ?? 0) + 1);
  }
  return counts;
}
