// The closed set of failure types, as they stand in histories and reports, and whether trying again by itself can help.

const retryable = {
  InvalidPlan: false,
  PreconditionFailed: false,
  VerificationMismatch: false,
  TargetConflict: false,
  AuthDenied: false,
  /** The snapshot of a copy group died with the session that exported it. */
  SnapshotLost: false,
  /** A replication slot is gone or invalid: what it held back cannot be streamed any more. */
  StreamLost: false,
  SchemaChanged: false,
  /** More rows were refused by the plan's transformations than the plan takes. */
  TooManyRejects: false,
  SourceUnavailable: true,
  TargetUnavailable: true,
  ApplicationUnavailable: true,
  ArtifactStoreUnavailable: true,
  NotReadyYet: true,
} as const;

export type FailureType = keyof typeof retryable;

export function isFailureType(type: string): type is FailureType {
  return type in retryable;
}

export function isRetryable(type: FailureType): boolean {
  return retryable[type];
}

/** Types that a plan's author or an operator must act on; retrying by itself is useless. */
export const permanentFailureTypes = (Object.keys(retryable) as FailureType[]).filter((type) => !retryable[type]);
