// Runbook section 7: the target watched for as long as the plan says, in one activity whose counters live in its heartbeats,
// so that a day of watching costs no history and a restarted worker goes on counting. A breach of a trigger ends it at once.
import { setTimeout as sleep } from 'node:timers/promises';
import { parseDurationMs } from '../../plan/duration';
import type { NamedQuery, RollbackTriggers } from '../../plan/postgres';
import { probe } from '../application/probes';
import type { PostgresDependencies } from '../dependencies';
import { lastReported, withHeartbeat } from '../heartbeat';
import { addRound, errorRateOf, initialState, parseState, windowRateOf, type WatchState } from './monitor-window';
import { planSession } from './plan-query';
import { timeQueries } from './query-times';
import type { PostgresScope } from './scope';

export interface WatchRequest {
  scope: PostgresScope;
  /** As the plan says; one begun by an older version lacks what came later. */
  triggers: Pick<RollbackTriggers, 'errorRatePercent' | 'slowdownPercent' | 'probes' | 'interval' | 'window'> &
    Partial<RollbackTriggers>;
  queries: NamedQuery[];
  baseline: { name: string; medianMs: number }[];
  /** ISO 8601. */
  startedIso: string;
  untilIso: string;
}

export interface WatchResult {
  /** Single looks: one for each probe and one at the database in every round, and every query asked. */
  samples: number;
  errors: number;
  /** Over the whole watch, two decimals. */
  errorRatePercent: number;
  /** Of the query that has slowed down most against its baseline, as last measured; negative when all are faster. */
  slowdownPercent?: number;
  breaches: string[];
  endedBy: 'time' | 'breach';
}

/** Fewer looks than these in the window prove nothing: one error among three is no rate. */
const leastSamples = 5;
const probeTimeoutMs = 10_000;
/** Below this difference a query is not slower, whatever the percentage. */
const noiseMs = 5;
/** A slow measurement is a breach when the next one is slow as well. */
const slowInARow = 2;

export function createMonitorActivities({ connections }: PostgresDependencies) {
  /** What is wrong with the database itself, or nothing: it answers, is no standby, takes writes. */
  async function lookAtTarget(scope: PostgresScope, signal: AbortSignal): Promise<string | undefined> {
    try {
      return await connections.withSession(
        scope.target,
        { side: 'target', purpose: 'monitor', signal, settings: { statement_timeout: '10s' } },
        async (session) => {
          const { rows } = await session.query<{ standby: string; readonly: string }>(
            `select pg_is_in_recovery() as standby,
                  exists (select from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase and d.datname = current_database()
                           where s.setrole = 0 and s.setconfig @> array['default_transaction_read_only=on']) as readonly`,
          );
          if (rows[0]?.standby === 't') return 'the target is a standby and takes no writes';
          return rows[0]?.readonly === 't' ? 'the target database is read-only by default' : undefined;
        },
      );
    } catch (error) {
      signal.throwIfAborted();
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** The query that has slowed down most; and those that fail, which count as errors. */
  async function measureSlowdown(
    { scope, queries, baseline }: WatchRequest,
    signal: AbortSignal,
  ): Promise<{ slowest?: { percent: number; query: string }; asked: number; failed: string[] }> {
    const known = queries.filter(({ name }) => baseline.some((line) => line.name === name));
    if (known.length === 0) return { asked: 0, failed: [] };
    try {
      const measured = await connections.withSession(
        scope.target,
        { side: 'target', purpose: 'monitor queries', signal, settings: planSession },
        (session) => timeQueries(session, known),
      );
      const [slowest] = measured
        .flatMap((line) => ('error' in line ? [] : [{ query: line.name, percent: slowdownOf(line, baseline) }]))
        .sort((left, right) => right.percent - left.percent);
      const failed = measured.flatMap((line) => ('error' in line ? [`query ${line.name}: ${line.error}`] : []));
      return { ...(slowest && { slowest }), asked: known.length, failed };
    } catch {
      signal.throwIfAborted();
      return { asked: 0, failed: [] }; // The database itself is looked at in every round, and counted there.
    }
  }

  return {
    /**
     * Probes, looks at the database and times the queries until `untilIso`, or until a trigger of the plan is breached.
     * Never throws for what it watches: what does not answer is an error in the figures.
     */
    watchTarget: (request: WatchRequest): Promise<WatchResult> =>
      withHeartbeat(resumedState(), async ({ signal, report }) => {
        const { scope, triggers, untilIso } = request;
        const intervalMs = parseDurationMs(triggers.interval) ?? 30_000;
        const windowMs = parseDurationMs(triggers.window) ?? 300_000;
        const queryEveryMs = Math.min(windowMs, intervalMs * 10);
        const until = Date.parse(untilIso);
        let state = resumedState();
        let queriesAt = 0;
        let slow = 0;
        for (;;) {
          const roundAt = Date.now();
          const errors = await lookOnce(scope, triggers, signal);
          state = addRound(state, { at: roundAt, samples: triggers.probes.length + 1, errors }, windowMs);
          if (roundAt - queriesAt >= queryEveryMs) {
            queriesAt = roundAt;
            const { slowest, asked, failed } = await measureSlowdown(request, signal);
            state = addRound(state, { at: roundAt, samples: asked, errors: failed }, windowMs);
            if (slowest) {
              state = { ...state, slowdownPercent: slowest.percent, slowestQuery: slowest.query };
              slow = slowest.percent > triggers.slowdownPercent ? slow + 1 : 0;
              if (slow > 0 && slow < slowInARow) queriesAt = 0;
            }
          }
          report(state);
          const breaches = breachesOf(state, triggers, slow >= slowInARow);
          if (breaches.length > 0) return resultOf(state, breaches, 'breach');
          if (Date.now() >= until) return resultOf(state, [], 'time');
          await sleep(Math.max(0, Math.min(roundAt + intervalMs, until) - Date.now()), undefined, { signal });
        }
      }),
  };

  async function lookOnce(
    scope: PostgresScope,
    triggers: WatchRequest['triggers'],
    signal: AbortSignal,
  ): Promise<string[]> {
    const timeoutMs = probeTimeoutMs;
    const [database, ...answers] = await Promise.all([
      lookAtTarget(scope, signal),
      ...triggers.probes.map(async (target) => {
        const { ok, error } = await probe(target, timeoutMs, signal);
        return ok ? undefined : `probe ${target.name}: ${error ?? 'failed'}`;
      }),
    ]);
    return [database, ...answers].filter((error) => error !== undefined);
  }
}

/** What the attempt before this one had counted, if there was one. */
function resumedState(): WatchState {
  return parseState(lastReported()) ?? initialState;
}

function breachesOf(state: WatchState, triggers: WatchRequest['triggers'], slow: boolean): string[] {
  const { samples, errors, percent } = windowRateOf(state);
  const rate =
    samples >= leastSamples && percent > triggers.errorRatePercent
      ? [
          `${rounded(percent)} % errors (${errors} of ${samples} looks in the last ${triggers.window}), more than ${triggers.errorRatePercent} %; last: ${state.lastError ?? 'unknown'}`,
        ]
      : [];
  const slowdown = slow
    ? [
        `query ${state.slowestQuery ?? ''} is ${state.slowdownPercent} % slower than before the migration, more than ${triggers.slowdownPercent} %`,
      ]
    : [];
  return [...rate, ...slowdown];
}

function resultOf(state: WatchState, breaches: string[], endedBy: WatchResult['endedBy']): WatchResult {
  const { samples, errors, slowdownPercent } = state;
  return {
    samples,
    errors,
    errorRatePercent: rounded(errorRateOf(state)),
    ...(slowdownPercent !== undefined && { slowdownPercent }),
    breaches,
    endedBy,
  };
}

function slowdownOf(
  { name, medianMs }: { name: string; medianMs: number },
  baseline: WatchRequest['baseline'],
): number {
  const before = baseline.find((line) => line.name === name)?.medianMs ?? medianMs;
  const percent = rounded((medianMs / Math.max(before, 0.001) - 1) * 100);
  return medianMs - before > noiseMs ? percent : Math.min(0, percent);
}

function rounded(percent: number): number {
  return Math.round(percent * 100) / 100;
}
