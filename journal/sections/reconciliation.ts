// What the report of a migration by dual writing says of how both sides were brought to agree: rounds, repairs, what differed and what could not
// be compared.
import { heading, list, paragraph, table, type Block } from '../document';
import { formatCount, formatTime } from '../quantities';
import type { Journal } from '../types';

/** Nothing for migrations without dual writing. */
export function reconciliation({ reconciliation: known, pointOfNoReturnAt }: Journal): Block[] {
  if (!known) return [];
  const { judge, rounds, parityInARow, parityWanted, repaired, differences, problems } = known;
  const told =
    known.repeatsFailed === undefined ? 'not told by the application' : formatCount(String(known.repeatsFailed));
  return [
    heading('Dual writing'),
    paragraph(
      `As last compared, ${formatTime(known.measuredAt)}, with the ${judge} as the side that is right.${known.endedAt ? ` The application ended writing to both ${formatTime(known.endedAt)}.` : ''}`,
    ),
    table(
      ['What', '>Figure'],
      [
        ['Rounds with this judge', String(rounds)],
        [
          'Rounds in a row without a difference',
          // After the switch nothing waits for a number of them.
          judge === 'source' && !pointOfNoReturnAt ? `${parityInARow} of ${parityWanted}` : String(parityInARow),
        ],
        ['Rows compared in the last', formatCount(known.rows)],
        ['Tables compared in the last', String(known.tables)],
        ['Rows that differed in the last and stood still', String(known.differing)],
        ['Rows that moved during the last', String(known.moving)],
        ['Repairs', String(repaired.repairs)],
        ['Rows inserted by repairs', String(repaired.inserted)],
        ['Rows updated by repairs', String(repaired.updated)],
        ['Rows deleted by repairs', String(repaired.deleted)],
        ['Repeats that failed', told],
      ],
    ),
    ...(differences.length > 0
      ? [paragraph('What differed when something last did:'), list(differences.map((line) => [line]))]
      : []),
    ...(problems.length > 0 ? [paragraph('What could not be compared:'), list(problems.map((line) => [line]))] : []),
  ];
}
