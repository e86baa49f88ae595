// Runbook section 7: the target watched for as long as the plan says, in one activity whose counters live in its heartbeats,
// so that a day of watching costs no history and a restarted worker goes on counting. A breach of a trigger ends it at once.
import { setTimeout as sleep } from 'node:timers/promises';
import type { TriggerRecord } from '../../journal/types';
import { parseDurationMs } from '../../plan/duration';
import type { NamedQuery, RollbackTriggers } from '../../plan/postgres';
import { probe } from '../application/probes';
import type { PostgresDependencies } from '../dependencies';
import { lastReported, withHeartbeat } from '../heartbeat';
import {
  integrityChecks,
  lookAtIntegrity,
  lookAtPrometheus,
  lookAtQueryTimes,
  lookBySmokeTests,
  type DeclaredChecks,
  type Look,
} from './monitor-looks';
import {
  addLook,
  addRound,
  errorRateOf,
  initialState,
  parseState,
  triggersOf,
  windowRateOf,
  type WatchState,
} from './monitor-window';
import type { PostgresScope } from './scope';

export interface WatchRequest {
  scope: PostgresScope;
  /** As the plan says; one begun by an older version lacks what came later. */
  triggers: Pick<RollbackTriggers, 'errorRatePercent' | 'slowdownPercent' | 'probes' | 'interval' | 'window'> &
    Partial<RollbackTriggers>;
  queries: NamedQuery[];
  baseline: { name: string; medianMs: number }[];
  /** Looked at again while the target is in use, as far as the triggers say so. */
  declared?: DeclaredChecks;
  /** ISO 8601. */
  startedIso: string;
  untilIso: string;
}

export interface WatchResult {
  /** Single looks: one for each probe and one at the database in every round, every query asked, every other look of a trigger. */
  samples: number;
  errors: number;
  /** Over the whole watch, two decimals. */
  errorRatePercent: number;
  /** Of the query that has slowed down most against its baseline, as last measured; negative when all are faster. */
  slowdownPercent?: number;
  breaches: string[];
  endedBy: 'time' | 'breach';
  /** What each trigger beside the error rate saw. */
  triggers?: TriggerRecord[];
}

/** Fewer looks than these in the window prove nothing: one error among three is no rate. */
const leastSamples = 5;
const probeTimeoutMs = 10_000;
const defaultBreachesNeeded = 2;
/** Looks at the integrity may read whole tables: they take a tenth of the time at most. */
const pauseFactor = 9;

/** A look that comes again and again. None runs beside another: one that reads much would slow the queries that are timed. */
interface Repeated {
  name: TriggerRecord['name'];
  everyMs: number;
  /** Milliseconds since 1970. */
  nextAt: number;
  /** Undefined: no look, and nothing to count. */
  look: (signal: AbortSignal) => Promise<(Look & { slowdownPercent?: number }) | undefined>;
}

/** `environment` is the worker's own, for the token of Prometheus. */
type MonitorDependencies = PostgresDependencies & { environment?: NodeJS.ProcessEnv };

export function createMonitorActivities(dependencies: MonitorDependencies) {
  const { connections, environment } = dependencies;

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

  async function lookOnce({ scope, triggers }: WatchRequest, signal: AbortSignal): Promise<string[]> {
    const [database, ...answers] = await Promise.all([
      lookAtTarget(scope, signal),
      ...triggers.probes.map(async (target) => {
        const { ok, error } = await probe(target, probeTimeoutMs, signal);
        return ok ? undefined : `probe ${target.name}: ${error ?? 'failed'}`;
      }),
    ]);
    return [database, ...answers].filter((error) => error !== undefined);
  }

  /** Smoke tests have passed just before a watch begins; the others begin at once. */
  function repeatedLooks(request: WatchRequest, intervalMs: number, windowMs: number): Repeated[] {
    const { scope, triggers, queries, baseline, declared } = request;
    const known = queries.filter(({ name }) => baseline.some((line) => line.name === name));
    const checks = integrityChecks(triggers, declared);
    const smoke = triggers.smoke === true ? (declared?.smoke ?? []) : [];
    const integrityMs = parseDurationMs(triggers.integrityInterval ?? '5m') ?? 300_000;
    const smokeMs = parseDurationMs(triggers.smokeInterval ?? '5m') ?? 300_000;
    const now = Date.now();
    const { slowdownPercent } = triggers;
    const all: (Repeated & { there: boolean })[] = [
      {
        name: 'slowdown',
        there: known.length > 0,
        everyMs: Math.min(windowMs, intervalMs * 10),
        nextAt: now,
        look: (signal) => lookAtQueryTimes(connections, { scope, queries: known, baseline, slowdownPercent }, signal),
      },
      {
        name: 'integrity',
        there: checks.notNull.length + checks.assertions.length > 0,
        everyMs: integrityMs,
        nextAt: now,
        look: (signal) => lookAtIntegrity(connections, scope, checks, signal),
      },
      {
        name: 'smoke',
        there: smoke.length > 0,
        everyMs: smokeMs,
        nextAt: now + smokeMs,
        look: (signal) => lookBySmokeTests(connections, scope, smoke, signal),
      },
    ];
    return all.filter(({ there }) => there);
  }

  return {
    /**
     * Probes, looks at the database and makes the looks of every trigger until `untilIso`, or until one of the plan is breached.
     * Never throws for what it watches: what does not answer is an error in the figures.
     */
    watchTarget: (request: WatchRequest): Promise<WatchResult> =>
      withHeartbeat(resumedState(), async ({ signal: cancelled, report }) => {
        const { triggers, untilIso } = request;
        const intervalMs = parseDurationMs(triggers.interval) ?? 30_000;
        const windowMs = parseDurationMs(triggers.window) ?? 300_000;
        const breachesNeeded = triggers.breachesNeeded ?? defaultBreachesNeeded;
        const until = Date.parse(untilIso);
        const repeated = repeatedLooks(request, intervalMs, windowMs);
        // A watch is not over before each of these has looked once.
        const unseen = new Set(repeated.filter(({ nextAt }) => nextAt <= Date.now()).map(({ name }) => name));
        const ended = new AbortController();
        const signal = AbortSignal.any([cancelled, ended.signal]);
        let state = resumedState();
        let result: WatchResult | undefined;

        /** Takes in what was seen; ends the watch when that is a breach. */
        const take = (next: WatchState): void => {
          state = next;
          report(state);
          const breaches = breachesOf(state, triggers, breachesNeeded);
          if (breaches.length > 0) end(breaches, 'breach');
        };
        const end = (breaches: string[], endedBy: WatchResult['endedBy']): void => {
          result ??= resultOf(state, breaches, endedBy, breachesNeeded);
          ended.abort();
        };
        const takeLook = (name: TriggerRecord['name'], at: number, look: Look & { slowdownPercent?: number }): void => {
          const { samples, errors, outcome, slowdownPercent } = look;
          const seen = addLook(addRound(state, { at, samples, errors }, windowMs), name, outcome);
          take(slowdownPercent === undefined ? seen : { ...seen, slowdownPercent });
        };

        const rounds = async (): Promise<void> => {
          for (;;) {
            const roundAt = Date.now();
            const [errors, prometheus] = await Promise.all([
              lookOnce(request, signal),
              triggers.prometheus && lookAtPrometheus(triggers.prometheus, environment, signal),
            ]);
            take(addRound(state, { at: roundAt, samples: triggers.probes.length + 1, errors }, windowMs));
            if (prometheus) takeLook('prometheus', roundAt, prometheus);
            if (Date.now() >= until && unseen.size === 0) end([], 'time');
            const nextAt = roundAt + intervalMs;
            const wakeAt = Date.now() < until ? Math.min(nextAt, until) : nextAt;
            await sleep(Math.max(0, wakeAt - Date.now()), undefined, { signal });
          }
        };
        const looks = async (): Promise<void> => {
          for (;;) {
            const [next] = repeated.sort((left, right) => left.nextAt - right.nextAt);
            if (!next) return;
            await sleep(Math.max(0, next.nextAt - Date.now()), undefined, { signal });
            const at = Date.now();
            const look = await next.look(signal);
            signal.throwIfAborted();
            const again = look?.outcome.verdict === 'bad' ? intervalMs : next.everyMs;
            next.nextAt = Date.now() + Math.max(again, next.name === 'integrity' ? (Date.now() - at) * pauseFactor : 0);
            unseen.delete(next.name);
            if (look) takeLook(next.name, at, look);
          }
        };
        const untilEnded = async (loop: () => Promise<void>): Promise<void> => {
          try {
            await loop();
          } catch (error) {
            const over = ended.signal.aborted && !cancelled.aborted;
            ended.abort();
            if (!over) throw error;
          }
        };
        for (const loop of await Promise.allSettled([untilEnded(rounds), untilEnded(looks)]))
          if (loop.status === 'rejected') throw loop.reason;
        return result ?? resultOf(state, [], 'time', breachesNeeded);
      }),
  };
}

/** What the attempt before this one had counted, if there was one. */
function resumedState(): WatchState {
  return parseState(lastReported()) ?? initialState;
}

function breachesOf(state: WatchState, triggers: WatchRequest['triggers'], breachesNeeded: number): string[] {
  const { samples, errors, percent } = windowRateOf(state);
  const rate =
    samples >= leastSamples && errors >= breachesNeeded && percent > triggers.errorRatePercent
      ? [
          `${rounded(percent)} % errors (${errors} of ${samples} looks in the last ${triggers.window}), more than ${triggers.errorRatePercent} %; last: ${state.lastError ?? 'unknown'}`,
        ]
      : [];
  const others = triggersOf(state, breachesNeeded)
    .filter(({ breached }) => breached)
    .map(({ last }) => last ?? 'unknown');
  return [...rate, ...others];
}

function resultOf(
  state: WatchState,
  breaches: string[],
  endedBy: WatchResult['endedBy'],
  breachesNeeded: number,
): WatchResult {
  const { samples, errors, slowdownPercent } = state;
  const triggers = triggersOf(state, breachesNeeded);
  return {
    samples,
    errors,
    errorRatePercent: rounded(errorRateOf(state)),
    ...(slowdownPercent !== undefined && { slowdownPercent }),
    breaches,
    endedBy,
    ...(triggers.length > 0 && { triggers }),
  };
}

function rounded(percent: number): number {
  return Math.round(percent * 100) / 100;
}
