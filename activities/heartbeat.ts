// One way for every long activity to show that it lives: a tick every few seconds with its latest progress.
// Cancellation reaches an activity only through the answer to a heartbeat, so whatever lasts longer than some seconds runs in here.
import { AsyncLocalStorage } from 'node:async_hooks';
import { cancellationSignal, Context, heartbeat } from '@temporalio/activity';

const tickMs = 2_000;
const never = new AbortController().signal;

/** Who looks on while activities run outside of Temporal: a command that shows progress and can be interrupted. */
export interface Onlooker {
  signal: AbortSignal;
  report: (progress: unknown) => void;
}

const onlooker = new AsyncLocalStorage<Onlooker>();

/** Runs activities outside of Temporal, with somebody who sees their progress and may stop them. */
export function withOnlooker<Result>(looking: Onlooker, body: () => Promise<Result>): Promise<Result> {
  return onlooker.run(looking, body);
}

export interface Beat<Progress> {
  /** Aborted when the workflow cancels, the worker shuts down, or the attempt is given up. */
  signal: AbortSignal;
  /** Replaces the progress that the next tick reports; small JSON, only what is committed. */
  report: (progress: Progress) => void;
}

function insideActivity(): boolean {
  try {
    return Boolean(Context.current());
  } catch {
    return false;
  }
}

/** What the attempt before this one last reported, not yet checked; undefined for a first attempt and outside of an activity. */
export function lastReported(): unknown {
  return insideActivity() ? Context.current().info.heartbeatDetails : undefined;
}

/** Which run of which workflow asked for what runs here, and when, in milliseconds since 1970; the same for every attempt. Empty outside of an activity. */
export function attemptFacts(): { runId?: string; scheduledAt?: number } {
  if (!insideActivity()) return {};
  const { workflowExecution, scheduledTimestampMs } = Context.current().info;
  return { runId: workflowExecution?.runId, scheduledAt: scheduledTimestampMs };
}

/** Aborted when what runs here, an activity or a command, is to stop: for what has no beat of its own. */
export function stopSignal(): AbortSignal {
  return insideActivity() ? cancellationSignal() : (onlooker.getStore()?.signal ?? never);
}

/**
 * Runs `body`, sending the progress it last reported every two seconds until it ends. Outside of an activity
 * (a command, a test) it runs the body, with the onlooker if there is one. Errors of the body pass untouched.
 */
export async function withHeartbeat<Progress, Result>(
  initial: Progress,
  body: (beat: Beat<Progress>) => Promise<Result>,
): Promise<Result> {
  if (!insideActivity()) {
    const { signal = never, report = () => undefined } = onlooker.getStore() ?? {};
    return body({ signal, report });
  }
  let progress = initial;
  heartbeat(progress);
  const timer = setInterval(() => heartbeat(progress), tickMs);
  try {
    return await body({
      signal: cancellationSignal(),
      report: (next) => {
        progress = next;
      },
    });
  } finally {
    clearInterval(timer);
    heartbeat(progress);
  }
}
