// What is asked of the service, the same for a DB instance and for a cluster, which have calls of their own for everything.
import type { RDSClient } from '@aws-sdk/client-rds';
import type { RdsSnapshot } from '../../../../plan/postgres';
import { awsFailure, errorName, isAwsError } from '../../../aws/errors';
import { failure } from '../../../errors';
import { clusterCalls } from './cluster';
import { instanceCalls } from './instance';

/** The instance or cluster, as far as a snapshot and its restore need it. */
export interface RdsSubject {
  kind: 'instance' | 'cluster';
  id: string;
  /** `available`, or why not. */
  status: string;
  engine: string;
  engineVersion: string;
  /** Host names under which it is reached. */
  addresses: string[];
  /** `db.r6g.large`; of a cluster its own, or none where its members have theirs. */
  instanceClass?: string;
  /** Of a cluster whose members have theirs: the writer's, where it may be looked at. */
  memberClass?: string;
  subnetGroup?: string;
  securityGroups: string[];
  parameterGroup?: string;
}

export interface RdsSnapshotState {
  id: string;
  arn?: string;
  /** `creating`, `available`, `failed`, … */
  status: string;
  percent?: number;
  engine: string;
  engineVersion: string;
  allocatedGigabytes?: number;
  encrypted: boolean;
  createdAt?: Date;
}

/** The calls of one kind of subject; errors as the SDK throws them. */
export interface RdsCalls {
  /** IAM actions, for whom one is refused. */
  actions: { describe: string; create: string; list: string };
  describe: (signal: AbortSignal) => Promise<RdsSubject | undefined>;
  /** Every manual snapshot of the subject. */
  list: (signal: AbortSignal) => Promise<RdsSnapshotState[]>;
  /** @returns undefined when there is none of that name */
  find: (id: string, signal: AbortSignal) => Promise<RdsSnapshotState | undefined>;
  create: (id: string, tags: Record<string, string>, signal: AbortSignal) => Promise<void>;
}

export interface RdsService {
  calls: RdsCalls;
  /** `instance orders-db`, for messages. */
  words: string;
  region: string;
  /** Runs a call; what it throws becomes a failure of the closed set. */
  asked: <Result>(doing: string, action: string, call: (calls: RdsCalls) => Promise<Result>) => Promise<Result>;
  close: () => void;
}

/** Credentials come from the SDK's own chain on this worker. @throws PreconditionFailed when no region is known */
export async function openRds(
  { instance, cluster, region, endpoint }: RdsSnapshot,
  environment: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<RdsService> {
  const sdk = await import('@aws-sdk/client-rds');
  const where = region ?? (environment.AWS_REGION || environment.AWS_DEFAULT_REGION || undefined);
  const client: RDSClient = new sdk.RDSClient({
    ...(where && { region: where }),
    ...(endpoint && { endpoint }),
    maxAttempts: 5,
    requestHandler: { connectionTimeout: 10_000, socketTimeout: 60_000 },
  });
  const calls = cluster === undefined ? instanceCalls(sdk, client, instance ?? '') : clusterCalls(sdk, client, cluster);
  const words = cluster === undefined ? `instance ${instance}` : `cluster ${cluster}`;
  const asked = async <Result>(
    doing: string,
    action: string,
    call: (calls: RdsCalls) => Promise<Result>,
  ): Promise<Result> => {
    try {
      return await call(calls);
    } catch (error) {
      signal.throwIfAborted();
      throw explained(error, `${doing} of the RDS ${words}`, action);
    }
  };
  try {
    const known = await asked('Finding the region', calls.actions.describe, () => client.config.region());
    return { calls, words, region: known, asked, close: () => client.destroy() };
  } catch (error) {
    client.destroy();
    throw error;
  }
}

/** @throws PreconditionFailed when there is none of that name, or it is no PostgreSQL */
export async function describeSubject(service: RdsService, signal: AbortSignal): Promise<RdsSubject> {
  const { calls, words, region } = service;
  const subject = await service.asked('The description', calls.actions.describe, ({ describe }) => describe(signal));
  if (!subject)
    throw failure(
      'PreconditionFailed',
      `There is no RDS ${words} in ${region} for this account. Correct the name or the region in plan.snapshot, or the credentials of the worker.`,
    );
  if (!/postgres/.test(subject.engine))
    throw failure(
      'PreconditionFailed',
      `The RDS ${words} runs ${subject.engine || 'an engine that it does not name'}, not PostgreSQL. Name the source's own in plan.snapshot.`,
    );
  return subject;
}

function explained(error: unknown, doing: string, action: string): Error {
  const name = errorName(error);
  if (name === 'SnapshotQuotaExceeded')
    return failure(
      'PreconditionFailed',
      `${doing} failed: the account has as many manual snapshots as it may have. Delete some, or have the quota raised, then retry.`,
      { code: name },
      error,
    );
  if (name.startsWith('KMS'))
    return failure(
      'PreconditionFailed',
      `${doing} failed: the key of its encryption cannot be used (${name}). Enable the key, and allow its use to the worker's AWS identity, then retry.`,
      { code: name },
      error,
    );
  if (!isAwsError(error) && error instanceof Error) return error;
  return awsFailure(error, { doing, action, unavailable: 'SourceUnavailable' });
}
