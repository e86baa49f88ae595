// The keys of Calico's etcd datastore, taken apart and put together. Patterns are those of Calico's own listing: what they do not match, Calico ignores.
import { canonicalCidr, ipVersion } from './cidr';

export type CalicoKey =
  | { type: 'resource'; plural: string; namespace?: string; name: string }
  | { type: 'block'; cidr: string }
  | { type: 'affinity'; kind: 'host' | 'virtual'; host: string; cidr: string }
  /** An ID with a slash in it is one that Calico itself does not find when it lists. */
  | { type: 'handle'; id: string }
  | { type: 'ipam-config' }
  | { type: 'other'; what: string };

/** Data that Calico v3 keeps under keys of their own, but that is no configuration. */
const others: readonly [pattern: RegExp, what: string][] = [
  [/^ipam\/v2\/host\/[^/]+$/, 'host marker'],
  [/^felix\/v[12]\//, 'Felix status'],
  [/^(bgp\/)?v1\//, 'v1 data'],
];

/** CIDRs come out in canonical form: "10.64.0.0/26". @param prefix without a slash at its end */
export function parseKey(key: string, prefix: string): CalicoKey {
  const path = key.startsWith(`${prefix}/`) ? key.slice(prefix.length + 1) : undefined;
  if (path === undefined) return { type: 'other', what: 'unknown' };
  return parseResource(path) ?? parseIpam(path) ?? { type: 'other', what: nameOther(path) };
}

/** The reverse of `parseKey`. */
export function printKey(key: Exclude<CalicoKey, { type: 'other' }>, prefix: string): string {
  switch (key.type) {
    case 'resource':
      return [prefix, 'resources/v3/projectcalico.org', key.plural, key.namespace, key.name]
        .filter((part) => part !== undefined)
        .join('/');
    case 'block':
      return `${prefix}/ipam/v2/assignment/${blockPath(key.cidr)}`;
    case 'affinity':
      return `${prefix}/ipam/v2/${key.kind}/${key.host}/${blockPath(key.cidr)}`;
    case 'handle':
      return `${prefix}/ipam/v2/handle/${key.id}`;
    case 'ipam-config':
      return `${prefix}/ipam/v2/config`;
  }
}

function parseResource(path: string): CalicoKey | undefined {
  const match = /^resources\/v3\/projectcalico\.org\/([^/]+)\/(?:([^/]+)\/)?([^/]+)$/.exec(path);
  const [, plural, namespace, name] = match ?? [];
  if (plural === undefined || name === undefined) return undefined;
  return { type: 'resource', plural, ...(namespace === undefined ? {} : { namespace }), name };
}

function parseIpam(path: string): CalicoKey | undefined {
  if (path === 'ipam/v2/config') return { type: 'ipam-config' };
  const [, id] = /^ipam\/v2\/handle\/(.+)$/s.exec(path) ?? [];
  if (id !== undefined) return { type: 'handle', id };
  const [, block] = /^ipam\/v2\/assignment\/ipv.\/block\/([^/]+)$/.exec(path) ?? [];
  const blockCidr = block === undefined ? undefined : canonicalCidr(block.replace('-', '/'));
  if (blockCidr !== undefined) return { type: 'block', cidr: blockCidr };
  const [, kind, host, affine] = /^ipam\/v2\/(host|virtual)\/([^/]+)\/ipv.\/block\/([^/]+)$/.exec(path) ?? [];
  const cidr = affine === undefined ? undefined : canonicalCidr(affine.replace('-', '/'));
  if (host === undefined || cidr === undefined) return undefined;
  return { type: 'affinity', kind: kind === 'virtual' ? 'virtual' : 'host', host, cidr };
}

function nameOther(path: string): string {
  return others.find(([pattern]) => pattern.test(path))?.[1] ?? 'unknown';
}

function blockPath(cidr: string): string {
  return `ipv${ipVersion(cidr)}/block/${cidr.replace('/', '-')}`;
}
