// What makes a migration refuse: each a thing that real datastores have, and that is easily lost without a word.
import { loadBalancers } from './sample-ipam';

/** @see entriesOf */
export type Spoilt =
  | 'user-profile'
  | 'unparseable'
  | 'vanished-node'
  | 'node-without-kubernetes'
  | 'handle-with-slash'
  | 'node-status'
  | 'no-utf8'
  | 'unknown-kind';

interface Entry {
  key: string;
  value: string | Buffer;
}

const resources = '/resources/v3/projectcalico.org';

const entriesOf: Record<Spoilt, Entry[]> = {
  /** A profile that somebody wrote: the Kubernetes datastore has only those of namespaces and service accounts. */
  'user-profile': [
    resource('Profile', 'profiles/quarantine', { ingress: [{ action: 'Deny', source: {}, destination: {} }] }),
  ],
  /** Cut off in the middle. */
  unparseable: [
    {
      key: `${resources}/globalnetworkpolicies/default.half-written`,
      value: '{"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":"default.half-wr',
    },
  ],
  /** Calico still knows it and has addresses for it; Kubernetes no longer does. */
  'vanished-node': [
    resource('Node', 'nodes/node-gone', {
      bgp: { ipv4Address: '172.16.9.9/24' },
      orchRefs: [{ orchestrator: 'k8s', nodeName: 'node-gone' }],
    }),
    {
      key: '/ipam/v2/host/node-gone/ipv4/block/10.67.200.0-26',
      value: '{"state":"confirmed","deleted":false}',
    },
    {
      key: '/ipam/v2/assignment/ipv4/block/10.67.200.0-26',
      value: JSON.stringify({
        cidr: '10.67.200.0/26',
        affinity: 'host:node-gone',
        allocations: Array.from({ length: 64 }, () => null),
        unallocated: Array.from({ length: 64 }, (_, ordinal) => ordinal),
        attributes: [],
        deleted: false,
      }),
    },
  ],
  /** Nothing says which Kubernetes node it is. */
  'node-without-kubernetes': [resource('Node', 'nodes/bare-metal-7', { bgp: { ipv4Address: '172.16.9.7/24' } })],
  /** Listings of Calico pass it over. */
  'handle-with-slash': [
    { key: '/ipam/v2/handle/Upper_Case.Handle/with:odd chars', value: '{"block":{"10.64.0.0/26":1},"deleted":false}' },
  ],
  /** Wanted by a person once; its answer is not data. */
  'node-status': [
    resource('CalicoNodeStatus', 'caliconodestatuses/worker-1', {
      node: 'worker-1',
      classes: ['BGP'],
      updatePeriodSeconds: 10,
    }),
  ],
  'no-utf8': [{ key: `${resources}/globalnetworksets/binary`, value: Buffer.from([0xff, 0xfe, 0x00, 0x80]) }],
  'unknown-kind': [resource('Gadget', 'gadgets/one', { of: loadBalancers })],
};

/** Keys after the prefix. */
export function spoiltEntries(spoilt: Spoilt[]): Entry[] {
  return [...new Set(spoilt)].flatMap((one) => entriesOf[one]);
}

function resource(kind: string, path: string, spec: object): Entry {
  const name = path.slice(path.indexOf('/') + 1);
  const metadata = { name, uid: '7f4d3a52-2f63-4c0d-8a53-0f4b5c6d7e8f', creationTimestamp: '2026-11-02T06:48:11Z' };
  return {
    key: `${resources}/${path}`,
    value: JSON.stringify({ kind, apiVersion: 'projectcalico.org/v3', metadata, spec }),
  };
}
