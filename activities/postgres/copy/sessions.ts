// The sessions a copy runs in: set up so that nothing fires on the target, marked by a lock so that every last one can be found
// and ended, and known to be gone before anybody undoes their work.
import { setTimeout as sleep } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import type { Client, ClientBase } from 'pg';
import { failure } from '../../errors';
import type { ConnectionReference } from '../../../plan/reference';
import { applicationNamePrefix, type PostgresConnections } from '../connection';
import type { Side } from '../errors';
import type { PostgresScope } from '../scope';
import { valueSettings } from './copy-format';
import { cut } from './copy-stream';
import { readTuning, type CopyTuning } from './settings';

/** Session-level advisory lock, shared, held by every session on the target that copies: "cutover copy". */
const copyLock = { classid: 1_668_641_906, objid: 1 } as const;
const pollMs = 25;
const goneWithinMs = 10_000;

/** Opens a session on the target that copies rows. @throws AuthDenied when triggers cannot be kept from firing; PreconditionFailed when the copy was stopped */
async function openCopyTarget(
  connections: PostgresConnections,
  scope: PostgresScope,
  purpose: string,
): Promise<Client> {
  const target = await connections.open(scope.target, {
    side: 'target',
    purpose,
    settings: { ...valueSettings, synchronous_commit: 'off' },
  });
  try {
    await target.query('set session_replication_role = replica').catch(() => undefined);
    const { rows } = await target.query<{ role: string }>(`select current_setting('session_replication_role') as role`);
    if (rows[0]?.role !== 'replica') {
      throw failure(
        'AuthDenied',
        'Triggers on the target cannot be kept from firing: session_replication_role was not accepted. Grant it (GRANT SET ON PARAMETER session_replication_role TO the role of the connection) or connect as a superuser.',
      );
    }
    await target.query(`select pg_advisory_lock_shared(${copyLock.classid}, ${copyLock.objid})`);
    requireNotStopped(await readTuning(target));
    return target;
  } catch (error) {
    await target.end().catch(() => undefined);
    throw error;
  }
}

/** Opens a session on the source that only reads. */
function openCopySource(connections: PostgresConnections, scope: PostgresScope, purpose: string): Promise<Client> {
  const settings = { ...valueSettings, default_transaction_read_only: 'on' };
  return connections.open(scope.source, { side: 'source', purpose, settings });
}

/** A session that came too late for `stopCopy` to see must not copy. @throws PreconditionFailed */
export function requireNotStopped({ stopped }: CopyTuning): void {
  if (!stopped) return;
  throw failure(
    'PreconditionFailed',
    'The copy was stopped, because the migration is being undone. Plan the copy again before copying.',
  );
}

/** Ends every other session on this database that holds the copy's lock; one round. Gives the backends it found. */
export async function endCopySessions(target: ClientBase): Promise<string[]> {
  const { rows } = await target.query<{ pid: string }>(
    `select pid, pg_terminate_backend(pid) from pg_locks
     where locktype = 'advisory' and classid = $1 and objid = $2 and objsubid = 2 and pid <> pg_backend_pid()
       and database = (select oid from pg_database where datname = current_database())`,
    [copyLock.classid, copyLock.objid],
  );
  return rows.map(({ pid }) => pid);
}

/** Ends sessions of earlier attempts of the same activity and waits for it: their worker is thought dead, and they hold a chunk. */
export async function endEarlierAttempts(target: ClientBase, purposePrefix: string): Promise<void> {
  const deadline = Date.now() + goneWithinMs;
  for (;;) {
    const { rowCount } = await target.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid() and starts_with(application_name, $1)`,
      [`${applicationNamePrefix} ${purposePrefix}`],
    );
    if (!rowCount || Date.now() > deadline) return;
    await sleep(pollMs);
  }
}

/** What the sessions of a lane are for: the activity's attempt is part of the name, so that a later attempt can find those of an earlier one. */
export function namesOfAttempt(plain: string): { purpose: string; earlier?: string } {
  try {
    const { activityId, attempt } = Context.current().info;
    const activity = `${plain} (${activityId.slice(0, 16)}.`;
    return { purpose: `${activity}${attempt})`, ...(attempt > 1 ? { earlier: activity } : {}) };
  } catch {
    return { purpose: plain };
  }
}

/** What a pair of copying sessions is opened for. */
export interface CopySessions {
  scope: PostgresScope;
  /** As in pg_stat_activity, the same on both sides. */
  purpose: string;
  signal: AbortSignal;
}

/**
 * Runs `work` with a session on each side. When it fails or is cancelled it comes back only after both backends are gone, so that
 * whatever was not committed is rolled back by then. Errors of the work pass untouched; a cancellation takes precedence.
 */
export async function withCopySessions<Result>(
  connections: PostgresConnections,
  { scope, purpose, signal }: CopySessions,
  work: (source: Client, target: Client) => Promise<Result>,
): Promise<Result> {
  signal.throwIfAborted();
  const sessions: { client: Client; backend: Backend }[] = [];
  const stop = (): void => {
    for (const { client } of sessions) cut(client);
  };
  const opened = (client: Client, reference: ConnectionReference, side: Side): Client => {
    const { processID: pid } = client as unknown as { processID: number };
    sessions.push({ client, backend: { reference, side, purpose, pid } });
    if (signal.aborted) cut(client);
    return client;
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    const target = opened(await openCopyTarget(connections, scope, purpose), scope.target, 'target');
    const source = opened(await openCopySource(connections, scope, purpose), scope.source, 'source');
    const result = await work(source, target);
    await Promise.all(sessions.map(({ client }) => client.end().catch(() => undefined)));
    return result;
  } catch (error) {
    stop();
    await Promise.all(sessions.map(({ backend }) => ensureGone(connections, backend)));
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

interface Backend {
  reference: ConnectionReference;
  side: Side;
  purpose: string;
  pid: number;
}

/** Ends the backend and waits until it is gone. A server that cannot be reached has none that matters. */
async function ensureGone(connections: PostgresConnections, backend: Backend): Promise<void> {
  const { reference, side, purpose, pid } = backend;
  const deadline = Date.now() + goneWithinMs;
  try {
    await connections.withSession(reference, { side, purpose: 'end copy', connectTimeoutMs: 5_000 }, async (client) => {
      for (;;) {
        const { rowCount } = await client.query(
          'select pg_terminate_backend(pid) from pg_stat_activity where pid = $1 and application_name = $2',
          [pid, `${applicationNamePrefix} ${purpose}`],
        );
        if (!rowCount || Date.now() > deadline) return;
        await sleep(pollMs);
      }
    });
  } catch {
    // Told by the failure that brought us here.
  }
}
