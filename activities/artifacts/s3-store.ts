// Artifacts in a bucket of S3: <prefix>/<migration>/<first 2 of sha256>/<sha256>-<name>. An object appears whole or not at all, which is S3's own
// promise. What is stored is written to the worker's disk first, since its digest is its name; what is fetched is copied there.
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { S3Client } from '@aws-sdk/client-s3';
import { awsFailure, errorName, isAwsError } from '../aws/errors';
import { failure, failureType } from '../errors';
import { stopSignal } from '../heartbeat';
import { codeOf, pathSafe, write } from './content';
import { LocalCopies } from './local-copies';
import { objectOf, rootOf, urlOf, type S3Location } from './s3-location';
import { upload } from './s3-upload';
import type { ArtifactContent, ArtifactReference, ArtifactStore } from './store';

/**
 * A store in `s3://bucket/prefix`. The SDK is loaded and credentials are looked for when it is first used.
 * @throws PreconditionFailed when it is no such URL
 */
export function createS3Store(rootUrl: string, environment: NodeJS.ProcessEnv): ArtifactStore {
  return new S3Store(rootOf(rootUrl), environment);
}

class S3Store implements ArtifactStore {
  private readonly local: LocalCopies;
  private connected?: Promise<S3Client>;

  constructor(
    private readonly root: S3Location,
    private readonly environment: NodeJS.ProcessEnv,
  ) {
    this.local = new LocalCopies(environment.TMPDIR || tmpdir());
  }

  async put(migration: string, name: string, content: ArtifactContent): Promise<ArtifactReference> {
    const signal = stopSignal();
    const doing = `Storing ${name} in ${urlOf(this.root)}`;
    return this.local
      .aside(async (path) => {
        // Errors of the content's own maker pass: a pg_dump that failed has nothing to do with S3.
        const { sha256, bytes } = await write(path, content);
        const { bucket } = this.root;
        const folder = [this.root.key, pathSafe(migration)].filter(Boolean).join('/');
        const key = `${folder}/${sha256.slice(0, 2)}/${sha256}-${pathSafe(name)}`;
        const what = { bucket, key, folder, path, bytes, sha256, contentType: contentTypeOf(name), signal };
        await this.explained(doing, 's3:PutObject', signal, async () => upload(await this.client(), what));
        return { url: urlOf({ bucket, key }), sha256, bytes, name };
      })
      .catch((error: unknown) => {
        throw fullDisk(error, doing) ?? error;
      });
  }

  async fetch(reference: ArtifactReference): Promise<string> {
    const signal = stopSignal();
    const object = this.objectOf(reference);
    return this.explained(`Reading ${reference.name} at ${reference.url}`, 's3:GetObject', signal, () =>
      this.local.take(copyName(reference), (path) => this.download(object, reference, path, signal)),
    );
  }

  async read(reference: ArtifactReference): Promise<string> {
    const path = await this.fetch(reference);
    try {
      return await readFile(path, 'utf8');
    } finally {
      await this.release(reference);
    }
  }

  async release(reference: ArtifactReference): Promise<void> {
    await this.local.giveBack(copyName(reference));
  }

  async remove(reference: ArtifactReference): Promise<void> {
    const { bucket, key } = this.objectOf(reference);
    const under = this.root.key === '' ? '' : `${this.root.key}/`;
    if (bucket !== this.root.bucket || !key.startsWith(under)) {
      throw failure(
        'PreconditionFailed',
        `The artifact ${reference.name} is not under ${urlOf(this.root)} and was not removed. Remove ${reference.url} by hand.`,
      );
    }
    const signal = stopSignal();
    await this.local.drop(copyName(reference));
    await this.explained(`Removing ${reference.url}`, 's3:DeleteObject', signal, async () => {
      const { DeleteObjectCommand } = await import('@aws-sdk/client-s3');
      const client = await this.client();
      await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }), { abortSignal: signal });
    });
  }

  /** Of the worker's own disk: what is stored passes through it. */
  freeBytes(): Promise<number> {
    return this.local.freeBytes();
  }

  private async download(
    { bucket, key }: S3Location,
    reference: ArtifactReference,
    path: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { GetObjectCommand } = await import('@aws-sdk/client-s3');
    const client = await this.client();
    const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }), { abortSignal: signal });
    if (!(Body instanceof Readable)) throw new Error('S3 answered without a body');
    const hash = createHash('sha256');
    await pipeline(
      Body,
      async function* (chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          hash.update(chunk);
          yield chunk;
        }
      },
      createWriteStream(path, { flags: 'wx', mode: 0o600 }),
      { signal },
    );
    const found = hash.digest('hex');
    if (found === reference.sha256) return;
    await rm(path, { force: true });
    throw failure(
      'VerificationMismatch',
      `The artifact ${reference.name} at ${reference.url} has changed since it was stored: sha256 ${found}, expected ${reference.sha256}. Restore the object from a version or a backup, or run the step that made it again.`,
    );
  }

  private client(): Promise<S3Client> {
    this.connected ??= connect(this.environment);
    return this.connected;
  }

  private objectOf(reference: ArtifactReference): S3Location {
    const object = objectOf(reference.url);
    if (object) return object;
    throw failure(
      'PreconditionFailed',
      `The artifact ${reference.name} is not in S3: its URL begins with ${reference.url.split(':')[0]}. Set CUTOVER_ARTIFACTS back to the store that it was written to.`,
    );
  }

  private async explained<Result>(
    doing: string,
    action: string,
    signal: AbortSignal,
    work: () => Promise<Result>,
  ): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      throw this.explain(error, doing, action);
    }
  }

  private explain(error: unknown, doing: string, action: string): unknown {
    if (failureType(error)) return error;
    const full = fullDisk(error, doing);
    if (full) return full;
    const { bucket } = this.root;
    switch (errorName(error)) {
      case 'NoSuchBucket':
        return failure(
          'PreconditionFailed',
          `${doing} failed: there is no bucket ${bucket}. Make it, or point CUTOVER_ARTIFACTS of every worker at another, then retry.`,
          { code: 'NoSuchBucket' },
          error,
        );
      case 'NoSuchKey':
      case 'NotFound':
        return failure(
          'PreconditionFailed',
          `${doing} failed: the object is gone. Restore it from a version or a backup, or run the step that made it again; look for a lifecycle rule of the bucket that deletes.`,
          { code: 'NoSuchKey' },
          error,
        );
      case 'AbortError':
        // Another reader of the same copy was cancelled, and this one was waiting for it.
        return failure('ArtifactStoreUnavailable', `${doing} was interrupted. It is tried again by itself.`);
      default:
        if (!isAwsError(error)) return error;
        return awsFailure(error, {
          doing,
          action,
          on: `arn:aws:s3:::${bucket}/*`,
          unavailable: 'ArtifactStoreUnavailable',
        });
    }
  }
}

/** Of the worker's own disk. @returns undefined when it is something else */
function fullDisk(error: unknown, doing: string): Error | undefined {
  const code = codeOf(error);
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return undefined;
  return failure(
    'PreconditionFailed',
    `${doing} failed: the disk of the worker's temporary files, through which every artifact passes, is full (${code}). Free space there, or set TMPDIR of every worker to a larger directory, restart it, then retry.`,
    { code },
    error,
  );
}

/** So that a browser shows a report from the bucket in place of saving it. */
function contentTypeOf(name: string): string {
  const types: Record<string, string> = {
    html: 'text/html; charset=utf-8',
    json: 'application/json',
    md: 'text/markdown; charset=utf-8',
    txt: 'text/plain; charset=utf-8',
  };
  return types[name.split('.').at(-1) ?? ''] ?? 'application/octet-stream';
}

function copyName({ sha256, name }: ArtifactReference): string {
  return `${pathSafe(sha256)}-${pathSafe(name)}`;
}

/** Implementations other than Amazon's have no host name for each bucket. */
async function connect(environment: NodeJS.ProcessEnv): Promise<S3Client> {
  const { S3Client } = await import('@aws-sdk/client-s3');
  const endpoint =
    environment.CUTOVER_S3_ENDPOINT || environment.AWS_ENDPOINT_URL_S3 || environment.AWS_ENDPOINT_URL || undefined;
  const region = environment.AWS_REGION || environment.AWS_DEFAULT_REGION || (endpoint ? 'us-east-1' : undefined);
  return new S3Client({
    ...(region && { region }),
    ...(endpoint && { endpoint, forcePathStyle: true }),
    maxAttempts: 5,
    followRegionRedirects: true,
    requestHandler: { connectionTimeout: 10_000, socketTimeout: 60_000 },
  });
}
