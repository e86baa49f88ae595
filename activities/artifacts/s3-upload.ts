// A file into one object of S3: in one request where it is small, otherwise in parts, some at a time, each held in memory until it is sent. An
// upload that does not come to its end is taken back; of one whose worker was killed, S3 shows nothing but keeps the parts, so the next takes it back.
import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import type { CompletedPart, S3Client } from '@aws-sdk/client-s3';
import { errorName } from '../aws/errors';

export interface Upload {
  bucket: string;
  key: string;
  /** Everything of the migration is below it. */
  folder: string;
  path: string;
  bytes: number;
  /** Lower-case hex. */
  sha256: string;
  contentType: string;
  signal: AbortSignal;
}

const mebibyte = 1 << 20;
/** Of one request; with the lanes it bounds the memory of an upload. S3 takes from 5 MiB to 5 GiB, and 10 000 parts. */
const usualPartBytes = 16 * mebibyte;
const mostParts = 10_000;
const lanes = 3;
/** Longer than any worker is still at the same upload. */
const abandonedAfterMs = 48 * 3_600_000;

/** @throws what the SDK throws; nothing is to be seen of the object then */
export async function upload(client: S3Client, what: Upload): Promise<void> {
  const { path, bytes } = what;
  const file = await open(path, 'r');
  try {
    if (bytes <= usualPartBytes) await putWhole(client, what, file);
    else await putInParts(client, what, file);
  } finally {
    await file.close();
  }
}

async function putWhole(
  client: S3Client,
  { bucket, key, bytes, sha256, contentType, signal }: Upload,
  file: FileHandle,
): Promise<void> {
  const { PutObjectCommand } = await import('@aws-sdk/client-s3');
  await client.send(
    new PutObjectCommand({
      Bucket: bucket,
      Key: key,
      ContentType: contentType,
      Body: await readPart(file, 0, bytes),
      ChecksumSHA256: Buffer.from(sha256, 'hex').toString('base64'),
    }),
    { abortSignal: signal },
  );
}

async function putInParts(client: S3Client, what: Upload, file: FileHandle): Promise<void> {
  const { bucket, key, bytes, contentType, signal } = what;
  const sdk = await import('@aws-sdk/client-s3');
  await takeBackAbandoned(client, what);
  const of = { Bucket: bucket, Key: key };
  const { UploadId } = await client.send(
    new sdk.CreateMultipartUploadCommand({ ...of, ContentType: contentType, ChecksumAlgorithm: 'SHA256' }),
    {
      abortSignal: signal,
    },
  );
  const failed = new AbortController();
  const stop = AbortSignal.any([signal, failed.signal]);
  const partBytes = Math.max(usualPartBytes, Math.ceil(bytes / mostParts / mebibyte) * mebibyte);
  const parts: CompletedPart[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    for (;;) {
      stop.throwIfAborted();
      const index = next;
      const from = index * partBytes;
      if (from >= bytes) return;
      next += 1;
      const Body = await readPart(file, from, Math.min(partBytes, bytes - from));
      const ChecksumSHA256 = createHash('sha256').update(Body).digest('base64');
      const part = { PartNumber: index + 1, ChecksumSHA256 };
      const { ETag } = await client.send(new sdk.UploadPartCommand({ ...of, UploadId, ...part, Body }), {
        abortSignal: stop,
      });
      parts[index] = { ...part, ETag };
    }
  };
  try {
    const running = Array.from({ length: lanes }, lane);
    for (const one of running) one.catch(() => failed.abort());
    const ended = await Promise.allSettled(running);
    signal.throwIfAborted();
    const reasons = ended.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
    // The one that failed by itself, not those that were stopped because of it.
    if (reasons.length > 0) throw reasons.find((reason) => errorName(reason) !== 'AbortError') ?? reasons[0];
    await client.send(new sdk.CompleteMultipartUploadCommand({ ...of, UploadId, MultipartUpload: { Parts: parts } }), {
      abortSignal: signal,
    });
  } catch (error) {
    await client.send(new sdk.AbortMultipartUploadCommand({ ...of, UploadId })).catch(() => undefined);
    throw error;
  }
}

/** Best effort: a worker that may not list uploads still uploads, and a lifecycle rule of the bucket does the same. */
async function takeBackAbandoned(client: S3Client, { bucket, folder, signal }: Upload): Promise<void> {
  const { ListMultipartUploadsCommand, AbortMultipartUploadCommand } = await import('@aws-sdk/client-s3');
  try {
    const { Uploads = [] } = await client.send(
      new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: `${folder}/` }),
      { abortSignal: signal },
    );
    for (const { Key, UploadId, Initiated } of Uploads) {
      if (!Initiated || Date.now() - Initiated.getTime() < abandonedAfterMs) continue;
      await client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }), { abortSignal: signal });
    }
  } catch {
    signal.throwIfAborted();
  }
}

async function readPart(file: FileHandle, from: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, from + filled);
    if (bytesRead === 0) throw new Error('the file has become shorter while it was sent');
    filled += bytesRead;
  }
  return buffer;
}
