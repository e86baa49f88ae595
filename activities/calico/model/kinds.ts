// Every kind that a Calico datastore may hold, and where it goes. The one list from which the export, the file, the import order and the
// checks are made, so that no kind can be forgotten in one of them.

/** What becomes of a kind: an object of the same kind, annotations of a node, the cluster's own section, or nothing. */
export type KindFate = 'object' | 'node' | 'cluster' | 'derived' | 'node-status' | 'profile';

export interface CalicoKind {
  kind: string;
  plural: string;
  namespaced: boolean;
  fate: KindFate;
  /** Has a tier, and a stored name that may differ from the one that users see. */
  tiered?: boolean;
}

/** Kinds of the v3 API in the order in which our file has them; calicoctl applies in the order of the file, and a peer needs its filters. */
export const fileKinds = [
  { kind: 'IPPool', plural: 'ippools', namespaced: false, fate: 'object' },
  { kind: 'BGPFilter', plural: 'bgpfilters', namespaced: false, fate: 'object' },
  { kind: 'BGPPeer', plural: 'bgppeers', namespaced: false, fate: 'object' },
  { kind: 'Tier', plural: 'tiers', namespaced: false, fate: 'object' },
  { kind: 'GlobalNetworkPolicy', plural: 'globalnetworkpolicies', namespaced: false, fate: 'object', tiered: true },
  {
    kind: 'StagedGlobalNetworkPolicy',
    plural: 'stagedglobalnetworkpolicies',
    namespaced: false,
    fate: 'object',
    tiered: true,
  },
  { kind: 'GlobalNetworkSet', plural: 'globalnetworksets', namespaced: false, fate: 'object' },
  { kind: 'HostEndpoint', plural: 'hostendpoints', namespaced: false, fate: 'object' },
  { kind: 'KubeControllersConfiguration', plural: 'kubecontrollersconfigurations', namespaced: false, fate: 'object' },
  { kind: 'NetworkPolicy', plural: 'networkpolicies', namespaced: true, fate: 'object', tiered: true },
  { kind: 'StagedNetworkPolicy', plural: 'stagednetworkpolicies', namespaced: true, fate: 'object', tiered: true },
  {
    kind: 'StagedKubernetesNetworkPolicy',
    plural: 'stagedkubernetesnetworkpolicies',
    namespaced: true,
    fate: 'object',
  },
  { kind: 'NetworkSet', plural: 'networksets', namespaced: true, fate: 'object' },
  { kind: 'Node', plural: 'nodes', namespaced: false, fate: 'node' },
  { kind: 'BGPConfiguration', plural: 'bgpconfigurations', namespaced: false, fate: 'object' },
  { kind: 'FelixConfiguration', plural: 'felixconfigurations', namespaced: false, fate: 'object' },
  { kind: 'IPReservation', plural: 'ipreservations', namespaced: false, fate: 'object' },
] as const satisfies readonly CalicoKind[];

/** Kinds that a file does not have among its resources. */
const otherKinds: readonly CalicoKind[] = [
  { kind: 'ClusterInformation', plural: 'clusterinformations', namespaced: false, fate: 'cluster' },
  { kind: 'Profile', plural: 'profiles', namespaced: false, fate: 'profile' },
  { kind: 'WorkloadEndpoint', plural: 'workloadendpoints', namespaced: true, fate: 'derived' },
  { kind: 'LiveMigration', plural: 'livemigrations', namespaced: true, fate: 'derived' },
  { kind: 'CalicoNodeStatus', plural: 'caliconodestatuses', namespaced: false, fate: 'node-status' },
];

/** The order of the sections in a file of calicoctl 3.30 and later. */
export const calicoctlOrder: readonly string[] = [
  ...fileKinds.map(({ kind }) => kind as string).filter((kind) => kind !== 'BGPFilter'),
  'BGPFilter',
];

/** Kinds of custom resources that hold IPAM. */
export const ipamKinds = {
  affinity: { kind: 'BlockAffinity', plural: 'blockaffinities' },
  block: { kind: 'IPAMBlock', plural: 'ipamblocks' },
  handle: { kind: 'IPAMHandle', plural: 'ipamhandles' },
  config: { kind: 'IPAMConfig', plural: 'ipamconfigs' },
} as const;

const all: readonly CalicoKind[] = [...fileKinds, ...otherKinds];
const byPlural = new Map(all.map((kind) => [kind.plural, kind]));
const byKind = new Map<string, CalicoKind>(fileKinds.map((kind) => [kind.kind, kind]));

/** By the plural that keys carry. */
export function kindByPlural(plural: string): CalicoKind | undefined {
  return byPlural.get(plural);
}

/** Of the kinds that a file may have. */
export function fileKind(kind: string): CalicoKind | undefined {
  return byKind.get(kind);
}

/** The 22 kinds of crd.projectcalico.org/v1, as their CRDs are named: "ippools.crd.projectcalico.org". */
export const crdKinds: readonly Pick<CalicoKind, 'kind' | 'plural' | 'namespaced'>[] = [
  ...fileKinds.filter(({ fate }) => fate === 'object'),
  { kind: 'ClusterInformation', plural: 'clusterinformations', namespaced: false },
  { kind: 'CalicoNodeStatus', plural: 'caliconodestatuses', namespaced: false },
  ...Object.values(ipamKinds).map((kind) => ({ ...kind, namespaced: false })),
];
