// A Calico node in the Kubernetes datastore is nothing but annotations of the Kubernetes node. Those that the source does not have are
// removed: left from an earlier life of the node they would be taken for true.
import { isObject, parseJson, printJson, type Json, type JsonObject } from '../json';
import type { DesiredNode } from './desired';
import { metadataOf } from './metadata';

/** Labels that Calico copied from the Kubernetes node, as it remembers them: not its own, and never written back. */
const copiedLabels = 'projectcalico.org/kube-labels';

/** Annotation -> where the v3 node has the value. */
const plainAnnotations: readonly [annotation: string, path: readonly [string, ...string[]]][] = [
  ['projectcalico.org/IPv4Address', ['spec', 'bgp', 'ipv4Address']],
  ['projectcalico.org/IPv6Address', ['spec', 'bgp', 'ipv6Address']],
  ['projectcalico.org/ASNumber', ['spec', 'bgp', 'asNumber']],
  ['projectcalico.org/IPv4IPIPTunnelAddr', ['spec', 'bgp', 'ipv4IPIPTunnelAddr']],
  ['projectcalico.org/RouteReflectorClusterID', ['spec', 'bgp', 'routeReflectorClusterID']],
  ['projectcalico.org/IPv4VXLANTunnelAddr', ['spec', 'ipv4VXLANTunnelAddr']],
  ['projectcalico.org/VXLANTunnelMACAddr', ['spec', 'vxlanTunnelMACAddr']],
  ['projectcalico.org/IPv6VXLANTunnelAddr', ['spec', 'ipv6VXLANTunnelAddr']],
  ['projectcalico.org/VXLANTunnelMACAddrV6', ['spec', 'vxlanTunnelMACAddrV6']],
  ['projectcalico.org/IPv4WireguardInterfaceAddr', ['spec', 'wireguard', 'interfaceIPv4Address']],
  ['projectcalico.org/IPv6WireguardInterfaceAddr', ['spec', 'wireguard', 'interfaceIPv6Address']],
  ['projectcalico.org/WireguardPublicKey', ['status', 'wireguardPublicKey']],
  ['projectcalico.org/WireguardPublicKeyV6', ['status', 'wireguardPublicKeyV6']],
];

/** Values of these are JSON. */
export const jsonAnnotations = {
  labels: 'projectcalico.org/labels',
  annotations: 'projectcalico.org/annotations',
  interfaces: 'projectcalico.org/Interfaces',
} as const;

/** Every annotation that Calico has on a node. */
export const nodeAnnotations: readonly string[] = [
  ...plainAnnotations.map(([annotation]) => annotation),
  ...Object.values(jsonAnnotations),
];

export function desiredNode(resource: JsonObject): DesiredNode {
  const { name, labels, annotations } = metadataOf(resource);
  const copied = copiedKeys(annotations[copiedLabels]);
  const own = Object.entries(labels).filter(([key]) => !copied.has(key));
  const notes = Object.entries(annotations).filter(([key]) => key !== copiedLabels);
  const interfaces = at(resource, ['spec', 'interfaces']);
  return {
    name,
    annotations: {
      ...Object.fromEntries(plainAnnotations.map(([annotation, path]) => [annotation, printed(at(resource, path))])),
      [jsonAnnotations.labels]: printedMap(own),
      [jsonAnnotations.annotations]: printedMap(notes),
      [jsonAnnotations.interfaces]: Array.isArray(interfaces) && interfaces.length > 0 ? printJson(interfaces) : null,
    },
  };
}

/** What is no JSON remembers nothing, for Calico as well. */
function copiedKeys(text: string | undefined): Set<string> {
  if (text === undefined) return new Set();
  try {
    const copied = parseJson(text);
    return new Set(isObject(copied) ? Object.keys(copied) : []);
  } catch {
    return new Set();
  }
}

function at(value: Json | undefined, path: readonly string[]): Json | undefined {
  return path.reduce<Json | undefined>((inner, name) => (isObject(inner) ? inner[name] : undefined), value);
}

function printed(value: Json | undefined): string | null {
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  return typeof value === 'string' && value !== '' ? value : null;
}

function printedMap(entries: [string, string][]): string | null {
  if (entries.length === 0) return null;
  return printJson(Object.fromEntries(entries.sort(([left], [right]) => (left < right ? -1 : 1))));
}
