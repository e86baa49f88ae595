// One session on each side, opened at the same time: nearly everything about a stream is looked at, or done, on both.
import type { Client } from 'pg';
import type { PostgresConnections } from '../connection';
import { postgresFailure } from '../errors';
import type { WritingSide } from './names';
import type { PostgresScope } from '../scope';
import { Parts } from './parts';

export interface Sides {
  source: Client;
  target: Client;
}

/** A lock that somebody else holds must not hang a step of ours without a word. */
const settings = { lock_timeout: '30s' };

/** Which side an error of the driver came from. */
const cameFrom = new WeakMap<object, WritingSide>();

/** Runs `work` with a session on each side and ends both; `parts` are told how long opening took. Driver errors come out as failures of the closed set, told of the side they came from. */
export async function withSides<Result>(
  connections: PostgresConnections,
  scope: PostgresScope,
  purpose: string,
  signal: AbortSignal | undefined,
  work: (sides: Sides) => Promise<Result>,
  parts = new Parts(),
): Promise<Result> {
  const open = (side: WritingSide): Promise<Client> => openSide(connections, scope, side, purpose, signal);
  const [source, target] = await parts.time('connect', () => Promise.allSettled([open('source'), open('target')]));
  try {
    if (source.status === 'rejected') throw source.reason;
    if (target.status === 'rejected') throw target.reason;
    return await work({ source: source.value, target: target.value });
  } catch (error) {
    signal?.throwIfAborted();
    throw sidedFailure(error, purpose);
  } finally {
    const opened = [source, target].flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    await Promise.allSettled(opened.map((client) => client.end()));
  }
}

/** A session whose errors are known to be of its side; the caller ends it. */
export async function openSide(
  connections: PostgresConnections,
  scope: PostgresScope,
  side: WritingSide,
  purpose: string,
  signal?: AbortSignal,
): Promise<Client> {
  const client = await connections.open(scope[side], { side, purpose, settings, ...(signal && { signal }) });
  const query: unknown = Reflect.get(client, 'query');
  if (typeof query !== 'function') return client;
  const noted = (...values: unknown[]): unknown => {
    const answer: unknown = Reflect.apply(query, client, values);
    if (!(answer instanceof Promise)) return answer;
    return answer.catch((error: unknown) => {
      if (typeof error === 'object' && error !== null) cameFrom.set(error, side);
      throw error;
    });
  };
  Object.defineProperty(client, 'query', { value: noted });
  // The application's own event triggers may refuse DDL, and ours is of no concern to them.
  await client.query(
    `select set_config('session_replication_role', 'replica', false) from pg_roles where rolname = current_user and rolsuper`,
  );
  return client;
}

/** An error of a session of `openSide` as a failure of the closed set; anything else as it is. */
export function sidedFailure(error: unknown, purpose: string): unknown {
  const side = typeof error === 'object' && error !== null ? cameFrom.get(error) : undefined;
  return side === undefined ? error : postgresFailure(error, side, purpose);
}
