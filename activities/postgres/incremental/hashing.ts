// Rows and keys as 64-bit numbers, and the buckets that these fall into. PostgreSQL's own hash is several times as fast as md5 but is promised
// by nobody to be the same on another server: so both are asked before, and md5 is taken where they do not agree. A disagreement that went
// unnoticed would only make more rows be brought.
import type { ClientBase } from 'pg';
import { half, keyHash, rowHash, rowText, usableHash, type Hash } from '../digest/row-digest';
import type { Relation } from '../digest/relations';
import { quoteIdentifier } from '../identifier';

export interface Hashing {
  /** Both servers have the same hash of their own. */
  quick: boolean;
  /** What both can do otherwise. */
  hash: Hash;
}

/** Whole numbers of both signs and texts of every length that the hash treats in a way of its own. */
const agreementSql = `
select string_agg(hashint8extended((i - 20)::bigint * 1000000007, 0)::text || ' ' || hashtextextended(repeat('aé1', i) collate "C", 0)::text, ' ' order by i)
  from generate_series(0, 40) as i`;

/** To be asked outside of a transaction. */
export async function agreeOnHashing(source: ClientBase, target: ClientBase): Promise<Hashing> {
  const hash = (await usableHash(source)) === 'md5' ? await usableHash(target) : 'sha256';
  const [here, there] = await Promise.all([source, target].map(valuesOf));
  return { quick: here !== undefined && here === there, hash };
}

async function valuesOf(client: ClientBase): Promise<string | undefined> {
  try {
    const { rows } = await client.query<{ string_agg: string }>(agreementSql);
    return rows[0]?.string_agg;
  } catch {
    // Servers before 11 do not have it.
    return undefined;
  }
}

/** A row, as its compared columns have it. */
export function rowNumber(relation: Relation, { quick, hash }: Hashing): string {
  return quick ? `hashtextextended(${rowText(relation, hash)} collate "C", 0)` : half(rowHash(relation, hash), 1);
}

const integers = new Set(['smallint', 'integer', 'bigint']);

/** Its key, or without one the row. */
export function keyNumber(relation: Relation, hashing: Hashing): string {
  const { key } = relation;
  if (!key) return rowNumber(relation, hashing);
  if (!hashing.quick) return half(keyHash(relation, hashing.hash), 1);
  const [column, ...others] = key.map(quoteIdentifier);
  const type = relation.columns.find(({ name }) => name === key[0])?.type ?? '';
  return others.length === 0 && integers.has(type)
    ? `hashint8extended(${column}::bigint, 0)`
    : `hashtextextended(row(${key.map(quoteIdentifier).join(', ')})::text collate "C", 0)`;
}

/** The first bits of such a number; a cut of more bits divides the buckets of one of fewer. */
export function bucketOfNumber(number: string, bits: number): string {
  return `((${number} >> ${64 - bits}) & ${2 ** bits - 1})::int`;
}
