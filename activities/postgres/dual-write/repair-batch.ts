// Some rows of one table made like the judge's. First the other side's rows are locked, so that no repeated write changes them meanwhile, then
// the judge's, so that what is written is what stands there at that very moment. Rows go from COPY to COPY and are never read here.
import type { Client } from 'pg';
import { DatabaseError } from 'pg';
import { streamRows } from '../copy/copy-stream';
import { quoteIdentifier, quoteLiteral, quoteQualified } from '../identifier';
import { keyedFrom, keyValues } from '../moving/sql';
import type { SubjectSide } from '../moving/subjects';

const staging = 'pg_temp.cutover_repair';

/** A table as it is repaired. */
export interface RepairedTable {
  schema: string;
  name: string;
  /** Of the key, the same on both sides. */
  key: string[];
  /** All that are written: generated ones are not. */
  columns: string[];
  /** Those of them that an UPDATE may set: neither the key nor identities that are always generated. */
  settable: string[];
  judge: SubjectSide;
  other: SubjectSide;
}

export interface BatchResult {
  inserted: number;
  updated: number;
  deleted: number;
}

/** Somebody holds one of the rows, or another row has the same value where there may be only one: another time. */
export function isHeld(error: unknown): boolean {
  return isTaken(error) || (error instanceof DatabaseError && /^(55P03|40P01|40001)$/.test(error.code ?? ''));
}

function isTaken(error: unknown): boolean {
  return error instanceof DatabaseError && /^(23505|23P01)$/.test(error.code ?? '');
}

/**
 * In a transaction on each side, both ended when it comes back.
 * @param ids JSON arrays of text
 * @throws what the driver threw; see `isHeld`
 */
export async function repairBatch(
  judge: Client,
  other: Client,
  table: RepairedTable,
  ids: string[],
): Promise<BatchResult> {
  try {
    await Promise.all([judge.query('begin'), other.query('begin')]);
    const result = await write(judge, other, table, ids);
    await other.query('commit');
    return result;
  } finally {
    // The judge was only locked.
    await Promise.all([judge, other].map((client) => client.query('rollback').catch(() => undefined)));
  }
}

async function write(judge: Client, other: Client, table: RepairedTable, ids: string[]): Promise<BatchResult> {
  const values = keyValues(ids, table.key.length);
  const arrays = values.map((column) => `array[${column.map(quoteLiteral).join(', ')}]::text[]`);
  const locked = await other.query<{ place: string }>(
    `select ctid::text as place ${keyedFrom(table.other)} for update`,
    values,
  );
  // Apart from the COPY, whose failure would cost both sessions.
  await judge.query(`select ${keyedFrom(table.judge)} for no key update`, values);
  const columns = listOf(table.columns);
  const name = quoteQualified(table.schema, table.name);
  await other.query(
    `create temporary table cutover_repair on commit drop as select ${columns} from only ${name} with no data`,
  );
  await streamRows({
    source: judge,
    target: other,
    out: `copy (select ${columns} ${keyedFrom(table.judge, arrays)} for no key update) to stdout`,
    into: `copy ${staging} (${columns}) from stdin`,
  });
  // Only rows that were locked before the judge was asked: a row that has come since was put there by the application.
  const places = locked.rows.map(({ place }) => place);
  const { rowCount: deleted } = await other.query(
    `delete from only ${name} where ctid = any($1::tid[]) and not exists (select from ${staging} as staged where ${matching(table, name)})`,
    [places],
  );
  return { ...(await put(other, table, { name, columns, places })), deleted: deleted ?? 0 };
}

/**
 * Rows are changed in place, so that what refers to them waits for nothing. Where that cannot be (identities that are always generated, values
 * that are unique and have changed places) they are put in anew.
 */
async function put(
  other: Client,
  table: RepairedTable,
  { name, columns, places }: { name: string; columns: string; places: string[] },
): Promise<{ inserted: number; updated: number }> {
  const inPlace = table.settable.length === table.columns.length - table.key.length;
  if (inPlace) {
    await other.query('savepoint put');
    try {
      return await upsert(other, table, name, columns);
    } catch (error) {
      if (!isTaken(error)) throw error;
      await other.query('rollback to savepoint put');
    }
  }
  const { rowCount: removed } = await other.query(`delete from only ${name} where ctid = any($1::tid[])`, [places]);
  const { rowCount: made } = await other.query(
    `insert into ${name} (${columns}) overriding system value select ${columns} from ${staging}
     on conflict (${listOf(table.key)}) do nothing`,
  );
  return { inserted: Math.max(0, (made ?? 0) - (removed ?? 0)), updated: Math.min(removed ?? 0, made ?? 0) };
}

async function upsert(
  other: Client,
  table: RepairedTable,
  name: string,
  columns: string,
): Promise<{ inserted: number; updated: number }> {
  const set = table.settable.map(quoteIdentifier).map((column) => `${column} = excluded.${column}`);
  const { rows } = await other.query<{ inserted: string; updated: string }>(
    `with written as (
       insert into ${name} (${columns}) overriding system value select ${columns} from ${staging}
       on conflict (${listOf(table.key)}) do ${set.length > 0 ? `update set ${set.join(', ')}` : 'nothing'}
       returning xmax = 0 as is_new)
     select count(*) filter (where is_new) as inserted, count(*) filter (where not is_new) as updated from written`,
  );
  return { inserted: Number(rows[0]?.inserted ?? 0), updated: Number(rows[0]?.updated ?? 0) };
}

function matching({ key, other }: RepairedTable, name: string): string {
  return key
    .map((column, at) => `${name}.${quoteIdentifier(column)} ${other.equality[at]} staged.${quoteIdentifier(column)}`)
    .join(' and ');
}

function listOf(columns: string[]): string {
  return columns.map(quoteIdentifier).join(', ');
}
