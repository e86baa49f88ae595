// One session on each side, opened at the same time: nearly everything about a stream is looked at, or done, on both. They carry the
// migration's key in their names, so that an attempt can end what one before it, whose worker was killed, may still be doing on a server.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, ClientBase } from 'pg';
import { failure } from '../../errors';
import { applicationNamePrefix, type PostgresConnections } from '../connection';
import { postgresFailure } from '../errors';
import { migrationKey, type WritingSide } from './names';
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

/** Runs `work` with a session on each side and ends both. `parts` are given where an application waits: they are told how long opening took. Driver errors come out as failures of the closed set, told of the side they came from. */
export async function withSides<Result>(
  connections: PostgresConnections,
  scope: PostgresScope,
  purpose: string,
  signal: AbortSignal | undefined,
  work: (sides: Sides) => Promise<Result>,
  parts?: Parts,
): Promise<Result> {
  const ahead = parts !== undefined;
  const open = (side: WritingSide): Promise<Client> => openSide(connections, scope, side, purpose, signal, ahead);
  const [source, target] = await (parts ?? new Parts()).time('connect', () =>
    Promise.allSettled([open('source'), open('target')]),
  );
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
  ahead = false,
): Promise<Client> {
  const client = await connections.open(scope[side], {
    side,
    ahead,
    purpose: `${purpose} ${migrationKey(scope.migration)}`,
    settings,
    ...(signal && { signal }),
  });
  rememberSide(client, side);
  try {
    // The application's own event triggers may refuse DDL, and ours is of no concern to them.
    await client.query(
      `select set_config('session_replication_role', 'replica', false) from pg_roles where rolname = current_user and rolsuper`,
    );
    return client;
  } catch (error) {
    await client.end().catch(() => undefined);
    throw sidedFailure(error, purpose);
  }
}

/** Has `sidedFailure` know which side an error of this session came from. */
export function rememberSide(client: Client, side: WritingSide): void {
  const query: unknown = Reflect.get(client, 'query');
  if (typeof query !== 'function') return;
  const noted = (...values: unknown[]): unknown => {
    const answer: unknown = Reflect.apply(query, client, values);
    if (!(answer instanceof Promise)) return answer;
    return answer.catch((error: unknown) => {
      if (typeof error === 'object' && error !== null) cameFrom.set(error, side);
      throw error;
    });
  };
  Object.defineProperty(client, 'query', { value: noted, configurable: true });
}

/** An error of a session that `rememberSide` has seen, as a failure of the closed set; anything else as it is. */
export function sidedFailure(error: unknown, purpose: string): unknown {
  const side = typeof error === 'object' && error !== null ? cameFrom.get(error) : undefined;
  return side === undefined ? error : postgresFailure(error, side, purpose);
}

const endsWithinMs = 10_000;

/**
 * Ends sessions of `openSide` that work for this key and for one of these purposes (any, when none is given), other than the caller's own,
 * and waits until they are gone: what was killed half-way must not go on behind the back of whoever takes over.
 * @throws NotReadyYet (retryable)
 */
export async function endFormerAttempts(
  client: ClientBase,
  side: WritingSide,
  key: string,
  purposes: string[] = [],
  signal?: AbortSignal,
): Promise<void> {
  const deadline = Date.now() + endsWithinMs;
  for (;;) {
    const { rows } = await client.query<{ pid: string }>(
      `select pid, pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and usename = current_user and pid <> pg_backend_pid()
          and (application_name = any ($1) or (cardinality($1) = 0 and application_name like $2))`,
      [purposes.map((purpose) => `${applicationNamePrefix} ${purpose} ${key}`), `${applicationNamePrefix} % ${key}`],
    );
    if (rows.length === 0) return;
    if (Date.now() > deadline) {
      throw failure(
        'NotReadyYet',
        `Sessions of an earlier attempt on the ${side} have not ended (process ${rows.map(({ pid }) => pid).join(', ')}). It is tried again by itself; end them by hand when that lasts.`,
      );
    }
    await sleep(3, undefined, { signal });
  }
}
