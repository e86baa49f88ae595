// From the totals of both sides to a verdict on each table. Pure.
import { createHash } from 'node:crypto';
import type { TableRecord } from '../../../journal/types';
import type { Total } from './pieces';
import { identityOf, nameOf } from './relations';

export interface Verdict {
  table: string;
  schema: string;
  name: string;
  /** `unverifiable` is never a pass: a side could not be read. */
  outcome: 'equal' | 'unequal' | 'unverifiable';
  /** Whether more than the number of rows was compared. */
  digested: boolean;
  sourceRows?: string;
  targetRows?: string;
  sourceDigest?: string;
  targetDigest?: string;
  /** One line, for people. */
  why?: string;
  /** The same columns on both sides, so that rows can be looked at one by one. */
  comparable: boolean;
  bytes: number;
}

/** One verdict for each table that is on either side. */
export function judge(totals: Total[]): Verdict[] {
  const byName = new Map<string, { source?: Total; target?: Total }>();
  for (const total of totals) {
    const table = identityOf(total);
    byName.set(table, { ...byName.get(table), [total.side]: total });
  }
  return [...byName.values()].map(({ source, target }) => verdictOn(source, target));
}

function verdictOn(source: Total | undefined, target: Total | undefined): Verdict {
  const either = source ?? target;
  if (!either) throw new Error('a verdict needs a table');
  const digested = either.mode === 'rows';
  const base = {
    table: nameOf(either),
    schema: either.schema,
    name: either.name,
    digested,
    bytes: either.bytes,
    comparable: false,
    ...(source && !source.failure ? { sourceRows: source.rows } : {}),
    ...(target && !target.failure ? { targetRows: target.rows } : {}),
  };
  if (!source) return { ...base, outcome: 'unequal', why: 'exists only on the target' };
  if (!target) return { ...base, outcome: 'unequal', why: 'is missing on the target' };
  const failed = source.failure
    ? { side: 'source', why: source.failure }
    : target.failure
      ? { side: 'target', why: target.failure }
      : undefined;
  if (failed)
    return { ...base, outcome: 'unverifiable', why: `could not be read on the ${failed.side}: ${failed.why}` };
  const digests = digested ? { sourceDigest: digestOf(source), targetDigest: digestOf(target) } : {};
  const known = { ...base, ...digests };
  if (source.header !== target.header) {
    return {
      ...known,
      outcome: 'unequal',
      why: `has other columns: ${columnDifference(source.header, target.header)}`,
    };
  }
  if (source.rows !== target.rows) {
    return {
      ...known,
      outcome: 'unequal',
      comparable: true,
      why: `source ${source.rows} rows, target ${target.rows} rows`,
    };
  }
  if (digested && digests.sourceDigest !== digests.targetDigest) {
    return {
      ...known,
      outcome: 'unequal',
      comparable: true,
      why: `${source.rows} rows on both sides, with other content`,
    };
  }
  return { ...known, outcome: 'equal', comparable: true };
}

/** Hex, 128 bits: column names and types, number of rows, both sums. */
export function digestOf({ header, rows, high, low }: Pick<Total, 'header' | 'rows' | 'high' | 'low'>): string {
  return createHash('sha256')
    .update(JSON.stringify([header, rows, high, low]))
    .digest('hex')
    .slice(0, 32);
}

/** For the report: rows as the source has them. */
export function tableRecordOf({ table, sourceRows, bytes, sourceDigest, digested, outcome }: Verdict): TableRecord {
  return {
    table,
    rows: sourceRows ?? '0',
    bytes,
    ...(sourceDigest ? { digest: sourceDigest } : {}),
    // Equal counts alone do not make a table equal.
    ...(outcome === 'unequal' ? { equal: false } : outcome === 'equal' && digested ? { equal: true } : {}),
  };
}

/** Of two headers, in words. */
export function columnDifference(source: string, target: string): string {
  const here = source.split(', ');
  const there = target.split(', ');
  const only = (left: string[], right: string[]): string =>
    left.filter((column) => !right.includes(column)).join(', ') || 'none';
  return `only on the source ${only(here, there)}; only on the target ${only(there, here)}`;
}
