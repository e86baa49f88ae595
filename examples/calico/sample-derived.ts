// What a Calico datastore holds that is made from Kubernetes, or made anew by Calico itself: endpoints of pods, profiles of namespaces and
// service accounts, copies of Kubernetes policies, status reports of Felix. None of it is migrated, and each of it has to be accounted for.
import type { SamplePod } from './sample-ipam';
import { kubernetesLabels, type SampleNode } from './sample-nodes';
import { sampleNamespaces, type SampleResource } from './sample-resources';

const allow = { action: 'Allow', source: {}, destination: {} };

export function derivedResources(pods: SamplePod[]): SampleResource[] {
  return [
    ...sampleNamespaces.flatMap((namespace): SampleResource[] => [
      profile(`kns.${namespace}`, { [`pcns.projectcalico.org/name`]: namespace }),
      profile(`ksa.${namespace}.default`, { [`pcsa.projectcalico.org/name`]: 'default' }),
      {
        kind: 'NetworkPolicy',
        plural: 'networkpolicies',
        namespace,
        name: 'knp.default.deny-all',
        spec: { order: 1000, selector: "projectcalico.org/orchestrator == 'k8s'", types: ['Ingress'] },
      },
    ]),
    ...pods.map(endpoint),
  ];
}

function profile(name: string, labelsToApply: Record<string, string>): SampleResource {
  return {
    kind: 'Profile',
    plural: 'profiles',
    name,
    spec: { ingress: [allow], egress: [allow], labelsToApply },
  };
}

function endpoint({ name, namespace, node, containerId, addresses }: SamplePod): SampleResource {
  const parts = [node.calico, 'k8s', name, 'eth0'].map((part) => part.replaceAll('-', '--'));
  return {
    kind: 'WorkloadEndpoint',
    plural: 'workloadendpoints',
    namespace,
    name: parts.join('-'),
    labels: { 'projectcalico.org/namespace': namespace, 'projectcalico.org/orchestrator': 'k8s' },
    spec: {
      orchestrator: 'k8s',
      node: node.calico,
      pod: name,
      containerID: containerId,
      endpoint: 'eth0',
      ipNetworks: addresses.map((address) => `${address}/${address.includes(':') ? 128 : 32}`),
      interfaceName: `cali${containerId.slice(0, 11)}`,
    },
  };
}

/** Keys after the prefix. Those of Felix have a lease: they go by themselves when it no longer reports. */
export function statusReports(nodes: SampleNode[]): { key: string; value: string; leased?: boolean }[] {
  return nodes.flatMap((node) => {
    const time = '2026-11-21T06:48:11Z';
    const uptime = { timestamp: time, uptime: 40_000.25 + node.index, firstUpdate: false };
    return [
      { key: `/felix/v2/no-region/host/${node.calico}/status`, value: JSON.stringify(uptime), leased: true },
      { key: `/felix/v2/no-region/host/${node.calico}/last_reported_status`, value: JSON.stringify(uptime) },
      {
        key: `/felix/v2/no-region/host/${node.calico}/workload/k8s/shop%2fweb-${node.index}/endpoint/eth0`,
        value: JSON.stringify({ status: 'up', host: kubernetesLabels(node)['kubernetes.io/hostname'] }),
        leased: true,
      },
      { key: `/ipam/v2/host/${node.calico}`, value: '{}' },
    ];
  });
}
