// The proof's part of the ledger: which pieces of the transformed tables are to be compared in an attempt, and what came out.
import type { Client } from 'pg';
import { tableOf, type Transformation } from '../../../plan/transformations';
import { cut, tidRangeScanVersion } from '../copy/cut';
import { versionOf } from '../digest';
import { quoteQualified } from '../identifier';
import { ledgerSchema } from '../scope';
import type { PieceResult } from './piece';

const megabyte = 1_048_576;
const pieces = `${ledgerSchema}.transformed_piece`;

const piecesDdl = `
create table if not exists ${pieces} (
  attempt text not null,
  id int not null,
  schema_name text not null,
  table_name text not null,
  lower bigint,
  upper bigint,
  bytes bigint not null,
  filenode text,
  result jsonb,
  primary key (attempt, id)
);
alter table ${pieces} add column if not exists filenode text`;

/** For another copy: what was compared before is a proof of nothing then. */
export const forgetPiecesSql = `drop table if exists ${pieces}`;

export interface OpenPiece {
  id: string;
  schema: string;
  name: string;
  lower: string | null;
  upper: string | null;
}

/**
 * Cuts the tables as the source has them now. An attempt that was begun keeps its pieces, but for tables that were rewritten since: page ranges
 * are of one file, and in another one rows are elsewhere. Call it when no table can be rewritten any more.
 */
export async function planPieces(
  source: Client,
  target: Client,
  {
    attempt,
    transformations,
    chunkMegabytes,
  }: { attempt: string; transformations: Transformation[]; chunkMegabytes: number },
): Promise<void> {
  const divisible = (await versionOf(source)) >= tidRangeScanVersion;
  const { rows } = await source.query<{ bytes: string; pages: string; filenode: string }>(
    `select pg_table_size(name::regclass) as bytes, pg_relation_filenode(name::regclass) as filenode,
       pg_relation_size(name::regclass) / current_setting('block_size')::int as pages
     from unnest($1::text[]) with ordinality as wanted(name, position) order by position`,
    [transformations.map(tableOf).map(({ schema, name }) => quoteQualified(schema, name))],
  );
  await target.query(piecesDdl);
  const planned = transformations.flatMap((transformation, index) => {
    const { schema, name } = tableOf(transformation);
    const size = { bytes: Number(rows[index]?.bytes), pages: Number(rows[index]?.pages) };
    return cut(size, chunkMegabytes * megabyte, divisible).map(({ lower, upper, bytes }) => ({
      schema,
      name,
      lower: lower ?? null,
      upper: upper ?? null,
      bytes,
      filenode: rows[index]?.filenode ?? null,
    }));
  });
  const wanted = `jsonb_to_recordset($2::jsonb) as p(schema text, name text, lower bigint, upper bigint, bytes bigint, filenode text)`;
  const parameters = [attempt, JSON.stringify(planned)];
  await target.query(
    `delete from ${pieces} as old where attempt = $1 and not exists (
       select from ${wanted} where p.schema = schema_name and p.name = table_name and p.filenode = old.filenode)`,
    parameters,
  );
  await target.query(
    `insert into ${pieces} (attempt, id, schema_name, table_name, lower, upper, bytes, filenode)
     select $1, (select coalesce(max(id), 0) from ${pieces} where attempt = $1) + row_number() over (), schema, name, lower, upper, bytes, filenode
     from ${wanted}
     where not exists (select from ${pieces} where attempt = $1 and schema_name = p.schema and table_name = p.name)
     on conflict do nothing`,
    parameters,
  );
}

/** Those without a result, and those that could not be read; biggest first. */
export async function openPieces(target: Client, attempt: string): Promise<OpenPiece[]> {
  const { rows } = await target.query<OpenPiece>(
    `select id, schema_name as schema, table_name as name, lower, upper from ${pieces}
     where attempt = $1 and (result is null or result ? 'failure') order by bytes desc, id`,
    [attempt],
  );
  return rows;
}

export async function notePiece(target: Client, attempt: string, id: string, result: PieceResult): Promise<void> {
  await target.query(`update ${pieces} set result = $3::jsonb where attempt = $1 and id = $2`, [
    attempt,
    id,
    JSON.stringify(result),
  ]);
}

export async function readResults(
  target: Client,
  attempt: string,
  { schema, name }: { schema: string; name: string },
): Promise<{ results: PieceResult[]; bytes: number }> {
  const { rows } = await target.query<{ result: string | null; bytes: string }>(
    `select result::text as result, bytes from ${pieces} where attempt = $1 and schema_name = $2 and table_name = $3 order by id`,
    [attempt, schema, name],
  );
  return {
    results: rows.map(({ result }) => {
      if (result === null) throw new Error(`a piece of ${schema}.${name} was not compared`);
      // Written by notePiece alone.
      return JSON.parse(result) as PieceResult;
    }),
    bytes: rows.reduce((sum, row) => sum + Number(row.bytes), 0),
  };
}
