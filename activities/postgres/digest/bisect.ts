// Down to the rows: which keys of an unequal table are missing, extra or different. Both databases sort their rows into buckets by a
// hash of the key; only rows of unequal buckets are looked at, and of them only key, digest and number leave the
// database: at most `rowsLookedAt` a side, so that memory is bounded whatever the table.
import type { ClientBase } from 'pg';
import { bucketRowsSql, bucketsSql, type Hash } from './row-digest';
import { nameOf, type Relation } from './relations';

/** Rows of unequal buckets looked at on each side; beyond, numbers become "at least". */
const rowsLookedAt = 100_000;
export const keysShown = 20;
const keyLength = 200;
const smallBits = 12;
const largeBits = 16;
const largeRows = 5_000_000;

interface Bucket {
  bucket: string;
  rows: string;
  high: string;
  low: string;
}

/**
 * Lines as the report prints them: `sales.orders key=(42): missing on the target`, at most 20 and a count. Where even the smallest
 * unequal bucket has more different rows than `limit`, only how many rows there are in it.
 */
export async function findDifferences(
  source: ClientBase,
  target: ClientBase,
  relation: Relation,
  rows: number,
  hash: Hash,
  limit = rowsLookedAt,
): Promise<string[]> {
  const bits = rows > largeRows ? largeBits : smallBits;
  const sql = bucketsSql(relation, hash, bits);
  const [here, there] = await Promise.all([source.query<Bucket>(sql), target.query<Bucket>(sql)]);
  const unequal = unequalBuckets(here.rows, there.rows);
  const looked: number[] = [];
  let sum = 0;
  for (const { bucket, rows: inBucket } of unequal) {
    if (looked.length > 0 && sum + inBucket > limit) break;
    looked.push(bucket);
    sum += inBucket;
  }
  const rowsSql = bucketRowsSql(relation, hash, bits);
  const [left, right] = await Promise.all([
    source.query<KeyedRow>(rowsSql, [looked, limit + 1]),
    target.query<KeyedRow>(rowsSql, [looked, limit + 1]),
  ]);
  if (left.rows.length > limit || right.rows.length > limit) {
    const inLooked = (buckets: Bucket[]): number =>
      buckets.filter(({ bucket }) => looked.includes(Number(bucket))).reduce((sum, { rows }) => sum + Number(rows), 0);
    return [
      `${nameOf(relation)}: differs among ${inLooked(here.rows)} rows on the source and ${inLooked(there.rows)} on the target, too many to be told apart` +
        (looked.length < unequal.length ? `; ${unequal.length - looked.length} more parts of the table differ` : ''),
    ];
  }
  const atLeast = looked.length < unequal.length ? 'at least ' : '';
  return relation.key
    ? keyedDifferences(nameOf(relation), left.rows, right.rows, atLeast)
    : keylessDifferences(nameOf(relation), left.rows, right.rows, atLeast);
}

function unequalBuckets(here: Bucket[], there: Bucket[]): { bucket: number; rows: number }[] {
  const text = (bucket: Bucket | undefined): string => (bucket ? `${bucket.rows} ${bucket.high} ${bucket.low}` : '');
  const right = new Map(there.map((bucket) => [bucket.bucket, bucket]));
  const left = new Map(here.map((bucket) => [bucket.bucket, bucket]));
  return [...new Set([...left.keys(), ...right.keys()])]
    .filter((bucket) => text(left.get(bucket)) !== text(right.get(bucket)))
    .map((bucket) => ({
      bucket: Number(bucket),
      rows: Math.max(Number(left.get(bucket)?.rows ?? 0), Number(right.get(bucket)?.rows ?? 0)),
    }))
    .sort((one, other) => one.rows - other.rows);
}

export interface KeyedRow {
  /** `(42,abc)`; null where the table has no key. */
  key: string | null;
  digest: string;
  /** How many rows of this key and digest. */
  rows: string;
}

/** By key. A key that is there more than once (a broken unique index) counts with all of its rows. */
export function keyedDifferences(table: string, source: KeyedRow[], target: KeyedRow[], atLeast = ''): string[] {
  const left = grouped(source, ({ key }) => key ?? '');
  const right = grouped(target, ({ key }) => key ?? '');
  const keys = [...new Set([...left.keys(), ...right.keys()])].sort();
  const differing = keys.flatMap((key) => {
    const here = left.get(key);
    const there = right.get(key);
    if (!there) return [{ key, kind: 'missing on the target' }];
    if (!here) return [{ key, kind: 'extra on the target' }];
    const [timesHere, timesThere] = [total(here), total(there)];
    if (timesHere !== timesThere)
      return [{ key, kind: `${timesHere} times on the source, ${timesThere} on the target` }];
    return textOf(here) === textOf(there) ? [] : [{ key, kind: 'different' }];
  });
  const shown = differing.slice(0, keysShown).map(({ key, kind }) => `${table} key=${shortened(key)}: ${kind}`);
  const more = differing.length - shown.length;
  if (atLeast || more > 0) shown.push(`${table}: ${atLeast}${differing.length} keys differ`);
  return shown;
}

/** Without a key a row is its content, which is not shown: only how many there are on one side only. */
export function keylessDifferences(table: string, source: KeyedRow[], target: KeyedRow[], atLeast = ''): string[] {
  const left = grouped(source, ({ digest }) => digest);
  const right = grouped(target, ({ digest }) => digest);
  let onlySource = 0;
  let onlyTarget = 0;
  for (const digest of new Set([...left.keys(), ...right.keys()])) {
    const surplus = total(left.get(digest)) - total(right.get(digest));
    if (surplus > 0) onlySource += surplus;
    else onlyTarget -= surplus;
  }
  return [
    `${table} (no key): ${atLeast}${onlySource} rows only on the source, ${atLeast}${onlyTarget} rows only on the target`,
  ];
}

function grouped(rows: KeyedRow[], by: (row: KeyedRow) => string): Map<string, KeyedRow[]> {
  const groups = new Map<string, KeyedRow[]>();
  for (const row of rows) {
    const group = groups.get(by(row));
    if (group) group.push(row);
    else groups.set(by(row), [row]);
  }
  return groups;
}

function total(rows: KeyedRow[] = []): number {
  return rows.reduce((sum, row) => sum + Number(row.rows), 0);
}

function textOf(rows: KeyedRow[]): string {
  return rows
    .map(({ digest, rows }) => `${digest} ${rows}`)
    .sort()
    .join();
}

/** A key as reports print it. */
export function shortened(key: string): string {
  return key.length > keyLength ? `${key.slice(0, keyLength)}…` : key;
}
