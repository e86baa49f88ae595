// A rich Calico 3.30 datastore in etcd, the same for the same options: for the demo, the tests and the benchmark. It agrees with itself,
// unless it is asked to be spoilt: each spoilt thing is one that a migration has to notice and to name.
import { createHash } from 'node:crypto';
import type { Etcd3 } from 'etcd3';
import { printJson } from '../../activities/calico/json';
import { derivedResources, statusReports } from './sample-derived';
import { handlesBesidesPods, sampleIpam } from './sample-ipam';
import { calicoNode, sampleNodes, type SampleNode } from './sample-nodes';
import { policyResources, stagedResources } from './sample-policies';
import { networkResources, sampleNamespaces, type SampleResource } from './sample-resources';
import { spoiltEntries, type Spoilt } from './sample-spoilt';

export { sampleNamespaces } from './sample-resources';
export type { Spoilt } from './sample-spoilt';

export interface SampleOptions {
  /** IPAM handles, those of tunnels included; there are never fewer than the nodes' own. */
  handles?: number;
  /** Network policies that are in force, global ones and those of namespaces. */
  policies?: number;
  nodes?: number;
  /** Without a slash at its end. */
  prefix?: string;
  calicoVersion?: string;
  spoilt?: Spoilt[];
}

export interface SampleEntry {
  key: string;
  value: string | Buffer;
  /** Written with a lease of an hour. */
  leased?: boolean;
}

export interface SampleDatastore {
  /** In key order. */
  entries: SampleEntry[];
  nodes: SampleNode[];
  namespaces: string[];
}

const keysInOneWrite = 100;
const leaseSeconds = 3_600;
const created = '2026-11-02T06:48:11Z';

/** All entries, without writing any. */
export function sampleDatastore(options: SampleOptions = {}): SampleDatastore {
  const { handles = 400, policies = 60, prefix = '/calico', calicoVersion = 'v3.30.3', spoilt = [] } = options;
  const nodes = sampleNodes(options.nodes ?? 5);
  const ipam = sampleIpam(nodes, sampleNamespaces, Math.max(0, handles - handlesBesidesPods(nodes.length)));
  const clusterInformation: SampleResource = {
    kind: 'ClusterInformation',
    plural: 'clusterinformations',
    name: 'default',
    spec: {
      clusterGUID: '4d1c9e1be7a04d0f9a7f0c6a51b2e3d4',
      clusterType: 'k8s,bgp',
      calicoVersion,
      datastoreReady: true,
    },
  };
  const resources = [
    clusterInformation,
    ...networkResources(nodes),
    ...policyResources(policies),
    ...stagedResources(),
    ...derivedResources(ipam.pods),
  ].map(resourceEntry);
  const calicoNodes = nodes.map((node) => resourceEntry(calicoNode(node, ipam.tunnels.get(node.calico) ?? {})));
  const entries = [...resources, ...calicoNodes, ...ipam.entries, ...statusReports(nodes), ...spoiltEntries(spoilt)];
  return {
    entries: entries
      .map((entry) => ({ ...entry, key: `${prefix}${entry.key}` }))
      .sort((left, right) => Buffer.compare(Buffer.from(left.key), Buffer.from(right.key))),
    nodes,
    namespaces: sampleNamespaces,
  };
}

/** Writes the sample into an etcd; what is there under other keys stays. */
export async function writeSampleDatastore(etcd: Etcd3, options: SampleOptions = {}): Promise<SampleDatastore> {
  const sample = sampleDatastore(options);
  const { ID: lease } = await etcd.leaseClient.leaseGrant({ TTL: leaseSeconds, ID: 0 });
  for (let first = 0; first < sample.entries.length; first += keysInOneWrite) {
    const writes = sample.entries.slice(first, first + keysInOneWrite).map(({ key, value, leased }) => ({
      request_put: { key: Buffer.from(key), value: Buffer.from(value as Buffer), lease: leased ? lease : 0 },
    }));
    await etcd.kv.txn({ compare: [], success: writes, failure: [] });
  }
  return sample;
}

/** Takes the spoilt things out again, as an operator does who was told of them. */
export async function mendSampleDatastore(etcd: Etcd3, spoilt: Spoilt[], prefix = '/calico'): Promise<string[]> {
  const keys = spoiltEntries(spoilt).map(({ key }) => `${prefix}${key}`);
  for (const key of keys) await etcd.delete().key(key);
  return keys;
}

function resourceEntry({
  kind,
  plural,
  namespace,
  name,
  labels,
  annotations,
  spec,
  status,
}: SampleResource): SampleEntry {
  const path = [plural, namespace, name].filter(Boolean).join('/');
  const digest = createHash('sha256').update(path).digest('hex');
  // A random UUID as clients make it, but the same at every start.
  const uid = digest.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-4$3-8$4-$5');
  const metadata = { name, namespace, uid, creationTimestamp: created, labels, annotations };
  return {
    key: `/resources/v3/projectcalico.org/${path}`,
    value: printJson({ kind, apiVersion: 'projectcalico.org/v3', metadata, spec, status }),
  };
}
