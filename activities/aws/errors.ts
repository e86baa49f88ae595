// What AWS services answer -> the closed set of failures. Every service names its errors in its own way; what matters here is whether the
// credentials are missing or wrong, an action is not allowed, the service cannot be reached, or a person has to do something.
import { failure, type FailureType } from '../errors';

export type AwsTrouble = 'credentials' | 'denied' | 'region' | 'unavailable' | 'other';

const credentialNames = new Set([
  'CredentialsProviderError',
  'TokenProviderError',
  'ExpiredToken',
  'ExpiredTokenException',
  'InvalidAccessKeyId',
  'InvalidClientTokenId',
  'InvalidToken',
  'MissingAuthenticationToken',
  'SignatureDoesNotMatch',
  'UnrecognizedClientException',
]);
const deniedNames = new Set([
  'AccessDenied',
  'AccessDeniedException',
  'AuthorizationError',
  'Forbidden',
  'UnauthorizedOperation',
]);
const passingNames = new Set([
  'InternalError',
  'InternalFailure',
  'PriorRequestNotComplete',
  'RequestLimitExceeded',
  'RequestTimeout',
  'ServiceUnavailable',
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'TimeoutError',
  'TooManyRequestsException',
]);
/** In the message too: the SDK wraps what it does not know for an error, and the code is lost. */
const networkCodes =
  /\b(ECONNREFUSED|ECONNRESET|ECONNABORTED|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|ERR_STREAM_PREMATURE_CLOSE|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/;

/** What kind of trouble it is; `other` is one of the service's own, by `errorName`. */
export function awsTrouble(error: unknown): AwsTrouble {
  const name = errorName(error);
  if (credentialNames.has(name)) return 'credentials';
  if (deniedNames.has(name) || httpStatus(error) === 403) return 'denied';
  if (/^(Region is missing|Invalid region)/i.test(messageOf(error))) return 'region';
  if (passingNames.has(name) || networkCodes.test(codeOf(error) || messageOf(error)) || (httpStatus(error) ?? 0) >= 500)
    return 'unavailable';
  return 'other';
}

/** `DBSnapshotNotFound`, without the `Fault` and `Exception` of which services are fond; empty for what is no error of a service. */
export function errorName(error: unknown): string {
  return textOf(error, 'name').replace(/(?<=.)Fault$/, '');
}

export interface Attempted {
  /** As the beginning of a sentence: `Storing orders.dump in s3://backups/cutover`. */
  doing: string;
  /** The IAM action without which it is refused: `s3:PutObject`. */
  action: string;
  /** On which resource, for people: `arn:aws:s3:::backups/*`. */
  on?: string;
  /** What it is when the service cannot be reached. */
  unavailable: Extract<FailureType, 'ArtifactStoreUnavailable' | 'SourceUnavailable'>;
}

/** A failure of the closed set. Credentials and permissions are for people; a service that does not answer is tried again. */
export function awsFailure(error: unknown, { doing, action, on, unavailable }: Attempted): Error {
  const code = codeOf(error) || errorName(error);
  const said = `${messageOf(error).includes(code) ? '' : `${code}: `}${messageOf(error)}`.slice(0, 400);
  const details = { code };
  switch (awsTrouble(error)) {
    case 'credentials':
      return failure(
        'AuthDenied',
        `${doing} failed: the worker has no valid AWS credentials (${said}). Give every worker a role, a profile (AWS_PROFILE) or keys (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), restart it, then retry.`,
        details,
        error,
      );
    case 'denied': {
      // The service knows better than we do what was missing, and often says it.
      const [, denied = action, resource = on] =
        /not authorized to perform: (\S+)(?: on resource: (\S+))?/.exec(messageOf(error)) ?? [];
      return failure(
        'AuthDenied',
        `${doing} was refused (${said}). Allow the worker's AWS identity ${denied}${resource ? ` on ${resource}` : ''}, then retry.`,
        { ...details, action: denied },
        error,
      );
    }
    case 'region':
      return failure(
        'PreconditionFailed',
        `${doing} failed: no AWS region is known. Set AWS_REGION in the environment of every worker, restart it, then retry.`,
        details,
        error,
      );
    case 'unavailable':
      return failure(
        unavailable,
        `${doing} failed: ${said}. It is tried again by itself; look at the service and the network when that lasts.`,
        details,
        error,
      );
    case 'other':
      return failure('PreconditionFailed', `${doing} failed: ${said}. Mend what it names, then retry.`, details, error);
  }
}

function messageOf(error: unknown): string {
  return textOf(error, 'message') || codeOf(error);
}

/** The system's code of a network error, as `ECONNREFUSED`; empty for other errors. */
function codeOf(error: unknown): string {
  return textOf(error, 'code');
}

function textOf(error: unknown, member: 'name' | 'message' | 'code'): string {
  if (typeof error !== 'object' || error === null || !(member in error)) return '';
  const value = (error as Partial<Record<typeof member, unknown>>)[member];
  return typeof value === 'string' ? value : '';
}

/** Whether it comes from the SDK or from the network below it, and not from the code around it. */
export function isAwsError(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  return '$metadata' in error || '$fault' in error || awsTrouble(error) !== 'other';
}

function httpStatus(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('$metadata' in error)) return undefined;
  const metadata = error.$metadata;
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return undefined;
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : undefined;
}
