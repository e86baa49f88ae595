// The closed set of failures that activities throw. The type says what kind of thing went wrong and whether
// trying again can help; the message says what and which object first, and what to do last.
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';

/** Whether a failure of the type is tried again by itself. */
const retryable = {
  InvalidPlan: false,
  PreconditionFailed: false,
  VerificationMismatch: false,
  TargetConflict: false,
  AuthDenied: false,
  SourceUnavailable: true,
  TargetUnavailable: true,
  ApplicationUnavailable: true,
  ArtifactStoreUnavailable: true,
  NotReadyYet: true,
} as const;

export type FailureType = keyof typeof retryable;

/** Types that a plan's author or an operator must act on; retrying by itself is useless. */
export const permanentFailureTypes = (Object.keys(retryable) as FailureType[]).filter((type) => !retryable[type]);

/**
 * Makes a failure of the closed set.
 * @param message first sentence: what failed and on which object; last sentence: what to do. Never holds a secret or a row.
 * @param details small JSON for people and for the report, for instance `{ sqlState }`.
 */
export function failure(type: FailureType, message: string, details?: Record<string, unknown>, cause?: unknown): ApplicationFailure {
  return ApplicationFailure.create({
    type,
    message,
    nonRetryable: !retryable[type],
    category: type === 'NotReadyYet' ? ApplicationFailureCategory.BENIGN : undefined,
    details: details ? [details] : undefined,
    cause: cause instanceof Error ? new Error(cause.message) : undefined,
  });
}

/** The type of a failure thrown by `failure`, through any wrapping by Temporal; undefined for anything else. */
export function failureType(error: unknown): FailureType | undefined {
  if (error instanceof ApplicationFailure && error.type && error.type in retryable) return error.type as FailureType;
  if (error instanceof Error && error.cause) return failureType(error.cause);
  return undefined;
}
