// Named, complete profiles of how activities are run. Every one waits until a cancelled activity has really stopped:
// the undo of a copy must never run beside the copy.
import type { RetryPolicy } from '@temporalio/common';
import { proxyActivities, type ActivityOptions } from '@temporalio/workflow';
import type { MigrationActivities } from '../activities';
import { permanentFailureTypes } from '../journal/failure-types';

const cancellationType = 'WAIT_CANCELLATION_COMPLETED';

/** Some five minutes of trying again; then the step is blocked and a person decides. */
const patient = {
  initialInterval: '1s',
  backoffCoefficient: 2,
  maximumInterval: '30s',
  maximumAttempts: 15,
  nonRetryableErrorTypes: [...permanentFailureTypes],
} satisfies RetryPolicy;
/** An endpoint that does not answer: some half a minute, since people wait for it. */
const brief = { ...patient, maximumInterval: '10s', maximumAttempts: 5 } satisfies RetryPolicy;

const profiles = {
  /** Seconds; no heartbeat, so a dead worker is noticed by the time limit. */
  quick: { startToCloseTimeout: '60s', retry: patient, cancellationType },
  /** Minutes to days; heartbeats every two seconds, so a dead worker is noticed within 15. */
  long: { startToCloseTimeout: '30d', heartbeatTimeout: '15s', retry: patient, cancellationType },
  /** What cannot be undone: as `long`, but never begun a second time without its step, which looks at the holds first. */
  deliberate: {
    startToCloseTimeout: '30d',
    heartbeatTimeout: '15s',
    retry: { ...patient, maximumAttempts: 1 },
    cancellationType,
  },
  /** Seconds, inside the write freeze: heartbeats, so that a dead worker costs ten seconds of it and not sixty. */
  brisk: { startToCloseTimeout: '60s', heartbeatTimeout: '10s', retry: patient, cancellationType },
  /** On a side that is known to be away: one more try, and it is left out. */
  glance: {
    startToCloseTimeout: '1h',
    heartbeatTimeout: '15s',
    retry: { ...brief, maximumAttempts: 2 },
    cancellationType,
  },
  /** Calls of the application's endpoints. */
  application: { startToCloseTimeout: '2m', heartbeatTimeout: '10s', retry: brief, cancellationType },
  /** Compensations, and looks that their step or a person repeats: tried for half a minute, then the others get their turn and the runbook comes back to it. */
  undo: { startToCloseTimeout: '1h', heartbeatTimeout: '15s', retry: brief, cancellationType },
  /** As `undo`, for what takes seconds and does not heartbeat. */
  quickUndo: { startToCloseTimeout: '60s', retry: brief, cancellationType },
} satisfies Record<string, ActivityOptions>;

export type Profile = keyof typeof profiles;

/** The server cuts summaries at 200 bytes; so do we, at a place we choose. */
const summaryLimit = 180;

/**
 * The activities, to be called once: `run('long', 'Copy lane 1').copyLane({…})`. The summary is what the Web UI shows
 * in place of the activity's name.
 */
export function run(profile: Profile, summary: string): ReturnType<typeof proxyActivities<MigrationActivities>> {
  return proxyActivities<MigrationActivities>(optionsOf(profile, summary));
}

/** As `run`, with all tries together over within this time, whatever becomes of the worker: for what must not be done late. */
export function runWithin(
  limitMs: number,
  profile: Profile,
  summary: string,
): ReturnType<typeof proxyActivities<MigrationActivities>> {
  return proxyActivities<MigrationActivities>({ ...optionsOf(profile, summary), scheduleToCloseTimeout: limitMs });
}

function optionsOf(profile: Profile, summary: string): ActivityOptions {
  return { ...profiles[profile], summary: summary.replaceAll(/\s+/g, ' ').slice(0, summaryLimit) };
}
