// What Calico's components write by themselves when they start on a datastore, even a locked one. After the switch that is no sign of a
// faulty import, and no change that going back would lose.
import { ipamKinds } from '../model/kinds';
import type { Place } from './present';

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

/** Made with its defaults where the source had none; it says how addresses are given away, and gives none away itself. */
export function isOwnObject({ plural, name }: Pick<Place, 'plural' | 'name'>): boolean {
  return plural === ipamKinds.config.plural && name === 'default';
}
