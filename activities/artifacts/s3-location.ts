// `s3://bucket/prefix`, and the URLs of objects below it.
import { failure } from '../errors';

export interface S3Location {
  bucket: string;
  /** Without a slash at either end; may be empty. */
  key: string;
}

/** Names of buckets as S3 has them, and characters that mean the same to every tool. */
const rootPattern = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/([A-Za-z0-9!_.*'()=/-]*))?$/;
const longestPrefix = 500;

/** @throws PreconditionFailed for what is no `s3://bucket` or `s3://bucket/prefix` */
export function rootOf(url: string): S3Location {
  const [, bucket, path = ''] = rootPattern.exec(url) ?? [];
  const key = path.replace(/\/+$/, '');
  const whole = key === '' || key.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
  if (bucket !== undefined && whole && key.length <= longestPrefix) return { bucket, key };
  throw failure(
    'PreconditionFailed',
    `CUTOVER_ARTIFACTS is "${url.replace(/\/\/[^/]*@/, '//')}", expected s3://bucket or s3://bucket/prefix: the name of a bucket, and a prefix of letters, digits and - _ . = between single slashes; region, endpoint and credentials come from the environment.`,
  );
}

export function urlOf({ bucket, key }: S3Location): string {
  return key === '' ? `s3://${bucket}` : `s3://${bucket}/${key}`;
}

/** @returns undefined for what is no URL of an object */
export function objectOf(url: string): S3Location | undefined {
  const [, bucket, key] = /^s3:\/\/([^/]+)\/(.+)$/.exec(url) ?? [];
  return bucket === undefined || key === undefined ? undefined : { bucket, key };
}
