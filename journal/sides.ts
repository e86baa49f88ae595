// Which side takes writes in a migration by CDC. Pure.

export type WritingSide = 'source' | 'target';

/**
 * The writing side changes with each hand-over. Leg 0 is the first way forward, one stream for each copy group; every later leg is one stream
 * of all tables: odd legs lead back from the target to the source, even ones forward again.
 */
export type Leg = number;

/** The side that takes writes during a leg. */
export function writingSide(leg: Leg): WritingSide {
  return leg % 2 === 0 ? 'source' : 'target';
}

export function otherSide(side: WritingSide): WritingSide {
  return side === 'source' ? 'target' : 'source';
}
