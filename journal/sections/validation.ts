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
import { transformations } from './transformations';

export function validation(journal: Journal): Section {
  return {
    id: 'validation',
    number: '5',
    title: 'Post-Migration Validation',
    blocks: [
      table(['Validation Check', 'Source', 'Target', 'Match', '>Time'], checks(journal)),
      ...everyComparison(journal.validation ?? []),
      ...transformations(journal),
      heading('Tables'),
      ...tables(journal),
      heading('Structure'),
      ...fidelity(journal),
    ],
  };
}

interface Family {
  /** As the document has it. */
  title: string;
  /** The comparisons behind it begin with one of these. */
  beginnings: string[];
  /** The document has `N/A` for the source. */
  targetOnly?: boolean;
}

function families(journal: Journal): Family[] {
  const percent = journal.plan.facts?.maxRegressionPercent ?? 10;
  return [
    { title: 'Total row count', beginnings: ['row counts'] },
    { title: 'Table-level counts', beginnings: [] },
    { title: 'Checksum of every row', beginnings: ['row digests', 'rows of '] },
    { title: 'NULL constraint checks', beginnings: ['not null: '], targetOnly: true },
    { title: 'Smoke tests pass', beginnings: ['smoke: '], targetOnly: true },
    { title: `Performance within ${percent}%`, beginnings: ['performance: '] },
  ];
}

function checks(journal: Journal): Text[][] {
  const records = journal.validation ?? [];
  const known = families(journal);
  const isOf = ({ beginnings }: Family, { name }: ValidationRecord): boolean =>
    beginnings.some((beginning) => name.startsWith(beginning));
  const rows = known.map((family) => {
    if (family.title === 'Table-level counts') return tableLevelRow(family, journal);
    const found = records.filter((record) => isOf(family, record));
    const compared = family.title === 'Total row count' && found.length === 0 ? comparedLive(journal) : undefined;
    return compared ? withTheRows(family, compared) : familyRow(family, found, journal);
  });
  const others = records.filter((record) => !known.some((family) => isOf(family, record)));
  return [...rows, ...others.map(comparisonRow)];
}

function familyRow(family: Family, records: ValidationRecord[], journal: Journal): Text[] {
  const only = records[0];
  if (!only) return [family.title, family.targetOnly ? 'N/A' : '–', '–', missing(journal), '–'];
  const time = formatMaybeMs(records.reduce((sum, { durationMs }) => sum + durationMs, 0));
  const source = family.targetOnly ? 'N/A' : (only.source ?? '–');
  if (records.length === 1) return [family.title, source, only.target ?? '–', outcomeText(only), time];
  const passed = records.filter(({ outcome }) => outcome === 'pass').length;
  return [
    family.title,
    family.targetOnly ? 'N/A' : 'each below',
    `${passed} of ${records.length} passed`,
    outcomeText({ outcome: worst(records) }),
    time,
  ];
}

function worst(records: ValidationRecord[]): ValidationRecord['outcome'] {
  const order = ['fail', 'unverifiable', 'skipped', 'pass'] as const;
  return order.find((outcome) => records.some((record) => record.outcome === outcome)) ?? 'pass';
}

/** The counts of all tables are one comparison; here it is read table by table. */
function tableLevelRow(family: Family, journal: Journal): Text[] {
  const counts = journal.validation?.find(({ name }) => name === 'row counts');
  const compared = comparedLive(journal);
  if (!counts && compared) return withTheRows(family, compared);
  if (!counts) return [family.title, '–', '–', missing(journal), '–'];
  const tables = plural((journal.tables?.length ?? 0) + (journal.tablesNotListed ?? 0), 'table');
  const target =
    counts.outcome === 'pass' ? 'each count equal' : (counts.differences?.join('; ') ?? 'not all counts are equal');
  return [family.title, tables, target, outcomeText(counts), 'with the total'];
}

/** Where both sides were compared row by row while both were written to, their rows were counted with that. */
function comparedLive(journal: Journal): ValidationRecord | undefined {
  return journal.validation?.find(({ name }) => name.startsWith('rows of both sides'));
}

function withTheRows({ title }: Family, record: ValidationRecord): Text[] {
  return [title, record.source ?? '–', record.target ?? '–', outcomeText(record), 'with the checksum'];
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

/** Name, both values, verdict, time. */
export function comparisonRow(record: ValidationRecord): Text[] {
  return [
    record.name,
    record.source ?? 'N/A',
    record.target ?? '–',
    outcomeText(record),
    formatMaybeMs(record.durationMs),
  ];
}

/** Every comparison where there are more than the document's table shows, and what differs. */
function everyComparison(records: ValidationRecord[]): Block[] {
  const all: Block[] =
    records.length > 3
      ? [
          heading('Every comparison'),
          table(['Comparison', 'Source', 'Target', 'Match', '>Time'], records.map(comparisonRow)),
        ]
      : [];
  return [...all, ...whatDiffers(records)];
}

/** The differences of each comparison that has any. */
export function whatDiffers(records: ValidationRecord[]): Block[] {
  const found = records
    .filter(({ differences }) => differences !== undefined && differences.length > 0)
    .flatMap<Block>((record) => [
      paragraph({ strong: record.name }, record.outcome === 'pass' ? ' has remarks:' : ' differs in:'),
      list(record.differences ?? []),
    ]);
  return found.length > 0 ? [heading('What differs'), ...found] : [];
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
    formatRate(record.copiedBytes ?? record.bytes, record.copyMs),
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
