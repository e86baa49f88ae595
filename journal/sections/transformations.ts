// What the report says of tables whose columns are other ones on the target: how their rows were proved, and which are not there.
import { code, heading, list, paragraph, table, type Block } from '../document';
import { formatCount, plural } from '../quantities';
import { done, failed, warning } from '../reading';
import type { Journal, RejectRecord } from '../types';

/** Nothing for plans without transformations. */
export function transformations(journal: Journal): Block[] {
  const found = journal.transformations;
  if (!found) return [];
  const total = found.tables.reduce((sum, { rejects }) => sum + rejects, 0);
  const more = total - found.rejects.length;
  return [
    heading('Transformed tables'),
    paragraph(
      'Counts and digests of all rows above are without these tables: every row of them was compared with what its expressions give, column by column.',
    ),
    table(
      ['Table', '>Rows not taken', '>The plan takes', 'Verdict'],
      found.tables.map((record) => [
        code(record.table),
        formatCount(String(record.rejects)),
        formatCount(String(record.maxRejects)),
        verdict(record),
      ]),
    ),
    ...(total > 0
      ? [
          paragraph('Rows that are ', { strong: 'not on the target' }, ', with key, column and reason:'),
          list(found.rejects.map((line) => code(line))),
          ...(more > 0 ? [paragraph(`${plural(more, 'more row')} in the artifact rejects.jsonl (section 10).`)] : []),
        ]
      : []),
  ];
}

function verdict({ rejects, maxRejects }: RejectRecord) {
  if (rejects === 0) return done('every row taken');
  return rejects <= maxRejects ? warning('within the limit') : failed('beyond the limit');
}
