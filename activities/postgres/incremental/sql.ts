// The SQL of a pass: sums of buckets with the number of changed rows among them, rows on their way, and what is taken out of the
// target. Everything is literal text, since COPY takes no bound values.
import { fromSql, type Pages } from '../digest/row-digest';
import type { Relation } from '../digest/relations';
import { quoteIdentifier, quoteLiteral, quoteQualified } from '../identifier';
import { bucketOfNumber, keyNumber, rowNumber, type Hashing } from './hashing';

/** Rows on their way into the target's table, and keys that the source has: temporary tables, gone with the transaction. */
export const stage = { schema: 'pg_temp', name: 'cutover_stage' } as const;
export const keys = { schema: 'pg_temp', name: 'cutover_keys' } as const;

export interface Buckets {
  bits: number;
  buckets: number[];
}

/** One row for each bucket that holds rows. */
export interface SumRow {
  bucket: string;
  rows: string;
  sum: string;
  /** Rows for which the condition holds. */
  changed: string;
}

/** Of rows with their number `k` by key and `h` by what is compared. */
const sums = (bits: number, changed: string): string =>
  `select ${bucketOfNumber('k', bits)} as bucket, count(*) as rows, sum(h) as sum, ${changed} as changed`;

function numbers(relation: Relation, hashing: Hashing): string {
  const key = keyNumber(relation, hashing);
  const isKeyOnly = relation.columns.length === relation.key?.length;
  return `${key} as k, ${isKeyOnly ? key : rowNumber(relation, hashing)} as h`;
}

/** `from only … where …`, of the pages and with all the conditions. */
export function whereSql(relation: Relation, pages: Pages, conditions: (string | undefined)[] = []): string {
  const from = fromSql(relation, pages);
  const more = conditions.filter((condition) => condition !== undefined).map((condition) => `(${condition})`);
  if (more.length === 0) return from;
  const isCut = Boolean(relation.condition ?? pages.lower ?? pages.upper);
  return `${from} ${isCut ? 'and' : 'where'} ${more.join(' and ')}`;
}

/** Sums of the columns of `relation`, of 2^bits buckets by its key or, without one, by its row. */
export function sumsSql(
  relation: Relation,
  {
    hashing,
    bits,
    pages = {},
    changed,
    within,
  }: { hashing: Hashing; bits: number; pages?: Pages; changed?: string; within?: string },
): string {
  return `${sums(bits, changed ? 'count(*) filter (where c)' : '0')}
    from (select ${numbers(relation, hashing)}${changed ? `, ${changed} as c` : ''}
      ${whereSql(relation, pages, [within])} offset 0) as hashed group by 1`;
}

/** Deletes rows and gives the sums of what is gone. */
export function deleteSql(relation: Relation, hashing: Hashing, bits: number, condition: string): string {
  return `with gone as (delete ${whereSql(relation, {}, [condition])} returning ${numbers(relation, hashing)})
    ${sums(bits, '0')} from gone group by 1`;
}

/** Up to these bits the wanted buckets are handed over as a bitmap, which costs the same however many they are. */
const bitmapBits = 20;

/** Whether a row is in one of the buckets. */
export function inBuckets(relation: Relation, hashing: Hashing, { bits, buckets }: Buckets): string {
  const number = bucketOfNumber(keyNumber(relation, hashing), bits);
  if (bits > bitmapBits) return `${number} = any('{${buckets.join(',')}}'::int[])`;
  const bitmap = Buffer.alloc(Math.max(1, 2 ** bits / 8));
  for (const at of buckets) bitmap.writeUInt8(bitmap.readUInt8(at >> 3) | (1 << (at & 7)), at >> 3);
  return `get_bit(decode('${bitmap.toString('hex')}', 'hex'), ${number}) = 1`;
}

/** Whether a row's key is among those of the other table, by the equality that its index has. */
export function keyIn(relation: Relation, equality: string[], other: { schema: string; name: string }): string {
  const own = quoteQualified(relation.schema, relation.name);
  const matches = (relation.key ?? []).map(
    (column, at) => `other.${quoteIdentifier(column)} ${equality[at]} ${own}.${quoteIdentifier(column)}`,
  );
  return `exists (select from ${quoteQualified(other.schema, other.name)} as other where ${matches.join(' and ')})`;
}

/**
 * Whether a row of the buckets is the same, as text, as the staged row of its key. Of several that are, one: a row that was copied twice
 * before there was an index is there twice.
 */
export function isSameAsStaged(relation: Relation, equality: string[], within: string): string {
  const own = quoteQualified(relation.schema, relation.name);
  const names = (relation.key ?? []).map(quoteIdentifier);
  const matches = names.map((name, at) => `staged.${name} ${equality[at]} own.${name}`);
  const text = (alias: string): string =>
    `row(${relation.columns.map(({ name }) => `${alias}.${quoteIdentifier(name)}`).join(', ')})::text collate "C"`;
  return `exists (select from (
      select distinct on (${names.map((name) => `own.${name}`).join(', ')}) own.ctid as at
      from (select *, ctid ${whereSql(relation, {}, [within])}) as own
      join ${quoteQualified(stage.schema, stage.name)} as staged on ${matches.join(' and ')} and ${text('staged')} = ${text('own')}) as kept where kept.at = ${own}.ctid)`;
}

/** `copy … to stdout` of columns of rows of the source. */
export function copyRowsSql(
  relation: Relation,
  columns: string[],
  format: 'binary' | 'text',
  pages: Pages,
  condition: string,
): string {
  const names = columns.map(quoteIdentifier).join(', ');
  return `copy (select ${names} ${whereSql(relation, pages, [condition])}) to stdout (format ${format})`;
}

/** A temporary table with these columns of the target's table, empty. */
export function createTempSql(
  name: { schema: string; name: string },
  like: { schema: string; name: string },
  columns: string[],
): string {
  return `create temporary table ${quoteIdentifier(name.name)} on commit drop as
    select ${columns.map(quoteIdentifier).join(', ')} from only ${quoteQualified(like.schema, like.name)} with no data`;
}

/** Generated columns are computed anew; identities keep the value that the source gave. */
export function insertStagedSql(table: { schema: string; name: string }, columns: string[]): string {
  const names = columns.map(quoteIdentifier).join(', ');
  const into = quoteQualified(table.schema, table.name);
  const from = `from ${quoteQualified(stage.schema, stage.name)}`;
  return columns.length === 0
    ? `insert into ${into} select ${from}`
    : `insert into ${into} (${names}) overriding system value select ${names} ${from}`;
}

/**
 * Rows younger than the mark, or as old. Ages are right across the wrap of transaction numbers. Freezing leaves `xmin` as it was, so that rows of
 * more than 2^31 transactions ago seem to lie ahead: half of an old table, in every pass. Whatever the snapshot sees is at least 1 old.
 */
export function youngerSql(age: number): string {
  return `age(xmin) between 0 and ${age}`;
}

const zoned = /^timestamp(\(\d\))? with time zone$/;
const unzoned = /^timestamp(\(\d\))? without time zone$/;

/** Whether a column of this type can say when a row was changed. */
export function isUpdateColumn(type: string): boolean {
  return zoned.test(type) || unzoned.test(type) || type === 'date';
}

/**
 * Rows whose column is not older than the moment less the overlap, and a second for columns that round. Without a time zone nobody says
 * whose clock it is: it may be twelve hours behind that of the server.
 */
export function updatedSql(column: string, type: string, since: string, overlapMs: number): string {
  const from = `${quoteLiteral(since)}::timestamptz - ${quoteLiteral(`${overlapMs + 1_000} milliseconds`)}::interval`;
  const name = quoteIdentifier(column);
  if (zoned.test(type)) return `${name} >= ${from}`;
  const local = `(${from}) at time zone 'UTC' - '12 hours'::interval`;
  return type === 'date' ? `${name} >= (${local})::date` : `${name} >= ${local}`;
}
