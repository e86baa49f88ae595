// From the pieces of a transformed table to lines of the validation table: one for its rows, one for each column that is another one on the
// target, one for all others. Pure.
import type { ValidationRecord } from '../../../journal/types';
import type { ColumnTransformation, Transformation } from '../../../plan/transformations';
import { linesShown, type PieceResult } from './piece';

/** What the two sides hold, counted apart from the pieces. */
export interface TableTotals {
  /** Rows on the target now. */
  targetRows: number;
  /** In the ledger. */
  rejects: number;
  /** Keys that only the target has, the first of them. */
  extra: string[];
}

/** Never a pass: something of it could not be read, or evaluated. */
export function recordsOfTable(
  transformation: Transformation,
  results: PieceResult[],
  totals: TableTotals,
  durationMs: number,
): ValidationRecord[] {
  const { table, columns } = transformation;
  const sum = (count: (result: PieceResult) => number): number =>
    results.reduce((total, result) => total + count(result), 0);
  const rows = sum((result) => result.rows);
  const rejects = sum((result) => result.rejects);
  const missing = sum((result) => result.missing);
  const refused = sum((result) => result.refused);
  const takeable = sum((result) => result.takeable);
  const failures = [...new Set(results.flatMap(({ failure }) => (failure === undefined ? [] : [failure])))];
  const extra = totals.targetRows - (rows - rejects - missing);
  const books = refused === 0 && failures.length === 0;
  // Of pieces that were not read no reject was met either.
  const strayRejects = failures.length === 0 && rejects !== totals.rejects;
  const remarks = [
    ...failures.map((failure) => `${table} could not be read: ${failure}`),
    ...(strayRejects
      ? [`${table}: ${totals.rejects} rows are among the rejects, ${rejects} of them are on the source`]
      : []),
    ...(books && extra !== 0 ? [`${table}: ${extra} rows of the target come from no row of the source`] : []),
    ...totals.extra.map((key) => `${table} key=${key}: extra on the target`),
    ...results.flatMap(({ lines }) => lines),
  ];
  const ofRows: ValidationRecord = {
    name: `rows of ${table} through its transformations`,
    source: `${rows} rows`,
    target: `${totals.targetRows} rows${totals.rejects > 0 ? ` and ${totals.rejects} rejects` : ''}`,
    outcome:
      missing > 0 || takeable > 0 || refused > 0 || strayRejects || (books && extra !== 0)
        ? 'fail'
        : failures.length > 0
          ? 'unverifiable'
          : 'pass',
    durationMs,
    ...(remarks.length > 0 ? { differences: shortList(remarks) } : {}),
  };
  const compared = rows - rejects - missing;
  const ofColumns = (name: string, differing: number, which: string[] = []): ValidationRecord => ({
    name,
    source: `${compared} rows`,
    target: differing === 0 ? 'equal in all' : `other in ${differing} rows`,
    outcome: differing > 0 ? 'fail' : books ? 'pass' : 'unverifiable',
    durationMs: 0,
    ...(which.length > 0 ? { differences: shortList(which.map((column) => `${table}.${column} differs`)) } : {}),
  });
  const differing = (column: string): number => sum((result) => result.differing[column] ?? 0);
  const named = Object.entries(columns).filter(([, { drop }]) => !drop);
  const others = [...new Set(results.flatMap((result) => Object.keys(result.differing)))].filter(
    (column) => !named.some(([name]) => name === column),
  );
  return [
    ofRows,
    ...named.map(([column, asked]) => ofColumns(columnTitle(table, column, asked), differing(column))),
    // A constant name: by it another attempt takes the place of this one in the journal.
    ofColumns(
      `columns of ${table} that stay as they are`,
      others.reduce((total, column) => total + differing(column), 0),
      others,
    ),
  ];
}

/** `public.orders.created_at = created at time zone 'Europe/Berlin' as timestamptz` */
export function columnTitle(table: string, column: string, { rename, type, expression }: ColumnTransformation): string {
  const value = expression ?? (rename === undefined && type === undefined ? undefined : column);
  const title = `${table}.${rename ?? column}${value === undefined ? '' : ` = ${value.replaceAll(/\s+/g, ' ')}`}`;
  return `${title}${type === undefined ? '' : ` as ${type}`}`.slice(0, 200);
}

function shortList(lines: string[]): string[] {
  const more = lines.length - linesShown;
  return more > 0 ? [...lines.slice(0, linesShown), `and ${more} more lines`] : lines;
}
