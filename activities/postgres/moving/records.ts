// Results as lines of the validation table. Pure.
import { createHash } from 'node:crypto';
import type { ValidationRecord } from '../../../journal/types';
import type { Verdict } from '../digest/compare';
import type { MovingResult } from './batch';
import { pendingName } from './pending';

const linesShown = 20;

export interface Findings {
  /** Of every table that is compared, in order of schema and name. */
  results: MovingResult[];
  /** Names of tables that wait for the freeze as a whole. */
  unlogged: string[];
  /** Undecided rows by table; `keys` is undefined where it is the whole table. */
  pending: { table: string; keys?: number }[];
  durationMs: number;
}

/** Counts and digests of all tables, one record for each of the first twenty unequal ones, and what is left to the freeze. */
export function recordsOf(findings: Findings): ValidationRecord[] {
  const { results, durationMs } = findings;
  const unequal = results.filter(({ verdict }) => verdict.outcome === 'unequal');
  return [
    countRecord(results, durationMs),
    digestRecord(
      results.filter(({ verdict }) => verdict.digested),
      durationMs,
    ),
    ...unequal.slice(0, linesShown).map((result) => tableRecord(result, durationMs)),
    ...leftToTheFreeze(findings),
  ];
}

function countRecord(results: MovingResult[], durationMs: number): ValidationRecord {
  const other = results.filter(({ onOneSideOnly }) => onOneSideOnly);
  const sum = (rows: (verdict: Verdict) => string | undefined): string =>
    `${results.reduce((total, { verdict }) => total + BigInt(rows(verdict) ?? 0), 0n)} rows`;
  return {
    name: 'row counts',
    source: sum(({ sourceRows }) => sourceRows),
    target: `${sum(({ targetRows }) => targetRows)}${movedWords(results)}`,
    ...outcomeOf(other, results),
    durationMs,
  };
}

function digestRecord(results: MovingResult[], durationMs: number): ValidationRecord {
  // A table that was written to has no digest that both sides ever had at the same moment; its rows were compared one by one.
  const sum = (digest: (verdict: Verdict) => string | undefined): string => {
    const all = createHash('sha256').update(
      JSON.stringify(results.map(({ verdict }) => [verdict.table, digest(verdict) ?? ''])),
    );
    return `${results.length} tables, ${all.digest('hex').slice(0, 32)}`;
  };
  return {
    name: 'row digests',
    source: sum(({ sourceDigest }) => sourceDigest),
    target: `${sum(({ targetDigest }) => targetDigest)}${movedWords(results)}`,
    ...outcomeOf(
      results.filter(({ verdict }) => verdict.outcome === 'unequal'),
      results,
    ),
    durationMs,
  };
}

function movedWords(results: MovingResult[]): string {
  const tables = results.filter(({ moved }) => moved > 0);
  if (tables.length === 0) return '';
  const rows = tables.reduce((sum, { moved }) => sum + moved, 0);
  return `; ${rows} rows of ${tables.length} tables were being written and looked at one by one`;
}

function outcomeOf(
  unequal: MovingResult[],
  results: MovingResult[],
): Pick<ValidationRecord, 'outcome' | 'differences'> {
  const unread = results.filter(({ verdict }) => verdict.outcome === 'unverifiable');
  const lines = [...unequal, ...unread].map(({ verdict: { table, why } }) => `${table} ${why ?? 'differs'}`);
  return {
    outcome: unequal.length > 0 ? 'fail' : unread.length > 0 ? 'unverifiable' : 'pass',
    ...(lines.length > 0 ? { differences: firstOf(lines) } : {}),
  };
}

function tableRecord({ verdict, lines }: MovingResult, durationMs: number): ValidationRecord {
  const side = (rows: string | undefined): { value?: string } => (rows === undefined ? {} : { value: `${rows} rows` });
  return {
    name: `rows of ${verdict.table}`,
    source: side(verdict.sourceRows).value,
    target: side(verdict.targetRows).value,
    outcome: 'fail',
    durationMs,
    differences: lines.length > 0 ? lines : [`${verdict.table} ${verdict.why ?? 'differs'}`],
  };
}

/** Not a pass: said here, and compared under the fence. */
function leftToTheFreeze({ unlogged, pending, durationMs }: Findings): ValidationRecord[] {
  const records: ValidationRecord[] = [];
  if (unlogged.length > 0) {
    records.push({
      name: 'unlogged tables',
      outcome: 'skipped',
      durationMs: 0,
      differences: firstOf(unlogged.map((table) => `${table}: no stream carries it, it is copied under the fence`)),
    });
  }
  if (pending.length > 0) {
    const what = (keys?: number): string => (keys === undefined ? 'the whole table' : `${keys} rows`);
    records.push({
      name: pendingName,
      outcome: 'skipped',
      durationMs,
      differences: firstOf(pending.map(({ table, keys }) => `${table}: ${what(keys)} left to the freeze`)),
    });
  }
  return records;
}

function firstOf(lines: string[]): string[] {
  const more = lines.length - linesShown;
  return more > 0 ? [...lines.slice(0, linesShown), `and ${more} more`] : lines;
}
