// One way for every long activity to show that it lives: a tick every few seconds with its latest progress.
// Cancellation reaches an activity only through the answer to a heartbeat, so whatever lasts longer than some seconds runs in here.
import { cancellationSignal, Context, heartbeat } from '@temporalio/activity';

const tickMs = 2_000;
const never = new AbortController().signal;

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

/**
 * Runs `body`, sending the progress it last reported every two seconds until it ends. Outside of an activity
 * (a command, a test) it only runs the body. Errors of the body pass untouched.
 */
export async function withHeartbeat<Progress, Result>(
  initial: Progress,
  body: (beat: Beat<Progress>) => Promise<Result>,
): Promise<Result> {
  if (!insideActivity()) return body({ signal: never, report: () => undefined });
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
