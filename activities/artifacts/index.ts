// The choice of a store by its URL.
import { failure } from '../errors';
import { createFileStore } from './file-store';
import { createS3Store } from './s3-store';
import type { ArtifactStore } from './store';

/**
 * The store behind CUTOVER_ARTIFACTS: `file:///var/lib/cutover`, `s3://bucket/prefix`. Nothing is opened or connected yet.
 * @param environment for S3: AWS_REGION, and CUTOVER_S3_ENDPOINT or AWS_ENDPOINT_URL_S3 for implementations other than Amazon's
 * @throws PreconditionFailed that says what was found and what was expected
 */
export function artifactStoreFor(url: string, environment: NodeJS.ProcessEnv = process.env): ArtifactStore {
  if (/^s3:/i.test(url)) return createS3Store(url, environment);
  if (/^file:/i.test(url)) return createFileStore(url);
  throw failure(
    'PreconditionFailed',
    `CUTOVER_ARTIFACTS is "${withoutCredentials(url)}", expected the file:// URL of a directory that all workers share, as file:///var/lib/cutover, or s3://bucket/prefix.`,
  );
}

function withoutCredentials(url: string): string {
  return url.replace(/\/\/[^/]*@/, '//');
}
