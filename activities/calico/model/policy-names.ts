// Tiered policies have two names: the one that users see, and the one under which they are stored. Up to 3.31 the stored name carries the
// tier; from 3.32 on both are the same. An annotation remembers the name that the user gave.
import { isObject, parseJson, type JsonObject } from '../json';
import type { Encoding } from '../scope';
import { Refused } from './disposition';

export const stashAnnotation = 'projectcalico.org/metadata';

/** Names that Calico never prefixes, and the tier that they belong to. */
const special: readonly [prefix: string, tier: string][] = [
  ['knp.default.', 'default'],
  ['ossg.', 'default'],
  ['kanp.adminnetworkpolicy.', 'adminnetworkpolicy'],
  ['kbanp.baselineadminnetworkpolicy.', 'baselineadminnetworkpolicy'],
];

/** Made by Calico from policies of Kubernetes; made again on the target. */
export function isDerivedPolicy(kind: string, storedName: string): boolean {
  if (kind === 'NetworkPolicy') return storedName.startsWith('knp.default.');
  return (
    kind === 'GlobalNetworkPolicy' && /^(kanp\.adminnetworkpolicy|kbanp\.baselineadminnetworkpolicy)\./.test(storedName)
  );
}

/** The name of the custom resource for a policy with this v3 name. */
export function storedPolicyName(name: string, naming: Encoding['policyNaming']): string {
  if (naming === 'bare') return name;
  if (special.some(([prefix]) => name.startsWith(prefix)) || name.includes('.')) return name;
  return `default.${name}`;
}

/**
 * The v3 name of a stored policy.
 * @param stash the annotation that remembers it, if there is one
 * @throws Refused when the annotation is no JSON object: Calico itself cannot read such a policy
 */
export function policyName(storedName: string, stash: string | undefined, tier: string): string {
  const remembered = stash ? nameInStash(stash) : undefined;
  if (remembered) return remembered;
  const inDefault = tier === '' || tier === 'default';
  return inDefault && storedName.startsWith('default.') ? storedName.slice('default.'.length) : storedName;
}

/** The tier of a stored policy that names none, as Calico up to 3.31 fills it in. */
export function tierOfStoredName(storedName: string): string {
  const known = special.find(([prefix]) => storedName.startsWith(prefix));
  if (known) return known[1];
  const dot = storedName.indexOf('.');
  return dot > 0 ? storedName.slice(0, dot) : 'default';
}

function nameInStash(text: string): string | undefined {
  const stash = parsed(text);
  if (!isObject(stash)) throw new Refused('unparseable', `the annotation ${stashAnnotation} is no JSON object`);
  const { name } = stash;
  return typeof name === 'string' && name !== '' ? name : undefined;
}

function parsed(text: string): JsonObject | undefined {
  try {
    const value = parseJson(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
