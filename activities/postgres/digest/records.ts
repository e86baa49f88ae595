// Verdicts as lines of the validation table. Pure.
import { createHash } from 'node:crypto';
import type { ValidationRecord } from '../../../journal/types';
import type { Verdict } from './compare';
import { identityOf } from './relations';

const linesShown = 20;
const tablesShown = 20;

/**
 * Two lines for all tables, and one for each of the first twenty unequal ones.
 * @param details differences by table, as `findDifferences` gives them
 */
export function recordsOf(
  verdicts: Verdict[],
  details: ReadonlyMap<string, string[]>,
  durationMs: number,
): ValidationRecord[] {
  const unequal = verdicts.filter(({ outcome }) => outcome === 'unequal');
  return [
    countRecord(verdicts, durationMs),
    digestRecord(
      verdicts.filter(({ digested }) => digested),
      durationMs,
    ),
    ...unequal
      .slice(0, tablesShown)
      .map((verdict) => tableRecord(verdict, details.get(identityOf(verdict)) ?? [], durationMs)),
  ];
}

function countRecord(verdicts: Verdict[], durationMs: number): ValidationRecord {
  const other = verdicts.filter(
    ({ outcome, sourceRows, targetRows }) => outcome !== 'unverifiable' && sourceRows !== targetRows,
  );
  const unread = verdicts.filter(({ outcome }) => outcome === 'unverifiable');
  const sum = (rows: (verdict: Verdict) => string | undefined): string =>
    `${verdicts.reduce((total, verdict) => total + BigInt(rows(verdict) ?? 0), 0n)} rows`;
  return {
    name: 'row counts',
    source: sum(({ sourceRows }) => sourceRows),
    target: sum(({ targetRows }) => targetRows),
    outcome: outcomeOf(other, unread),
    durationMs,
    ...differences([...other, ...unread]),
  };
}

function digestRecord(verdicts: Verdict[], durationMs: number): ValidationRecord {
  const unequal = verdicts.filter(({ outcome }) => outcome === 'unequal');
  const unread = verdicts.filter(({ outcome }) => outcome === 'unverifiable');
  const sum = (digest: (verdict: Verdict) => string | undefined): string => {
    const all = createHash('sha256')
      .update(JSON.stringify(verdicts.map((verdict) => [verdict.table, digest(verdict) ?? ''])))
      .digest('hex');
    return `${verdicts.length} tables, ${all.slice(0, 32)}`;
  };
  return {
    name: 'row digests',
    source: sum(({ sourceDigest }) => sourceDigest),
    target: sum(({ targetDigest }) => targetDigest),
    outcome: outcomeOf(unequal, unread),
    durationMs,
    ...differences([...unequal, ...unread]),
  };
}

function tableRecord(verdict: Verdict, details: string[], durationMs: number): ValidationRecord {
  const side = (rows: string | undefined, digest: string | undefined): string =>
    rows === undefined ? 'absent' : [`${rows} rows`, digest].filter(Boolean).join(', ');
  return {
    name: `rows of ${verdict.table}`,
    source: side(verdict.sourceRows, verdict.sourceDigest),
    target: side(verdict.targetRows, verdict.targetDigest),
    outcome: 'fail',
    durationMs,
    differences: details.length > 0 ? details : [`${verdict.table} ${verdict.why ?? 'differs'}`],
  };
}

function outcomeOf(unequal: Verdict[], unread: Verdict[]): ValidationRecord['outcome'] {
  if (unequal.length > 0) return 'fail';
  return unread.length > 0 ? 'unverifiable' : 'pass';
}

function differences(verdicts: Verdict[]): { differences?: string[] } {
  if (verdicts.length === 0) return {};
  const lines = verdicts.slice(0, linesShown).map(({ table, why }) => `${table} ${why ?? 'differs'}`);
  const more = verdicts.length - lines.length;
  return { differences: more > 0 ? [...lines, `and ${more} more tables`] : lines };
}
