// The fence: after it is up and proved, nobody but us writes to one database, until it is lowered again.
// Measured: a read-only default alone stops nobody; connection limit 0 keeps ordinary roles out and lets replication go on.
import type { Client } from 'pg';
import type { PostgresDependencies } from '../../dependencies';
import { failure } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import type { PostgresScope } from '../scope';
import { closeDoor, requireOurs, serialized, serverTime, type FenceOwner } from './door';
import { barrierStands, loweringSql, readAccess, type FormerAccess } from './former';
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
      connections.withSession(scope[side], { side, purpose, signal, settings, ahead: true }, (session) =>
        work(session, signal),
      ),
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
        return requireOurs(mark, ownerOf(request))?.former ?? now;
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
        const { side, former } = request;
        const mark = await closeDoor(session, ownerOf(request), { former, startedAt: started, signal });
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
        const stands = barrierStands(now, former);
        if (!requireOurs(mark, ownerOf(request)) || !stands) {
          throw failure(
            'PreconditionFailed',
            `The fence on ${former.database} of the ${side} is not up: somebody has taken it away, or it was never raised. Raise it again before its silence is proved.`,
          );
        }
        const proof = await lookForWriters(session, { side, migration: scope.migration, former, since, signal });
        return { ...proof, provedAt: new Date().toISOString() };
      }),

    /** Puts back exactly what was before; when our fence is not up, only ends attempts to raise it that are still there. @throws SourceUnavailable, TargetUnavailable (retryable) */
    lowerFence: (request: FenceRequest): Promise<{ lowered: boolean }> => {
      const startedAt = Date.now();
      return within(request, 'fence removal', async (session, signal) => {
        await endRaisers(session, request.side, sessionsWaitMs, signal);
        return serialized(session, async () => {
          const { mark } = await readAccess(session, request.side);
          if (mark?.migration !== request.scope.migration) return { lowered: false };
          // Raised since this attempt began: it was given up long ago, and that fence is not for it to lower.
          if (mark.raisedAt > (await serverTime(session, Date.now() - startedAt))) return { lowered: false };
          await session.query(loweringSql(mark.former).join(';\n'));
          return { lowered: true };
        });
      });
    },
  };
}

export type FenceActivities = ReturnType<typeof createFenceActivities>;

function ownerOf({ scope, side }: FenceRequest): FenceOwner {
  return { migration: scope.migration, side };
}
