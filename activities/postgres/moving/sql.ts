// The SQL of the comparison: sums of buckets, rows of buckets that differ, and single rows found again by key. Values stay in the
// database; keys, digests and numbers leave it.
import { bucket, fromSql, half, keyHash, rowHash, type Hash, type Pages } from '../digest/row-digest';
import type { Relation } from '../digest/relations';
import { quoteIdentifier, quoteQualified } from '../identifier';
import type { SubjectSide } from './subjects';

/** Buckets of a coarser cut that a read is narrowed to. */
export interface Narrowed {
  bits: number;
  buckets: number[];
}

export interface Statement {
  text: string;
  values: unknown[];
}

/** A row for each of 2^bits buckets that holds rows: bucket, rows, sum of the first and of the second half of the digests. */
export function sumsSql(relation: Relation, hash: Hash, bits: number, pages: Pages, narrowed?: Narrowed): Statement {
  const { from, values } = narrowedFrom(relation, hash, pages, narrowed);
  return {
    text: `select b, count(*), sum(${half('h', 1)}), sum(${half('h', 17)})
      from (select ${bucketOf(relation, hash, bits)} as b, ${rowHash(relation, hash)} as h ${from} offset 0) as hashed group by 1`,
    values,
  };
}

/**
 * The different rows of buckets: bucket, key as JSON array of text, key as people read it (both null without a key), digest, whether the
 * key would be found again by its text, how many rows are alike.
 */
export function rowsSql(side: SubjectSide, hash: Hash, bits: number, pages: Pages, narrowed: Narrowed): Statement {
  const { relation } = side;
  const { from, values } = narrowedFrom(relation, hash, pages, narrowed);
  const { json, label } = keyColumns(relation);
  return {
    text: `select b, id, label, digest, bool_and(found), count(*)
      from (select ${bucketOf(relation, hash, bits)} as b, ${json} as id, ${label} as label, ${rowHash(relation, hash)} as digest, ${isFoundAgain(side)} as found ${from} offset 0) as looked
      group by 1, 2, 3, 4`,
    values,
  };
}

/**
 * Rows that are there now, found by key (JSON arrays as `rowsSql` gives them) or, without one, by digest: id, digest, version, rows. The
 * version is another one after every write.
 */
export function lookSql({ relation, equality }: SubjectSide, hash: Hash, ids: string[]): Statement {
  const from = `${fromSql(relation, {})} ${relation.condition ? 'and' : 'where'}`;
  if (!relation.key) {
    const digest = rowHash(relation, hash);
    return {
      text: `select id, id, sum(hashtextextended(version, 0)), count(*)
        from (select ${digest} as id, xmin::text || ctid::text as version ${from} ${digest} = any($1::text[]) offset 0) as looked
        group by 1`,
      values: [ids],
    };
  }
  const types = typesOf(relation);
  const keys = ids.map((id) => JSON.parse(id) as string[]);
  const table = quoteQualified(relation.schema, relation.name);
  const wanted = relation.key.map((column, at) => `w.k${at}::${types.get(column)} as k${at}`);
  const matches = relation.key.map((column, at) => `${table}.${quoteIdentifier(column)} ${equality[at]} wanted.k${at}`);
  const parameters = relation.key.map((_, at) => `$${at + 1}::text[]`);
  const names = relation.key.map((_, at) => `k${at}`);
  return {
    text: `select ${keyColumns(relation).json}, ${rowHash(relation, hash)}, xmin::text || ctid::text, 1 ${from} exists (
        select from (select ${wanted.join(', ')} from unnest(${parameters.join(', ')}) as w(${names.join(', ')})) as wanted
        where ${matches.join(' and ')})`,
    values: relation.key.map((_, at) => keys.map((key) => key[at])),
  };
}

/** A key that does not come back from its text would not be found again, and not to be found would look like being deleted. */
function isFoundAgain({ relation, equality }: SubjectSide): string {
  const { key = [] } = relation;
  const types = typesOf(relation);
  const conditions = key.map((column, at) => {
    const name = quoteIdentifier(column);
    return `(${name}::text)::${types.get(column)} ${equality[at]} ${name}`;
  });
  return conditions.join(' and ') || 'true';
}

function typesOf({ columns }: Relation): Map<string, string> {
  return new Map(columns.map(({ name, type }) => [name, type]));
}

function keyColumns({ key }: Relation): { json: string; label: string } {
  if (!key) return { json: 'null::text', label: 'null::text' };
  const columns = key.map(quoteIdentifier);
  return {
    json: `json_build_array(${columns.map((column) => `${column}::text`).join(', ')})::text`,
    label: `row(${columns.join(', ')})::text`,
  };
}

const integers = new Set(['smallint', 'integer', 'bigint']);

/** A number of so many bits from the key; a cut of more bits divides the buckets of one of fewer. */
function bucketOf(relation: Relation, hash: Hash, bits: number): string {
  const [column, ...others] = relation.key ?? [];
  // A hash by multiplication costs a fraction of md5, and gives the same on every version.
  if (column !== undefined && others.length === 0 && integers.has(typesOf(relation).get(column) ?? '')) {
    const mixed = `((${quoteIdentifier(column)}::bigint % 2147483647) * 2654435761) & 4294967295`;
    return `((${mixed}) >> ${32 - bits})::int`;
  }
  return bucket(keyHash(relation, hash), bits);
}

/** Up to these bits the wanted buckets are handed over as a bitmap, which costs the same however many they are. */
const bitmapBits = 20;

function narrowedFrom(
  relation: Relation,
  hash: Hash,
  pages: Pages,
  narrowed?: Narrowed,
): { from: string; values: unknown[] } {
  const from = fromSql(relation, pages);
  if (!narrowed) return { from, values: [] };
  const { bits, buckets } = narrowed;
  const isCut = relation.condition ?? pages.lower ?? pages.upper;
  const wanted = `${from} ${isCut ? 'and' : 'where'}`;
  const number = bucketOf(relation, hash, bits);
  return bits > bitmapBits
    ? { from: `${wanted} ${number} = any($1::int[])`, values: [buckets] }
    : { from: `${wanted} get_bit($1::bytea, ${number}) = 1`, values: [bitmapOf(narrowed)] };
}

/** Bit n of a bytea, as get_bit counts them. */
function bitmapOf({ bits, buckets }: Narrowed): Buffer {
  const bitmap = Buffer.alloc(Math.max(1, 2 ** bits / 8));
  for (const at of buckets) bitmap.writeUInt8(bitmap.readUInt8(at >> 3) | (1 << (at & 7)), at >> 3);
  return bitmap;
}
