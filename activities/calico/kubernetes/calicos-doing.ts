// What Calico's components write by themselves when they start on a datastore, even a locked one. After the switch that is no sign of a
// faulty import, and no change that going back would lose.
import { ipamKinds } from '../model/kinds';
import { clusterInformation, metadataOf, type Place, type PresentObject } from './present';

/** Paths of the differences that `model/compare.ts` names, by kind. */
const doings: Record<string, RegExp> = {
  // Every component fills in the version and joins its type to the list; typha and the operator set the variant.
  clusterinformations: /^spec\.(calicoVersion|clusterType|variant)\b/,
  // From 3.31 on calico-node labels the affinities of its own node.
  blockaffinities: /^metadata\.(labels|annotations)\b/,
};

/** @param difference a line of `differences` */
export function ownDoing({ plural }: Pick<Place, 'plural'>, difference: string): boolean {
  return doings[plural]?.test(difference) ?? false;
}

/** Our own unlock, told as a difference. */
export function isUnlock({ plural }: Pick<Place, 'plural'>, difference: string): boolean {
  return plural === clusterInformation && difference.startsWith('spec.datastoreReady:');
}

/** Of all versions of Calico; no cluster can do without them. */
export const builtInTiers = [
  'default',
  'adminnetworkpolicy',
  'baselineadminnetworkpolicy',
  'kube-admin',
  'kube-baseline',
];

/** Objects that every start makes with their defaults where they are missing, whatever the source holds. */
const startUpObjects: Record<string, string[]> = {
  tiers: builtInTiers,
  felixconfigurations: ['default'],
  bgpconfigurations: ['default'],
  kubecontrollersconfigurations: ['default'],
  // Says how addresses are given away, and gives none away itself.
  [ipamKinds.config.plural]: ['default'],
};

export function isStartUpObject({ plural, name }: Pick<Place, 'plural' | 'name'>): boolean {
  return startUpObjects[plural]?.includes(name) ?? false;
}

/** Nobody has changed it since Calico made it: what a person has put into it would be that person's. */
export function isUntouchedStartUpObject(live: PresentObject): boolean {
  return isStartUpObject(live) && Number(metadataOf(live.body).generation) === 1;
}
