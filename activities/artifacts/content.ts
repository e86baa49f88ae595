// What every store does with content: written to a file of one's own and digested on the way, streamed, never held in memory.
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, open, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ArtifactContent } from './store';

/** Any text -> one file name that no path can climb out of, the same for the same text, different for different texts. */
export function pathSafe(text: string): string {
  const slug = text
    .replaceAll(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[.-]+/, '')
    .slice(0, 80);
  if (slug === text) return slug;
  return `${slug || 'unnamed'}~${createHash('sha256').update(text).digest('hex').slice(0, 8)}`;
}

/** Writes the content to a new file that is nobody else's to read, and syncs it. */
export async function write(path: string, content: ArtifactContent): Promise<{ sha256: string; bytes: number }> {
  if (typeof content === 'function') {
    await content(path);
    // A dump holds every row: nobody else's business, whatever the umask of the tool that wrote it.
    await chmod(path, 0o600);
    await syncFile(path);
    return { sha256: await digest(path), bytes: (await stat(path)).size };
  }
  const hash = createHash('sha256');
  let bytes = 0;
  const source = content instanceof Readable ? content : Readable.from([content], { objectMode: false });
  await pipeline(
    source,
    async function* (chunks: AsyncIterable<Buffer | string>) {
      for await (const chunk of chunks) {
        const buffer = Buffer.from(chunk as Buffer);
        hash.update(buffer);
        bytes += buffer.length;
        yield buffer;
      }
    },
    createWriteStream(path, { flags: 'wx', mode: 0o600, flush: true }),
  );
  return { sha256: hash.digest('hex'), bytes };
}

/** sha256 of a file, lower-case hex. */
export async function digest(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest('hex');
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  await file.sync().finally(() => file.close());
}

/** Whether a process of this machine, other than this one, has the id. */
export function isRunning(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

/** The system's code of an error, as `ENOSPC`. */
export function codeOf(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : undefined;
}
