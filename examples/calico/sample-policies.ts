// The policies of the sample datastore as Calico 3.30 stores them: some in force, as many as are asked for, and staged ones.
import type { JsonObject } from '../../activities/calico/json';
import { sampleNamespaces, type SampleResource } from './sample-resources';

const allow = { action: 'Allow', source: {}, destination: {} };

/** The ways in which stored policies say their name: with the note of 3.30, with a dot of its own, from before there was a note. */
export function policyResources(count: number): SampleResource[] {
  const fixed: SampleResource[] = [
    global('default.deny-blocklist', 'deny-blocklist', {
      order: 1,
      ingress: [{ action: 'Deny', source: { selector: "blocklist == 'yes'" }, destination: {} }],
      egress: [allow],
      selector: 'all()',
      types: ['Ingress', 'Egress'],
      applyOnForward: true,
    }),
    global('default.explicit', 'default.explicit', { selector: 'all()', types: ['Ingress'], ingress: [allow] }),
    global('default.legacy', undefined, { selector: 'all()', types: ['Egress'], egress: [allow] }),
    global('security.block-metadata', 'security.block-metadata', {
      tier: 'security',
      order: 5,
      egress: [
        {
          action: 'Deny',
          protocol: 'TCP',
          source: {},
          destination: { nets: ['169.254.169.254/32'], ports: [80, '8080:8090'] },
        },
        { action: 'Pass', source: {}, destination: {} },
      ],
      types: ['Egress'],
    }),
  ];
  const many = Array.from({ length: Math.max(0, count - fixed.length) }, (_, index): SampleResource => {
    const namespace = sampleNamespaces[index % sampleNamespaces.length];
    const name = `allow-web-${index}`;
    const tier = index % 5 === 0 ? 'platform' : 'default';
    const spec: JsonObject = {
      ...(tier === 'default' ? {} : { tier }),
      order: 100 + index / 4,
      selector: `app == 'web-${index}'`,
      types: ['Ingress'],
      ingress: [
        {
          action: 'Allow',
          protocol: 'TCP',
          source: { selector: "role == 'front'", namespaceSelector: "env == 'prod'" },
          destination: { ports: [80 + (index % 900), '8000:8010'] },
        },
      ],
    };
    const told = tier === 'default' ? name : `${tier}.${name}`;
    const stored = `${tier}.${name}`;
    return index % 3 === 0
      ? global(stored, told, spec)
      : policy('NetworkPolicy', 'networkpolicies', stored, told, spec, namespace);
  });
  return [...fixed, ...many];
}

/** In several namespaces: calicoctl carries only those of `default`. */
export function stagedResources(): SampleResource[] {
  return sampleNamespaces
    .flatMap((namespace): SampleResource[] => [
      policy(
        'StagedNetworkPolicy',
        'stagednetworkpolicies',
        'default.staged',
        'staged',
        { stagedAction: 'Set', ingress: [allow], selector: 'all()', types: ['Ingress'] },
        namespace,
      ),
      {
        kind: 'StagedKubernetesNetworkPolicy',
        plural: 'stagedkubernetesnetworkpolicies',
        namespace,
        name: 'staged-web',
        spec: {
          stagedAction: 'Set',
          podSelector: { matchLabels: { app: 'web' } },
          ingress: [{ from: [{ podSelector: { matchLabels: { app: 'front' } } }] }],
          policyTypes: ['Ingress'],
        },
      },
    ])
    .concat(
      policy('StagedGlobalNetworkPolicy', 'stagedglobalnetworkpolicies', 'default.staged-deny', 'staged-deny', {
        stagedAction: 'Set',
        ingress: [{ action: 'Deny', source: {}, destination: {} }],
        selector: 'all()',
        types: ['Ingress'],
      }),
    );
}

function global(stored: string, told: string | undefined, spec: JsonObject): SampleResource {
  return policy('GlobalNetworkPolicy', 'globalnetworkpolicies', stored, told, spec);
}

/** @param told the name as its author knows it; undefined for one that an older release has written */
function policy(
  kind: string,
  plural: string,
  stored: string,
  told: string | undefined,
  spec: JsonObject,
  namespace?: string,
): SampleResource {
  const tier = spec.tier;
  return {
    kind,
    plural,
    namespace,
    name: stored,
    labels: { team: 'net', ...(typeof tier === 'string' ? { 'projectcalico.org/tier': tier } : {}) },
    annotations: {
      'example.com/ticket': 'NET-42',
      ...(told === undefined ? {} : { 'projectcalico.org/metadata': JSON.stringify({ name: told }) }),
    },
    spec,
  };
}
