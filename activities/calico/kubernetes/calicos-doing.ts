// What Calico's components write by themselves when they start on a datastore, even a locked one. After the switch that is no sign of a
// faulty import, and no change that going back would lose.
import type { Place } from './present';

/** Paths of the differences that `model/compare.ts` names, by kind. */
const doings: Record<string, RegExp> = {
  // Every component fills in the version and joins its type to the list; typha and the operator set the variant.
  clusterinformations: /^spec\.(calicoVersion|clusterType|variant)\b/,
  // kube-controllers say here what they run with.
  kubecontrollersconfigurations: /^status\b/,
  // From 3.31 on calico-node labels the affinities of its own node.
  blockaffinities: /^metadata\.(labels|annotations)\b/,
};

/** @param difference a line of `differences` */
export function ownDoing({ plural }: Pick<Place, 'plural'>, difference: string): boolean {
  return doings[plural]?.test(difference) ?? false;
}
