// gRPC status and etcd's own words -> the closed set of failures. Cancellation always passes untouched.
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import {
  EtcdAuthenticationFailedError,
  EtcdPermissionDeniedError,
  GRPCAlreadyExistsError,
  GRPCDataLossError,
  GRPCFailedPreconditionError,
  GRPCInvalidArgumentError,
  GRPCNotFoundError,
  GRPCNotImplementedError,
  GRPCOutOfRangeError,
  GRPCResourceExhastedError,
  GRPCUnauthenticatedError,
} from 'etcd3';
import { z } from 'zod';
import { failure, type FailureType } from '../../errors';

/** Where a call went, for messages: no secrets. */
export interface EtcdAddress {
  endpoints: string[];
  username?: string;
}

/** A page beyond the gRPC limit of this client: not a failure, the page is asked for again, smaller. */
export class AnswerTooLarge extends Error {}

interface Row {
  when: (error: Error) => boolean;
  type: FailureType;
  /** In `details`, for code that acts on it. */
  reason?: string;
  advice: (address: EtcdAddress) => string;
}

const says = (pattern: RegExp) => (error: Error) => pattern.test(error.message);
const isOneOf =
  (...types: (abstract new (...args: never[]) => Error)[]) =>
  (error: Error) =>
    types.some((type) => error instanceof type);
const userOf = ({ username }: EtcdAddress): string => (username ? `the user "${username}"` : 'a client without a user');

const rows: Row[] = [
  {
    when: says(/required revision has been compacted/),
    type: 'PreconditionFailed',
    reason: 'compacted',
    advice: () =>
      'etcd has compacted that revision away, so it can no longer be read. Take the snapshot again; if that happens again, raise --auto-compaction-retention of etcd for the time of the migration.',
  },
  {
    when: says(/user name is empty/),
    type: 'AuthDenied',
    advice: () => 'This etcd asks for a user, and the plan names none. Add "auth" to the source of the plan.',
  },
  {
    when: says(/authentication is not enabled/),
    type: 'PreconditionFailed',
    advice: ({ username }) =>
      `This etcd has its authentication off, and the plan names the user "${username}". Remove "auth" from the source of the plan, or switch the authentication on.`,
  },
  {
    when: isOneOf(EtcdAuthenticationFailedError),
    type: 'AuthDenied',
    advice: (address) => `etcd refused name or password of ${userOf(address)}. Correct the secret behind the plan.`,
  },
  {
    when: isOneOf(EtcdPermissionDeniedError, GRPCUnauthenticatedError),
    type: 'AuthDenied',
    advice: (address) =>
      `etcd does not allow it to ${userOf(address)}. Grant a role that reads and writes everything below the prefix, and retry.`,
  },
  {
    when: says(/wrong version number|packet length too long|http request/i),
    type: 'PreconditionFailed',
    advice: () => 'The member does not speak TLS. Write its endpoint as http:// or switch TLS on.',
  },
  {
    when: says(
      /alert (certificate required|bad certificate|unknown ca|certificate unknown|handshake failure)|TLSV1[23]?_ALERT|SSLV3_ALERT/i,
    ),
    type: 'AuthDenied',
    advice: () =>
      'etcd refused our client certificate, or asks for one. Give "cert" and "key" in "tls" of the source, signed by the CA that etcd trusts.',
  },
  {
    when: says(
      /self[- ]signed certificate|unable to (verify|get)|certificate has expired|not yet valid|altnames|Hostname\/IP does not match|UNABLE_TO_|CERT_/i,
    ),
    type: 'PreconditionFailed',
    reason: 'certificate',
    advice: () =>
      'The certificate of the member is not trusted. Correct "ca" in "tls" of the source, or the names and dates in the certificate.',
  },
  {
    when: says(/database space exceeded/),
    type: 'PreconditionFailed',
    reason: 'no-space',
    advice: () =>
      'etcd has raised its NOSPACE alarm and takes no writes. Compact and defragment it, disarm the alarm (etcdctl alarm disarm) and retry.',
  },
  {
    when: isOneOf(GRPCNotImplementedError),
    type: 'PreconditionFailed',
    advice: () => 'That is no etcd with API v3. Correct the endpoints of the source.',
  },
  {
    when: isOneOf(
      GRPCInvalidArgumentError,
      GRPCNotFoundError,
      GRPCAlreadyExistsError,
      GRPCFailedPreconditionError,
      GRPCOutOfRangeError,
      GRPCDataLossError,
    ),
    type: 'PreconditionFailed',
    advice: () => 'Look at the health of etcd (etcdctl endpoint status, alarm list) and retry the step.',
  },
];

/**
 * Turns whatever the client threw into a failure of the closed set; failures of that set, cancellations and AnswerTooLarge come back as they are.
 * @param doing what was being done, on which object: "Reading /calico/"
 */
export function etcdFailure(error: unknown, doing: string, address: EtcdAddress): Error {
  if (!(error instanceof Error)) return failure('SourceUnavailable', `${doing} failed: ${String(error)}. Retry.`);
  if (error instanceof ApplicationFailure || error instanceof CancelledFailure || error.name === 'AbortError')
    return error;
  if (error instanceof AnswerTooLarge) return error;
  if (error instanceof GRPCResourceExhastedError && /message larger than max/.test(error.message))
    return new AnswerTooLarge(error.message);
  const said = error.message.replace(/^(Error: )?\d+ [A-Z_]+: /, '').replace(/\.$/, '');
  const where = address.endpoints.join(', ');
  const row = rows.find(({ when }) => when(error));
  if (row) {
    const details = row.reason === undefined ? undefined : { reason: row.reason };
    return failure(row.type, `${doing} failed on etcd at ${where}: ${said}. ${row.advice(address)}`, details);
  }
  return failure(
    'SourceUnavailable',
    `${doing} failed on etcd at ${where}: ${said}. It is tried again by itself; check that etcd runs, has a leader and can be reached from the worker, and that the plan says http or https as its members do.`,
  );
}

const detailsSchema = z.tuple([z.object({ reason: z.string() })]).rest(z.unknown());

/** Whether a failure says that the revision is no longer there to be read. */
export function isCompacted(error: unknown): boolean {
  if (!(error instanceof ApplicationFailure)) return false;
  const details = detailsSchema.safeParse(error.details);
  return details.success && details.data[0].reason === 'compacted';
}
