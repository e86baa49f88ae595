// The kind `rds`: a snapshot by the service in which the source lives. Nothing of it passes through the worker.
import type { RdsSnapshot } from '../../../../plan/postgres';
import { failure } from '../../../errors';
import type { PostgresScope } from '../../scope';
import type { SnapshotProgress } from '../dump';

/** What the service says of the snapshot when it is available. */
export interface RdsSnapshotReference {
  /** `cutover-orders-to-18-1f3a5c7e90-20260521T101500`. */
  id: string;
  arn?: string;
  of: { kind: 'instance' | 'cluster'; id: string };
  engine: string;
  engineVersion: string;
  /** Of the storage that was allocated, in gigabytes as the service counts them; undefined where it does not say. */
  allocatedGigabytes?: number;
  encrypted: boolean;
  /** Commands of the aws cli, one a line, to be run in order; into a new instance, never over the old one. */
  restore: string[];
}

/** What the work is done with; outside of a worker `environment` is the process's own. */
export interface RdsContext {
  environment: NodeJS.ProcessEnv;
  signal: AbortSignal;
  report: (progress: SnapshotProgress) => void;
}

/**
 * Takes the snapshot, or goes on waiting for the one that an attempt before has begun, until it is available. Cancellation ends the waiting;
 * the service goes on.
 * @throws PreconditionFailed for no such instance, a snapshot that failed, no credentials or the plan's time limit; AuthDenied, naming the IAM
 *   action; SourceUnavailable (retryable)
 */
export function takeRdsSnapshot(
  _scope: PostgresScope,
  _snapshot: RdsSnapshot,
  _context: RdsContext,
): Promise<RdsSnapshotReference> {
  return Promise.reject(failure('PreconditionFailed', 'not there yet'));
}

/**
 * What the service says of the snapshot now. A restore is not tried, and the evidence says so.
 * @throws VerificationMismatch when it is gone or no longer available; as `takeRdsSnapshot`
 */
export function verifyRdsSnapshot(
  _snapshot: RdsSnapshot,
  _taken: RdsSnapshotReference | undefined,
  _context: RdsContext,
): Promise<string[]> {
  return Promise.reject(failure('PreconditionFailed', 'not there yet'));
}
