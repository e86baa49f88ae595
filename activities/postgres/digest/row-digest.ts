// The digest of rows, in SQL: a row's text under pinned settings (quoted fields, NULL distinct, columns by name) through a 128-bit
// hash, both halves summed as integers. Sums do not depend on the order of rows, and unlike XOR they see a row that is there twice.
// Not hashtextextended, though twice as fast: its values are not promised to be the same in another version.
import type { ClientBase } from 'pg';
import { quoteIdentifier, quoteQualified } from '../identifier';
import type { Relation } from './relations';

/** sha256 where a server bars md5 (FIPS): slower, and its first 128 bits are taken. */
export type Hash = 'md5' | 'sha256';

/** Which hash this server can do. */
export async function usableHash(client: ClientBase): Promise<Hash> {
  try {
    await client.query(`select md5('')`);
    return 'md5';
  } catch {
    return 'sha256';
  }
}

export interface Pages {
  lower?: string | null;
  upper?: string | null;
}

/** One row: `rows`, and `high` and `low`, the sums; null for no rows. */
export function digestSql(relation: Relation, pages: Pages, hash: Hash): string {
  return `select count(*) as rows, sum(${half('h', 1)}) as high, sum(${half('h', 17)}) as low
    from (select ${rowHash(relation, hash)} as h ${fromSql(relation, pages)} offset 0) as hashed`;
}

/** As `digestSql`, of what a query gives now; its columns are named as those of the relation. */
export function queryDigestSql(relation: Relation, query: string, hash: Hash): string {
  return `select count(*) as rows, sum(${half('h', 1)}) as high, sum(${half('h', 17)}) as low
    from (select ${rowHash(relation, hash)} as h from (${query}) as fresh offset 0) as hashed`;
}

/** One row: `rows`; `high` and `low` are null. */
export function countSql(relation: Relation, pages: Pages): string {
  return `select count(*) as rows, null as high, null as low ${fromSql(relation, pages)}`;
}

/** A row for each of 2^bits buckets that holds rows: `bucket`, `rows`, `high`, `low`. By key, or without one by row. */
export function bucketsSql(relation: Relation, hash: Hash, bits: number): string {
  return `select ${bucket('k', bits)} as bucket, count(*) as rows, sum(${half('h', 1)}) as high, sum(${half('h', 17)}) as low
    from (select ${keyHash(relation, hash)} as k, ${rowHash(relation, hash)} as h ${fromSql(relation, {})} offset 0) as hashed
    group by 1`;
}

/** The rows of the buckets in $1, at most $2 different ones: `key` as text (null without a key), `digest`, hex, and `rows`, how many are alike. */
export function bucketRowsSql(relation: Relation, hash: Hash, bits: number): string {
  const key = relation.key ? `row(${relation.key.map(quoteIdentifier).join(', ')})::text` : 'null::text';
  const from = fromSql(relation, {});
  // Filtered by the key first: the digest of a whole row is only taken of rows that are looked at.
  const where = `${relation.condition ? 'and' : 'where'} ${bucket(keyHash(relation, hash), bits)} = any($1::int[])`;
  return `select key, digest, count(*) as rows
    from (select ${key} as key, ${rowHash(relation, hash)} as digest ${from} ${where} offset 0) as looked group by 1, 2 limit $2`;
}

/** `from only …`, with a WHERE where there are pages or a condition. */
export function fromSql(relation: Relation, { lower, upper }: Pages): string {
  const from = `from only ${quoteQualified(relation.schema, relation.name)}`;
  if (relation.condition) return `${from} ${relation.condition.replace(/^\s*where\s+([\s\S]*)$/i, 'where ($1)')}`;
  const conditions = [
    lower === undefined || lower === null ? '' : `ctid >= '(${lower},0)'::tid`,
    upper === undefined || upper === null ? '' : `ctid < '(${upper},0)'::tid`,
  ].filter(Boolean);
  return conditions.length === 0 ? from : `${from} where ${conditions.join(' and ')}`;
}

/**
 * One row: `rows` and `sum`, of a 64-bit hash that is three times as fast and promised by nobody to be the same on another server: equal sums
 * of equal numbers of rows are equal rows; unequal ones mean nothing, and are left to `digestSql`.
 */
export function quickSumSql(relation: Relation, hash: Hash): string {
  return `select count(*) as rows, sum(hashtextextended(${rowText(relation, hash)} collate "C", 0)) as sum ${fromSql(relation, {})}`;
}

export function rowHash(relation: Relation, hash: Hash): string {
  return hashOf(rowText(relation, hash), hash);
}

/** Bytes are hashed by themselves: as text they would be twice as long, and too long from half a gigabyte on. */
export function rowText({ columns }: Relation, hash: Hash): string {
  const fields = columns.map(({ name, type }) => {
    const column = quoteIdentifier(name);
    if (type !== 'bytea') return column;
    return hash === 'md5' ? `md5(${column})` : `encode(sha256(${column}), 'hex')`;
  });
  return `row(${fields.join(', ')})::text`;
}

export function keyHash(relation: Relation, hash: Hash): string {
  if (!relation.key) return rowHash(relation, hash);
  return hashOf(`row(${relation.key.map(quoteIdentifier).join(', ')})::text`, hash);
}

function hashOf(text: string, hash: Hash): string {
  return hash === 'md5' ? `md5(${text})` : `encode(sha256(convert_to(${text}, 'UTF8')), 'hex')`;
}

/** 64 of the bits, from the given hex digit on, as a signed integer. */
export function half(column: string, from: number): string {
  return `('x' || substr(${column}, ${from}, 16))::bit(64)::bigint`;
}

/** The first `bits` of a hash, as a number. */
export function bucket(hash: string, bits: number): string {
  return `('x' || substr(${hash}, 1, 8))::bit(32)::bit(${bits})::int`;
}
