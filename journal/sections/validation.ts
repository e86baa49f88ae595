// Runbook section 5: the document's validation table, every single comparison, each table as copied and compared, and the differences of the two catalogs.
import {
  code,
  heading,
  joined,
  list,
  paragraph,
  table,
  type Block,
  type Inline,
  type Section,
  type Text,
} from '../document';
import { formatBytes, formatCount, formatMaybeMs, formatRate, plural } from '../quantities';
import { done, failed, open, pending, quiet, warning } from '../reading';
import type { Journal, TableRecord, ValidationRecord } from '../types';

export function validation(journal: Journal): Section {
  return {
    id: 'validation',
    number: '5',
    title: 'Post-Migration Validation',
    blocks: [
      table(['Validation Check', 'Source', 'Target', 'Match', '>Time'], checks(journal)),
      ...everyComparison(journal.validation ?? []),
      heading('Tables'),
      ...tables(journal),
      heading('Structure'),
      ...fidelity(journal),
    ],
  };
}

interface Family {
  title: string;
  pattern: RegExp;
  /** The document has `N/A` for the source. */
  targetOnly?: boolean;
}

function families(journal: Journal): Family[] {
  const percent = journal.plan.facts?.maxRegressionPercent ?? 10;
  return [
    { title: 'Total row count', pattern: /total.*(row|count)|row.?count.*total|^rows?$/i },
    { title: 'Table-level counts', pattern: /table.?level|table.*count|row.?counts?|^counts?/i },
    { title: 'Checksum of every row', pattern: /checksum|digest/i },
    { title: 'NULL constraint checks', pattern: /not.?null|\bnull/i, targetOnly: true },
    { title: 'Smoke tests pass', pattern: /smoke/i, targetOnly: true },
    { title: `Performance within ${percent}%`, pattern: /performance|regression/i },
  ];
}

function checks(journal: Journal): Text[][] {
  const records = journal.validation ?? [];
  const known = families(journal);
  const familyOf = (record: ValidationRecord): Family | undefined =>
    known.find(({ pattern }) => pattern.test(record.name));
  const rows = known.map((family) =>
    familyRow(
      family,
      records.filter((record) => familyOf(record) === family),
      journal,
    ),
  );
  return [...rows, ...records.filter((record) => !familyOf(record)).map((record) => comparisonRow(record))];
}

function familyRow(family: Family, records: ValidationRecord[], journal: Journal): Text[] {
  const only = records[0];
  if (!only) return [family.title, family.targetOnly ? 'N/A' : '–', '–', missing(journal), '–'];
  const time = formatMaybeMs(records.reduce((sum, { durationMs }) => sum + durationMs, 0));
  const source = family.targetOnly ? 'N/A' : undefined;
  if (records.length === 1)
    return [only.name, source ?? only.source ?? '–', only.target ?? '–', outcomeText(only), time];
  const passed = records.filter(({ outcome }) => outcome === 'pass').length;
  const worst =
    (['fail', 'unverifiable', 'skipped', 'pass'] as const).find((outcome) =>
      records.some((record) => record.outcome === outcome),
    ) ?? 'pass';
  const value = `${passed} of ${records.length} passed`;
  return [family.title, source ?? 'each below', value, outcomeText({ outcome: worst }), time];
}

function missing(journal: Journal): Inline {
  if (journal.validation && journal.validation.length > 0) return quiet('not asked for by the plan');
  return journal.endedAt ? quiet('not run') : pending(journal);
}

function outcomeText({ outcome }: Pick<ValidationRecord, 'outcome'>): Inline {
  switch (outcome) {
    case 'pass':
      return done('match');
    case 'fail':
      return failed('differs');
    case 'unverifiable':
      return failed('could not be verified');
    case 'skipped':
      return warning('skipped');
  }
}

function comparisonRow(record: ValidationRecord): Text[] {
  return [
    record.name,
    record.source ?? 'N/A',
    record.target ?? '–',
    outcomeText(record),
    formatMaybeMs(record.durationMs),
  ];
}

function everyComparison(records: ValidationRecord[]): Block[] {
  const differing = records.filter(({ differences }) => differences !== undefined && differences.length > 0);
  const all: Block[] =
    records.length > 6
      ? [
          heading('Every comparison'),
          table(['Comparison', 'Source', 'Target', 'Match', '>Time'], records.map(comparisonRow)),
        ]
      : [];
  const found = differing.flatMap<Block>((record) => [
    paragraph({ strong: record.name }, ' differs in:'),
    list(record.differences ?? []),
  ]);
  return [...all, ...(found.length > 0 ? [heading('What differs'), ...found] : [])];
}

function tables(journal: Journal): Block[] {
  const { tables: records = [], tablesNotListed = 0 } = journal;
  if (records.length === 0) return [paragraph(quiet('No table has been copied yet.'))];
  const more =
    tablesNotListed > 0
      ? [
          paragraph(
            `${plural(tablesNotListed, 'more table')}, all smaller, in the artifact with every table (section 10).`,
          ),
        ]
      : [];
  return [
    table(['Table', '>Rows', '>Bytes', '>Copy time', '>Rate', 'Digest of all rows', 'Equal'], records.map(tableRow)),
    ...more,
  ];
}

function tableRow(record: TableRecord): Text[] {
  const equal = record.equal === undefined ? open('not compared') : record.equal ? done('equal') : failed('differs');
  return [
    code(record.table),
    formatCount(record.rows),
    formatBytes(record.bytes),
    formatMaybeMs(record.copyMs),
    formatRate(record.bytes, record.copyMs),
    record.digest === undefined ? '–' : code(record.digest),
    equal,
  ];
}

function fidelity(journal: Journal): Block[] {
  const found = journal.fidelity;
  if (!found) return [paragraph(quiet('The two catalogs have not been compared yet.'))];
  const verdict =
    found.differences.length === 0 ? done('No difference') : failed(plural(found.differences.length, 'difference'));
  const accepted: Block[] =
    found.accepted.length > 0
      ? [paragraph('Differences that the plan accepts:'), list(found.accepted.map((name) => code(name)))]
      : [];
  const differences: Block[] =
    found.differences.length > 0 ? [list(found.differences.map((name) => joined(code(name))))] : [];
  return [
    paragraph(
      verdict,
      ` between the two catalogs in normal form: ${plural(found.compared, 'object')} compared (columns, defaults, constraints, indexes, triggers, functions, views, policies, owners, privileges).`,
    ),
    ...differences,
    ...accepted,
  ];
}
