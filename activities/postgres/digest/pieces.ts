// The comparison's part of the ledger: what is to be read on each side, in pieces, and what came out. A killed validation goes on
// where it was; another attempt begins anew, since only what was read clean in one attempt is a proof.
import type { Client } from 'pg';
import { cut, tidRangeScanVersion } from '../copy/cut';
import { ledgerSchema } from '../scope';
import { headerOf, type Relation } from './relations';

export type DigestSide = 'source' | 'target';

const pieceBytes = 128 * 1_048_576;
const piecesAtMost = 10_000;
const table = `${ledgerSchema}.digest`;

export const digestDdl = `
create table if not exists ${table} (
  attempt text not null,
  side text not null,
  id int not null,
  schema_name text not null,
  table_name text not null,
  header text not null,
  mode text not null check (mode in ('rows', 'count')),
  lower bigint,
  upper bigint,
  bytes bigint not null,
  rows bigint,
  high numeric,
  low numeric,
  failure text,
  duration_ms bigint,
  primary key (attempt, side, id)
)`;

export interface Piece {
  side: DigestSide;
  id: string;
  schema: string;
  name: string;
  mode: 'rows' | 'count';
  lower: string | null;
  upper: string | null;
  bytes: number;
}

export interface PieceResult {
  rows?: string;
  high?: string | null;
  low?: string | null;
  /** Why it could not be read. */
  failure?: string;
  durationMs: number;
}

export interface SideRelations {
  side: DigestSide;
  relations: Relation[];
  /** `server_version_num` */
  version: number;
}

/** Plans the pieces of both sides, biggest first, unless the attempt has been planned; forgets other attempts. */
export async function planPieces(
  target: Client,
  attempt: string,
  sides: SideRelations[],
  isDigested: (relation: Relation) => boolean,
): Promise<void> {
  await target.query('begin');
  await target.query(`lock table ${table} in exclusive mode`);
  await target.query(`delete from ${table} where attempt <> $1`, [attempt]);
  const { rowCount } = await target.query(`select from ${table} limit 1`);
  if (!rowCount) {
    for (const { side, relations, version } of sides) {
      const total = relations.reduce((sum, { bytes }) => sum + bytes, 0);
      const size = Math.max(pieceBytes, total / piecesAtMost);
      const pieces = [...relations]
        .sort((left, right) => right.bytes - left.bytes)
        .flatMap((relation) =>
          cut(relation, size, version >= tidRangeScanVersion && !relation.condition).map((range) => ({
            schema_name: relation.schema,
            table_name: relation.name,
            header: headerOf(relation),
            mode: isDigested(relation) ? 'rows' : 'count',
            lower: range.lower ?? null,
            upper: range.upper ?? null,
            bytes: range.bytes,
          })),
        )
        .map((piece, index) => ({ id: index + 1, ...piece }));
      await target.query(
        `insert into ${table} (attempt, side, id, schema_name, table_name, header, mode, lower, upper, bytes)
         select $1, $2, id, schema_name, table_name, header, mode, lower, upper, bytes
         from jsonb_to_recordset($3::jsonb) as p(id int, schema_name text, table_name text, header text, mode text, lower bigint, upper bigint, bytes bigint)`,
        [attempt, side, JSON.stringify(pieces)],
      );
    }
  }
  await target.query('commit');
}

/** Biggest first: what is still to be read. */
export async function openPieces(target: Client, attempt: string): Promise<Piece[]> {
  const { rows } = await target.query<Omit<Piece, 'bytes'> & { bytes: string }>(
    `select side, id, schema_name as schema, table_name as name, mode, lower, upper, bytes
     from ${table} where attempt = $1 and rows is null and failure is null order by bytes desc, id`,
    [attempt],
  );
  return rows.map((row) => ({ ...row, bytes: Number(row.bytes) }));
}

/** What was not readable is read again when the attempt goes on. */
export async function forgetFailures(target: Client, attempt: string): Promise<void> {
  await target.query(`update ${table} set failure = null where attempt = $1 and failure is not null`, [attempt]);
}

export async function noteResult(target: Client, attempt: string, piece: Piece, result: PieceResult): Promise<void> {
  await target.query(
    `update ${table} set rows = $4, high = $5, low = $6, failure = $7, duration_ms = $8 where attempt = $1 and side = $2 and id = $3`,
    [attempt, piece.side, piece.id, result.rows, result.high, result.low, result.failure, result.durationMs],
  );
}

/** One table on one side, its pieces added up. */
export interface Total {
  side: DigestSide;
  schema: string;
  name: string;
  header: string;
  mode: 'rows' | 'count';
  rows: string;
  high: string;
  low: string;
  bytes: number;
  failure: string | null;
  durationMs: number;
}

export async function readTotals(target: Client, attempt: string): Promise<Total[]> {
  const { rows } = await target.query<Omit<Total, 'bytes' | 'durationMs'> & { bytes: string; ms: string }>(
    `select side, schema_name as schema, table_name as name, min(header) as header, min(mode) as mode,
       coalesce(sum(rows), 0) as rows, coalesce(sum(high), 0) as high, coalesce(sum(low), 0) as low,
       sum(bytes) as bytes, coalesce(sum(duration_ms), 0) as ms,
       coalesce(min(failure), case when count(*) > count(rows) then 'it was not read to the end' end) as failure
     from ${table} where attempt = $1
     group by side, schema_name, table_name
     order by schema_name collate "C", table_name collate "C", side`,
    [attempt],
  );
  return rows.map(({ bytes, ms, ...row }) => ({ ...row, bytes: Number(bytes), durationMs: Number(ms) }));
}
