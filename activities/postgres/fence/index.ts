// The fence: after it is up and proved, nobody but us writes to one database, until it is lowered again.
// Measured: a read-only default alone stops nobody; connection limit 0 keeps ordinary roles out and lets replication go on.
import type { Client } from 'pg';
import type { PostgresDependencies } from '../../dependencies';
import { failure } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import type { PostgresScope } from '../scope';
import { loweringSql, raisingSql, readAccess, type FenceMark, type FormerAccess } from './former';
import { lookForWriters, readCounters, type WriteCounters } from './silence';
import { awaitEntering, awaitNoPrepared, endRaisers, endSessions, findHoles, raisingPurpose } from './sessions';

export type { FormerAccess, FenceMark } from './former';
export type { WriteCounters } from './silence';
export { fenceSetting, loweringSql } from './former';

export interface FenceRequest {
  scope: PostgresScope;
  side: 'source' | 'target';
}

export interface FenceRaised {
  endedSessions: number;
  /** Ways in that stay open: superusers, programs inside the server. One line each. */
  holes: string[];
  /** From here on nobody new comes in; ISO 8601. */
  raisedAt: string;
  durationMs: number;
  /** For `proveSilence`: nothing may change after these. */
  counters: WriteCounters;
}

const preparedWaitMs = 2_000;
const sessionsWaitMs = 20_000;
/** Below the heartbeat timeout of the activity (10 s), before which nobody gives an attempt up and undoes its fence. */
const closeWithinMs = 9_000;
const settings = { statement_timeout: '30s', lock_timeout: '10s' };

/** Activities that raise, prove and lower the fence on either side. All are idempotent and look before they act. */
export function createFenceActivities({ connections }: PostgresDependencies) {
  function within<Result>(
    request: FenceRequest,
    purpose: string,
    work: (session: Client, signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const { scope, side } = request;
    return withHeartbeat(purpose, ({ signal }) =>
      connections.withSession(scope[side], { side, purpose, signal, settings }, (session) => work(session, signal)),
    );
  }

  return {
    /**
     * What the fence will change, as it is without the fence; while our fence is up, as it was before. Changes nothing.
     * @throws AuthDenied when the role is neither superuser nor owner; TargetConflict when another migration has fenced the database
     */
    inspectAccess: (request: FenceRequest): Promise<FormerAccess> =>
      within(request, 'fence inspection', async (session) => {
        const { now, mark } = await readAccess(session, request.side);
        return ours(mark, request)?.former ?? now;
      }),

    /** Whether the database is fenced, and by which migration. */
    fenceIsUp: (request: FenceRequest): Promise<{ up: boolean; migration?: string; raisedAt?: string }> =>
      within(request, 'fence inspection', async (session) => {
        const { mark } = await readAccess(session, request.side);
        return mark ? { up: true, migration: mark.migration, raisedAt: mark.raisedAt } : { up: false };
      }),

    /**
     * Closes the door, ends all sessions of others, waits for prepared transactions.
     * @throws PreconditionFailed for prepared transactions that stay; AuthDenied; TargetConflict for another migration's fence; NotReadyYet (retryable)
     */
    raiseFence: (request: FenceRequest & { former: FormerAccess }): Promise<FenceRaised> => {
      const started = Date.now();
      return within(request, raisingPurpose, async (session, signal) => {
        const { side, scope, former } = request;
        const mark =
          ours((await readAccess(session, side)).mark, request) ??
          (await close(session, { migration: scope.migration, former }, request, () => {
            signal.throwIfAborted();
            requireInTime(started, request);
          }));
        await awaitEntering(session, side, sessionsWaitMs, signal);
        const endedSessions = await endSessions(session, side, sessionsWaitMs, signal);
        await awaitNoPrepared(session, side, preparedWaitMs, signal);
        const counters = await readCounters(session, signal);
        const durationMs = Date.now() - started;
        return {
          endedSessions,
          holes: await findHoles(session, former),
          raisedAt: mark.raisedAt,
          durationMs,
          counters,
        };
      });
    },

    /**
     * Shows that nobody writes: two looks and a marker in the WAL. With `since`, also that nothing changed from that moment on.
     * @throws VerificationMismatch with who broke the silence; PreconditionFailed when our fence is not up
     */
    proveSilence: (
      request: FenceRequest & { former: FormerAccess; since?: WriteCounters },
    ): Promise<{ evidence: string[]; lsn: string; provedAt: string }> =>
      within(request, 'silence proof', async (session, signal) => {
        const { scope, side, former, since } = request;
        const { now, mark } = await readAccess(session, side);
        const stands = former.mechanism === 'connection-limit' ? now.connectionLimit === 0 : now.grants.length === 0;
        if (!ours(mark, request) || !stands) {
          throw failure(
            'PreconditionFailed',
            `The fence on ${former.database} of the ${side} is not up: somebody has taken it away, or it was never raised. Raise it again before its silence is proved.`,
          );
        }
        const proof = await lookForWriters(session, { side, migration: scope.migration, former, since, signal });
        return { ...proof, provedAt: new Date().toISOString() };
      }),

    /** Puts back exactly what was before; when our fence is not up, only ends attempts to raise it that are still there. @throws SourceUnavailable, TargetUnavailable (retryable) */
    lowerFence: (request: FenceRequest & { former: FormerAccess }): Promise<{ lowered: boolean }> =>
      within(request, 'fence removal', async (session, signal) => {
        await endRaisers(session, request.side, sessionsWaitMs, signal);
        return serialized(session, async () => {
          const { mark } = await readAccess(session, request.side);
          if (mark?.migration !== request.scope.migration) return { lowered: false };
          for (const statement of loweringSql(request.former)) await session.query(statement);
          return { lowered: true };
        });
      }),
  };
}

export type FenceActivities = ReturnType<typeof createFenceActivities>;

/**
 * One transaction for mark and barrier: a worker killed half-way leaves either no fence or one that says what it is.
 * @param stillWanted throws when the attempt may have been given up, so that one that wakes after the undo closes nothing
 */
async function close(
  session: Client,
  { migration, former }: { migration: string; former: FormerAccess },
  request: FenceRequest,
  stillWanted: () => void,
): Promise<FenceMark> {
  await awaitNoPrepared(session, request.side, preparedWaitMs);
  return serialized(session, async () => {
    const existing = ours((await readAccess(session, request.side)).mark, request);
    if (existing) return existing;
    const mark = { migration, raisedAt: new Date().toISOString(), former };
    for (const statement of raisingSql(mark)) await session.query(statement);
    // Up to the commit this session is there for `lowerFence` to end; one that begins after it is too late here.
    stillWanted();
    return mark;
  });
}

async function serialized<Result>(session: Client, work: () => Promise<Result>): Promise<Result> {
  await session.query('begin');
  try {
    await session.query(`select pg_advisory_xact_lock(hashtextextended('cutover fence', 0))`);
    const result = await work();
    await session.query('commit');
    return result;
  } catch (error) {
    await session.query('rollback').catch(() => undefined);
    throw error;
  }
}

function requireInTime(started: number, { side }: FenceRequest): void {
  const ms = Date.now() - started;
  if (ms <= closeWithinMs) return;
  throw failure(
    'NotReadyYet',
    `The fence on the ${side} was not raised within ${closeWithinMs} ms but after ${ms} ms, and may have been given up meanwhile: nothing was changed. It is tried again by itself; look at the locks on the ${side} when that lasts.`,
  );
}

function ours(mark: FenceMark | undefined, { scope, side }: FenceRequest): FenceMark | undefined {
  if (mark && mark.migration !== scope.migration) {
    throw failure(
      'TargetConflict',
      `The database ${mark.former.database} of the ${side} is fenced by the migration "${mark.migration}" since ${mark.raisedAt}. Let that one end, or lower its fence by hand: ${loweringSql(mark.former).join('; ')}.`,
    );
  }
  return mark;
}
