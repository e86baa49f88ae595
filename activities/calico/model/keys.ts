// The keys of Calico's etcd datastore, taken apart and put together. Patterns are those of Calico's own listing: what they do not match, Calico ignores.

export type CalicoKey =
  | { type: 'resource'; plural: string; namespace?: string; name: string }
  | { type: 'block'; cidr: string }
  | { type: 'affinity'; kind: 'host' | 'virtual'; host: string; cidr: string }
  | { type: 'handle'; id: string }
  | { type: 'ipam-config' }
  | { type: 'other'; what: string };

/** CIDRs come out in canonical form: "10.64.0.0/26". @param prefix without a slash at its end */
export function parseKey(_key: string, _prefix: string): CalicoKey {
  throw new Error('not yet');
}

/** The reverse of `parseKey`. */
export function printKey(_key: Exclude<CalicoKey, { type: 'other' }>, _prefix: string): string {
  throw new Error('not yet');
}
