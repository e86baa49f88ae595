// The closed set of failures that activities throw. The type says what kind of thing went wrong and whether
// trying again can help; the message says what and which object first, and what to do last.
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import { isFailureType, isRetryable, type FailureType } from '../journal/failure-types';

export type { FailureType } from '../journal/failure-types';

/**
 * Makes a failure of the closed set.
 * @param message first sentence: what failed and on which object; last sentence: what to do. Never holds a secret or a row.
 * @param details small JSON for people and for the report, for instance `{ sqlState }`.
 */
export function failure(
  type: FailureType,
  message: string,
  details?: Record<string, unknown>,
  cause?: unknown,
): ApplicationFailure {
  return ApplicationFailure.create({
    type,
    message,
    nonRetryable: !isRetryable(type),
    category: type === 'NotReadyYet' ? ApplicationFailureCategory.BENIGN : undefined,
    details: details ? [details] : undefined,
    cause: cause instanceof Error ? new Error(cause.message) : undefined,
  });
}

/** The type of a failure thrown by `failure`, through any wrapping by Temporal; undefined for anything else. */
export function failureType(error: unknown): FailureType | undefined {
  if (error instanceof ApplicationFailure && error.type && isFailureType(error.type)) return error.type;
  if (error instanceof Error && error.cause) return failureType(error.cause);
  return undefined;
}
