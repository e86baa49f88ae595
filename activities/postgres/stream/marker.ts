// The marker of a stream: one row of a table of our own on both sides. A new value written on the writing side and seen on the other
// proves that everything committed before it has been applied; an LSN distance proves nothing. The row counts up, so that any number
// of callers may use it at once: whoever sees its own number or a later one has been passed.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientBase } from 'pg';
import { failure } from '../../errors';
import { quoteLiteral, quoteQualified } from '../identifier';
import { ledgerSchema } from '../scope';
import type { Stream } from './names';

/** Comment of the schema where a migration made it on its source; a ledger (on targets) has another one. */
export const markerSchemaComment = 'Markers of streaming migrations, by their keys; each removes its own at its end';

/** Quoted name of the stream's marker table, the same on both sides. */
export function markerTable(stream: Stream): string {
  return quoteQualified(ledgerSchema, stream.marker);
}

/**
 * Makes the stream's marker table, and the schema it is in, where they are missing; for either side, before the publication takes it in.
 * The row is made together with the table, so that it is there on both sides and only ever updated through the stream.
 */
export async function ensureMarker(client: ClientBase, stream: Stream): Promise<void> {
  const { rows } = await client.query<{ there: string | null }>('select to_regclass($1)::text as there', [
    markerTable(stream),
  ]);
  if (rows[0]?.there) return;
  await client.query('begin');
  try {
    // Two that make the schema at once would fail on each other; the ledger is made under the same lock.
    await client.query(`select pg_advisory_xact_lock(hashtextextended('${ledgerSchema} ledger', 0))`);
    const schema = await client.query(`select from pg_namespace where nspname = '${ledgerSchema}'`);
    if (schema.rowCount === 0) {
      await client.query(`create schema ${ledgerSchema}`);
      await client.query(`comment on schema ${ledgerSchema} is ${quoteLiteral(markerSchemaComment)}`);
    }
    const there = await client.query<{ there: string | null }>('select to_regclass($1)::text as there', [
      markerTable(stream),
    ]);
    if (!there.rows[0]?.there) {
      await client.query(
        `create table ${markerTable(stream)} (only_row boolean primary key default true check (only_row), passed bigint not null)`,
      );
      await client.query(`insert into ${markerTable(stream)} (passed) values (0)`);
    }
    await client.query('commit');
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}

/** Counts the markers of these streams up, in one durable transaction, and gives their new values in the order of the streams. */
export async function writeMarkers(from: ClientBase, streams: Stream[]): Promise<bigint[]> {
  if (streams.length === 0) return [];
  // Always in the same order, so that two who write at once cannot lock each other out.
  const updates = streams
    .map((stream, index) => ({ stream, index }))
    .sort((a, b) => (a.stream.name < b.stream.name ? -1 : 1))
    .map(
      ({ stream, index }) => `m${index} as (update ${markerTable(stream)} set passed = passed + 1 returning passed)`,
    );
  const values = streams.map((_, index) => `(select passed from m${index})::text as m${index}`);
  // Streams only see what is on disk: a writing side with synchronous_commit off would keep the marker back.
  const { rows } = await from.query<Record<string, string | null>>(
    `with ${updates.join(', ')} select ${values.join(', ')}, set_config('synchronous_commit', 'local', true) as durable`,
  );
  return streams.map((stream, index) => numberOf(rows[0]?.[`m${index}`], stream));
}

/** The markers of these streams as this side has them, in the order of the streams. */
export async function readMarkers(client: ClientBase, streams: Stream[]): Promise<bigint[]> {
  if (streams.length === 0) return [];
  const values = streams.map((stream, index) => `(select passed from ${markerTable(stream)})::text as m${index}`);
  const { rows } = await client.query<Record<string, string | null>>(`select ${values.join(', ')}`);
  return streams.map((stream, index) => numberOf(rows[0]?.[`m${index}`], stream));
}

export async function writeMarker(from: ClientBase, stream: Stream): Promise<bigint> {
  const [written] = await writeMarkers(from, [stream]);
  return written ?? 0n;
}

export async function readMarker(client: ClientBase, stream: Stream): Promise<bigint> {
  const [read] = await readMarkers(client, [stream]);
  return read ?? 0n;
}

function numberOf(value: string | null | undefined, stream: Stream): bigint {
  if (value !== null && value !== undefined) return BigInt(value);
  throw failure(
    'PreconditionFailed',
    `The marker of the stream ${stream.name} has lost its row. Somebody has written to ${markerTable(stream)}; roll the migration back and start it again.`,
  );
}

const eagerMs = 200;

/**
 * Writes a new marker into each stream on the side that writes (`from`) and waits until the other side (`to`) has them all: everything
 * committed on the writing side before the call is then visible on the other. Sessions of ours pass the fence.
 * @returns milliseconds from the commit of the markers until the last of them was seen
 * @throws NotReadyYet (retryable) when they are not all seen after `timeoutMs`
 */
export async function passMarker(
  from: ClientBase,
  to: ClientBase,
  streams: Stream[],
  { signal, timeoutMs }: { signal?: AbortSignal; timeoutMs: number },
): Promise<{ ms: number }> {
  const written = await writeMarkers(from, streams);
  const started = performance.now();
  let waiting = streams.map((stream, index) => ({ stream, number: written[index] ?? 0n }));
  for (;;) {
    const seen = await readMarkers(
      to,
      waiting.map(({ stream }) => stream),
    );
    waiting = waiting.filter(({ number }, index) => (seen[index] ?? 0n) < number);
    const ms = performance.now() - started;
    if (waiting.length === 0) return { ms: Math.round(ms * 10) / 10 };
    if (ms > timeoutMs) {
      throw failure(
        'NotReadyYet',
        `A marker was not through ${waiting.map(({ stream }) => stream.name).join(', ')} after ${timeoutMs} ms. It is tried again by itself; look at pg_stat_subscription and the log of the ${waiting[0]?.stream.to ?? 'other side'} when that lasts.`,
      );
    }
    signal?.throwIfAborted();
    await sleep(ms < eagerMs ? 3 : 25, undefined, { signal });
  }
}
