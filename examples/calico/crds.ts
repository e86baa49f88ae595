// Custom resource definitions of the 22 kinds that Calico keeps in the Kubernetes datastore, small and our own: names, scopes and what an
// apiserver has to notice (required members, nullable entries, 64-bit numbers, enums) are Calico's; most other members are let through.
// For the demo, the tests and the benchmark. A cluster takes those of its own Calico manifest.
import type { Json, JsonObject } from '../../activities/calico/json';

interface Definition {
  kind: string;
  plural: string;
  namespaced?: boolean;
  spec: JsonObject;
  status?: JsonObject;
}

const text: JsonObject = { type: 'string' };
const flag: JsonObject = { type: 'boolean' };
const int32: JsonObject = { type: 'integer', format: 'int32' };
const int64: JsonObject = { type: 'integer', format: 'int64' };
const texts: JsonObject = { type: 'array', items: text };
const textMap: JsonObject = { type: 'object', additionalProperties: text };
const open: JsonObject = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };

/** What is not named is dropped by the apiserver without a word. */
function closed(properties: JsonObject, required: string[] = []): JsonObject {
  return { type: 'object', properties, ...(required.length > 0 ? { required } : {}) };
}

/** What is not named is kept as it comes. */
function lenient(properties: JsonObject, required: string[] = []): JsonObject {
  return { ...closed(properties, required), 'x-kubernetes-preserve-unknown-fields': true };
}

function oneOf(...values: string[]): JsonObject {
  return { type: 'string', enum: values };
}

const rules: JsonObject = { type: 'array', items: lenient({ action: text }, ['action']) };
const policy: JsonObject = {
  order: { type: 'number' },
  tier: text,
  selector: text,
  serviceAccountSelector: text,
  types: texts,
  ingress: rules,
  egress: rules,
};
const globalPolicy: JsonObject = {
  ...policy,
  applyOnForward: flag,
  doNotTrack: flag,
  namespaceSelector: text,
  preDNAT: flag,
};
const filterRules: JsonObject = { type: 'array', items: lenient({ action: text }, ['action']) };

const definitions: Definition[] = [
  {
    kind: 'BGPConfiguration',
    plural: 'bgpconfigurations',
    spec: lenient({
      asNumber: int32,
      listenPort: { type: 'integer', minimum: 1, maximum: 65535 },
      nodeToNodeMeshEnabled: flag,
    }),
  },
  {
    kind: 'BGPFilter',
    plural: 'bgpfilters',
    spec: closed({ exportV4: filterRules, exportV6: filterRules, importV4: filterRules, importV6: filterRules }),
  },
  {
    kind: 'BGPPeer',
    plural: 'bgppeers',
    spec: lenient({ asNumber: int32, filters: texts, node: text, nodeSelector: text, peerIP: text }),
  },
  {
    kind: 'BlockAffinity',
    plural: 'blockaffinities',
    spec: closed({ cidr: text, deleted: text, node: text, state: text, type: text }, [
      'cidr',
      'deleted',
      'node',
      'state',
    ]),
  },
  {
    kind: 'CalicoNodeStatus',
    plural: 'caliconodestatuses',
    spec: closed({
      classes: { type: 'array', items: oneOf('Agent', 'BGP', 'Routes') },
      node: text,
      updatePeriodSeconds: int32,
    }),
    status: open,
  },
  {
    kind: 'ClusterInformation',
    plural: 'clusterinformations',
    spec: closed({ calicoVersion: text, clusterGUID: text, clusterType: text, datastoreReady: flag, variant: text }),
  },
  {
    kind: 'FelixConfiguration',
    plural: 'felixconfigurations',
    spec: lenient({ bpfLogLevel: text, ipipEnabled: flag, defaultEndpointToHostAction: text, reportingInterval: text }),
  },
  { kind: 'GlobalNetworkPolicy', plural: 'globalnetworkpolicies', spec: lenient(globalPolicy) },
  { kind: 'GlobalNetworkSet', plural: 'globalnetworksets', spec: closed({ nets: texts }) },
  {
    kind: 'HostEndpoint',
    plural: 'hostendpoints',
    spec: closed({
      expectedIPs: texts,
      interfaceName: text,
      node: text,
      ports: {
        type: 'array',
        items: closed({ name: text, port: int32, protocol: { 'x-kubernetes-int-or-string': true } }, [
          'name',
          'port',
          'protocol',
        ]),
      },
      profiles: texts,
    }),
  },
  {
    kind: 'IPAMBlock',
    plural: 'ipamblocks',
    spec: closed(
      {
        affinity: text,
        affinityClaimTime: { type: 'string', format: 'date-time' },
        allocations: { type: 'array', items: { type: 'integer', nullable: true } },
        attributes: {
          type: 'array',
          items: closed({ handle_id: text, secondary: textMap, alternateOwnerAttrs: textMap }),
        },
        cidr: text,
        deleted: flag,
        sequenceNumber: { ...int64, default: 0 },
        sequenceNumberForAllocation: { type: 'object', additionalProperties: int64 },
        strictAffinity: flag,
        unallocated: { type: 'array', items: { type: 'integer' } },
      },
      ['allocations', 'attributes', 'cidr', 'strictAffinity', 'unallocated'],
    ),
  },
  {
    kind: 'IPAMConfig',
    plural: 'ipamconfigs',
    spec: closed(
      {
        autoAllocateBlocks: flag,
        maxBlocksPerHost: { type: 'integer', minimum: 0, maximum: 2147483647 },
        strictAffinity: flag,
        kubeVirtVMAddressPersistence: oneOf('Enabled', 'Disabled'),
      },
      ['autoAllocateBlocks', 'strictAffinity'],
    ),
  },
  {
    kind: 'IPAMHandle',
    plural: 'ipamhandles',
    spec: closed(
      { block: { type: 'object', additionalProperties: { type: 'integer' } }, deleted: flag, handleID: text },
      ['block', 'handleID'],
    ),
  },
  {
    kind: 'IPPool',
    plural: 'ippools',
    spec: lenient({ cidr: text, blockSize: { type: 'integer' }, assignmentMode: oneOf('Automatic', 'Manual') }, [
      'cidr',
    ]),
  },
  { kind: 'IPReservation', plural: 'ipreservations', spec: closed({ reservedCIDRs: texts }) },
  {
    kind: 'KubeControllersConfiguration',
    plural: 'kubecontrollersconfigurations',
    spec: lenient({ controllers: open }, ['controllers']),
    status: lenient({ runningConfig: lenient({ controllers: open }, ['controllers']) }),
  },
  { kind: 'NetworkPolicy', plural: 'networkpolicies', namespaced: true, spec: lenient(policy) },
  { kind: 'NetworkSet', plural: 'networksets', namespaced: true, spec: closed({ nets: texts }) },
  {
    kind: 'StagedGlobalNetworkPolicy',
    plural: 'stagedglobalnetworkpolicies',
    spec: lenient({ ...globalPolicy, stagedAction: text }),
  },
  {
    kind: 'StagedKubernetesNetworkPolicy',
    plural: 'stagedkubernetesnetworkpolicies',
    namespaced: true,
    spec: lenient({ podSelector: open, policyTypes: texts, stagedAction: text }),
  },
  {
    kind: 'StagedNetworkPolicy',
    plural: 'stagednetworkpolicies',
    namespaced: true,
    spec: lenient({ ...policy, stagedAction: text }),
  },
  {
    kind: 'Tier',
    plural: 'tiers',
    spec: closed({ order: { type: 'number' }, defaultAction: oneOf('Pass', 'Deny') }),
  },
];

/** All 22, in the order of their names. */
export function calicoCrds(): JsonObject[] {
  return definitions.map(definitionObject);
}

/** `ippools.crd.projectcalico.org` and so on. */
export function calicoCrdNames(): string[] {
  return definitions.map(({ plural }) => `${plural}.crd.projectcalico.org`);
}

/** Plurals, and which of them live in namespaces. */
export function calicoPlurals(): { plural: string; namespaced: boolean }[] {
  return definitions.map(({ plural, namespaced = false }) => ({ plural, namespaced }));
}

function definitionObject({ kind, plural, namespaced, spec, status }: Definition): JsonObject {
  const properties: JsonObject = { apiVersion: text, kind: text, metadata: { type: 'object' }, spec };
  if (status) properties.status = status;
  const versions: Json = [
    { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object', properties } } },
  ];
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.crd.projectcalico.org` },
    spec: {
      group: 'crd.projectcalico.org',
      names: { kind, listKind: `${kind}List`, plural, singular: kind.toLowerCase() },
      preserveUnknownFields: false,
      scope: namespaced ? 'Namespaced' : 'Cluster',
      versions,
    },
  };
}
