// What Calico fills in by itself: some of it when it reads from etcd, some when it writes. Both sides have to agree, or an object would
// change its meaning on the way.
import { isObject, type Json, type JsonObject } from '../json';
import { tierOfStoredName } from './policy-names';

export const tierLabel = 'projectcalico.org/tier';

const recased = [
  'defaultEndpointToHostAction',
  'iptablesFilterAllowAction',
  'iptablesMangleAllowAction',
  'iptablesFilterDenyAction',
];

/** What a reader of etcd sees. @param storedName of a policy: tells its tier where it names none */
export function withReadDefaults(kind: string, spec: JsonObject, storedName: string): JsonObject {
  switch (kind) {
    case 'IPPool':
      return ipPool(spec);
    case 'Tier':
      return fill(spec, { order: 1_000_000, defaultAction: 'Deny' });
    case 'FelixConfiguration':
      return withTitleCase(spec);
    case 'GlobalNetworkPolicy':
    case 'NetworkPolicy':
    case 'StagedGlobalNetworkPolicy':
    case 'StagedNetworkPolicy':
      return fill(spec, { tier: tierOfStoredName(storedName) });
    default:
      return spec;
  }
}

/** What a writer of the Kubernetes datastore stores. @param name the v3 name */
export function withWriteDefaults(kind: string, spec: JsonObject, name: string): JsonObject {
  switch (kind) {
    case 'IPPool':
      return ipPool(spec);
    case 'Tier':
      return fill(spec, { order: 1_000_000, defaultAction: 'Deny' });
    case 'FelixConfiguration':
      return felix(withTitleCase(spec), name);
    case 'KubeControllersConfiguration':
      return kubeControllers(spec);
    case 'GlobalNetworkPolicy':
    case 'NetworkPolicy':
    case 'StagedGlobalNetworkPolicy':
    case 'StagedNetworkPolicy':
      return fill(fill(spec, { tier: 'default' }), { types: policyTypes(spec) });
    default:
      return spec;
  }
}

function ipPool(spec: JsonObject): JsonObject {
  const isV6 = typeof spec.cidr === 'string' && spec.cidr.includes(':');
  return fill(spec, {
    blockSize: isV6 ? 122 : 26,
    ipipMode: 'Never',
    vxlanMode: 'Never',
    nodeSelector: 'all()',
    allowedUses: ['Workload', 'Tunnel'],
    assignmentMode: 'Automatic',
  });
}

/** A configuration of one node takes what it does not say from the global one; a default in it would win over that. */
function felix(spec: JsonObject, name: string): JsonObject {
  const filled = name.startsWith('node.')
    ? spec
    : fill(spec, {
        floatingIPs: 'Disabled',
        bpfConnectTimeLoadBalancing: 'TCP',
        bpfHostNetworkedNATWithoutCTLB: 'Enabled',
      });
  const former = spec.bpfConnectTimeLoadBalancingEnabled;
  if (typeof former !== 'boolean') return filled;
  return {
    ...filled,
    bpfConnectTimeLoadBalancing: former ? 'Enabled' : 'Disabled',
    bpfHostNetworkedNATWithoutCTLB: 'Disabled',
  };
}

/** Datastores that began with Calico v1 have the words of iptables, which v3 spells "Drop". */
function withTitleCase(spec: JsonObject): JsonObject {
  const changed = recased.flatMap((name): [string, string][] => {
    const value = spec[name];
    return typeof value === 'string' && value !== ''
      ? [[name, value.charAt(0).toUpperCase() + value.slice(1).toLowerCase()]]
      : [];
  });
  return changed.length > 0 ? { ...spec, ...Object.fromEntries(changed) } : spec;
}

function kubeControllers(spec: JsonObject): JsonObject {
  const controllers = isObject(spec.controllers) ? spec.controllers : undefined;
  const { node, loadBalancer } = controllers ?? {};
  return {
    ...fill(spec, { prometheusMetricsPort: 9094 }),
    ...(controllers && {
      controllers: {
        ...controllers,
        ...(isObject(node) && { node: fill(node, { leakGracePeriod: '15m0s' }) }),
        ...(isObject(loadBalancer) && { loadBalancer: fill(loadBalancer, { assignIPs: 'AllServices' }) }),
      },
    }),
  };
}

function policyTypes({ ingress, egress }: JsonObject): Json {
  const has = (rules: Json | undefined): boolean => Array.isArray(rules) && rules.length > 0;
  if (!has(egress)) return ['Ingress'];
  return has(ingress) ? ['Ingress', 'Egress'] : ['Egress'];
}

/** With these members where there is nothing yet: absent, null, an empty text or an empty list. */
function fill(object: JsonObject, defaults: JsonObject): JsonObject {
  const filled = { ...object };
  for (const [name, value] of Object.entries(defaults)) if (isNothing(object[name])) filled[name] = value;
  return filled;
}

function isNothing(value: Json | undefined): boolean {
  return value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0);
}
