// An attempt that hung for longer than its activity is waited for may have been given up, and what it made undone: it must not make it now.
import { failure } from '../errors';
import type { Side } from './errors';

/**
 * To be called before a commit; after it nothing of this attempt may follow.
 * @param startedAt of the attempt, milliseconds of the epoch
 * @param withinMs below the time limit of its activity
 * @param what "The fence on the source was not raised"
 * @throws NotReadyYet (retryable)
 */
export function requireNotGivenUp(startedAt: number, withinMs: number, what: string, side: Side): void {
  const ms = Date.now() - startedAt;
  if (ms <= withinMs) return;
  throw failure(
    'NotReadyYet',
    `${what} within ${withinMs} ms but after ${ms} ms, and may have been given up meanwhile: nothing was changed. It is tried again by itself; look at the locks on the ${side} when that lasts.`,
  );
}
