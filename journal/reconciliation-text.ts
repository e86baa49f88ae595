// How near both sides are, in one line: for details, status and watch. Pure.
import { formatCount } from './quantities';
import type { Reconciliation } from './types';

/** "round 7, the source is right: 1 204 113 rows equal, 12 moving (2 of 3 rounds in a row)" */
export function reconciliationText(known: Reconciliation): string {
  const { judge, rounds, rows, differing, moving, parityInARow, parityWanted, repaired, repeatsFailed } = known;
  const found = differing > 0 ? `${differing} rows differ` : `${formatCount(rows)} rows compared, none differs`;
  const written = repaired.inserted + repaired.updated + repaired.deleted;
  return [
    `round ${rounds}, the ${judge} is right: ${found}, ${moving} moving (${parityInARow} of ${parityWanted} rounds in a row)`,
    ...(written > 0 ? [`${written} rows repaired`] : []),
    ...(repeatsFailed === undefined ? [] : [`${repeatsFailed} repeats failed`]),
  ].join('; ');
}
