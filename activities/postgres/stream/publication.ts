// Publications of ours: each names exactly the tables of its stream and the stream's marker table. Partitions are published as leaves,
// under their own names, since they are copied as leaves. A publication must be complete before its slot is made.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientBase } from 'pg';
import { failure } from '../../errors';
import type { Side } from '../errors';
import { quoteIdentifier, quoteQualified } from '../identifier';
import { ledgerSchema } from '../scope';
import type { Stream } from './names';
import { shownName, type TableRef } from './streamed-tables';

/** Each table takes a lock, of which a server has a bounded number for all its transactions. */
const tablesAtOnce = 200;
/** The lock stops maintenance and DDL only, never reads and writes: it may be waited for. */
const lockTimeoutMs = 5_000;
const patienceMs = 5 * 60_000;

export interface PublicationWork {
  side: Side;
  signal?: AbortSignal;
  /** Told after each piece, with how many tables the publication has been given or spared. */
  onProgress?: (tables: number) => void;
}

/**
 * Makes the stream's publication where it is missing, and has it hold exactly these tables and the marker.
 * @throws SchemaChanged when a table is gone; AuthDenied when the role does not own one; NotReadyYet (retryable) when a lock cannot be had
 */
export async function ensurePublication(
  writing: ClientBase,
  stream: Stream,
  tables: TableRef[],
  work: PublicationWork,
): Promise<void> {
  const name = quoteIdentifier(stream.name);
  const marker = { schema: ledgerSchema, name: stream.marker };
  const there = await publishedTables(writing, stream.name);
  if (!there) {
    await writing.query(
      `create publication ${name} for table only ${quoted(marker)} with (publish = 'insert, update, delete, truncate', publish_via_partition_root = false)`,
    );
  }
  const present = new Map((there ?? [marker]).map((table) => [quoted(table), table]));
  const wanted = new Map([...tables, marker].map((table) => [quoted(table), table]));
  const extra = [...present.values()].filter((table) => !wanted.has(quoted(table)));
  const missing = [...wanted.values()].filter((table) => !present.has(quoted(table)));
  let done = wanted.size - missing.length;
  await inPieces(writing, 'drop', name, extra, work, () => undefined);
  await inPieces(writing, 'add', name, missing, work, (count) => work.onProgress?.((done += count)));
}

/** What a publication holds; undefined when there is none of that name. */
export async function publishedTables(client: ClientBase, publication: string): Promise<TableRef[] | undefined> {
  const { rowCount } = await client.query('select from pg_publication where pubname = $1', [publication]);
  if (!rowCount) return undefined;
  const { rows } = await client.query<TableRef>(
    `select n.nspname as schema, c.relname as name
       from pg_publication_rel r join pg_publication p on p.oid = r.prpubid
       join pg_class c on c.oid = r.prrelid join pg_namespace n on n.oid = c.relnamespace
      where p.pubname = $1`,
    [publication],
  );
  return rows;
}

/** Does nothing when it is gone. */
export async function dropPublication(client: ClientBase, publication: string): Promise<void> {
  await client.query(`drop publication if exists ${quoteIdentifier(publication)}`);
}

async function inPieces(
  writing: ClientBase,
  verb: 'add' | 'drop',
  publication: string,
  tables: TableRef[],
  { side, signal }: PublicationWork,
  done: (count: number) => void,
): Promise<void> {
  for (let start = 0; start < tables.length; start += tablesAtOnce) {
    const piece = tables.slice(start, start + tablesAtOnce);
    const list = piece.map((table) => `only ${quoted(table)}`).join(', ');
    await patiently(
      writing,
      side,
      publication,
      piece,
      signal,
      `alter publication ${publication} ${verb} table ${list}`,
    );
    done(piece.length);
  }
}

async function patiently(
  client: ClientBase,
  side: Side,
  publication: string,
  piece: TableRef[],
  signal: AbortSignal | undefined,
  sql: string,
): Promise<void> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    signal?.throwIfAborted();
    try {
      await client.query('begin');
      await client.query(`set local lock_timeout = ${lockTimeoutMs}`);
      await client.query(sql);
      await client.query('commit');
      return;
    } catch (error) {
      await client.query('rollback').catch(() => undefined);
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code === '42P01' || code === '3F000') throw await tableGone(client, side, piece);
      if (code !== '55P03') throw error;
      if (Date.now() > deadline) {
        throw failure(
          'NotReadyYet',
          `The publication ${publication} cannot be changed on the ${side}: one of ${piece.slice(0, 5).map(shownName).join(', ')} and others is locked by maintenance or DDL. It is tried again by itself; let VACUUM, CREATE INDEX or ALTER TABLE end there when that lasts.`,
        );
      }
      await sleep(500, undefined, { signal });
    }
  }
}

async function tableGone(client: ClientBase, side: Side, piece: TableRef[]): Promise<Error> {
  const { rows } = await client.query<{ name: string }>(
    `select schema || '.' || name as name from unnest($1::text[], $2::text[]) as t(schema, name)
     where to_regclass(format('%I.%I', schema, name)) is null limit 20`,
    [piece.map(({ schema }) => schema), piece.map(({ name }) => name)],
  );
  return failure(
    'SchemaChanged',
    `Tables of the plan are gone from the ${side}: ${rows.map(({ name }) => name).join(', ')}. Undo that change of the schema, or roll back and start the migration anew.`,
  );
}

function quoted({ schema, name }: TableRef): string {
  return quoteQualified(schema, name);
}
