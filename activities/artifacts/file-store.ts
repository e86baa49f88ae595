// Artifacts in a directory that all workers share: <root>/<migration>/<first 2 of sha256>/<sha256>-<name>.
// Written beside its final place, synced, renamed: whole or absent. Content is streamed, never held in memory.
import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, statfs } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { failure } from '../errors';
import { codeOf, digest, isRunning, pathSafe, write } from './content';
import type { ArtifactContent, ArtifactReference, ArtifactStore } from './store';

const incoming = '.incoming';
const abandonedAfterMs = 24 * 3_600_000;

/** A store in the directory of a `file:///…` URL; the directory is made at the first `put`. @throws PreconditionFailed when it is no such URL */
export function createFileStore(rootUrl: string): ArtifactStore {
  const root = rootOf(rootUrl);
  return new FileStore(root);
}

class FileStore implements ArtifactStore {
  /** Files already compared with their digest: path -> size, time of change and digest as they were then. */
  private readonly verified = new Map<string, string>();
  private readonly writing = new Set<string>();

  constructor(private readonly root: string) {}

  async put(migration: string, name: string, content: ArtifactContent): Promise<ArtifactReference> {
    const folder = join(this.root, pathSafe(migration));
    const temporary = join(folder, incoming, `${hostname()}.${process.pid}.${randomUUID()}`);
    this.writing.add(temporary);
    try {
      await mkdir(dirname(temporary), { recursive: true, mode: 0o700 });
      await this.sweep(dirname(temporary));
      const { sha256, bytes } = await write(temporary, content);
      const path = join(folder, sha256.slice(0, 2), `${sha256}-${pathSafe(name)}`);
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await rename(temporary, path);
      await syncFolder(dirname(path));
      return { url: pathToFileURL(path).href, sha256, bytes, name };
    } catch (error) {
      throw this.explain(error, `Storing ${name}`);
    } finally {
      this.writing.delete(temporary);
      await rm(temporary, { force: true }).catch(() => undefined);
    }
  }

  async fetch(reference: ArtifactReference): Promise<string> {
    const path = pathOf(reference);
    try {
      const { size, mtimeMs } = await stat(path);
      const state = `${size} ${mtimeMs} ${reference.sha256}`;
      if (this.verified.get(path) === state) return path;
      const found = await digest(path);
      if (found !== reference.sha256) {
        throw failure(
          'VerificationMismatch',
          `The artifact ${reference.name} at ${path} has changed since it was stored: sha256 ${found}, expected ${reference.sha256}. Restore the file from a backup, or run the step that made it again.`,
        );
      }
      this.verified.set(path, state);
      return path;
    } catch (error) {
      throw this.explain(error, `Reading ${reference.name} at ${path}`);
    }
  }

  async read(reference: ArtifactReference): Promise<string> {
    const path = await this.fetch(reference);
    return readFile(path, 'utf8').catch((error: unknown) => {
      throw this.explain(error, `Reading ${reference.name} at ${path}`);
    });
  }

  async remove(reference: ArtifactReference): Promise<void> {
    const path = pathOf(reference);
    if (relative(this.root, path).startsWith('..')) {
      throw failure(
        'PreconditionFailed',
        `The artifact ${reference.name} is not under ${this.root} and was not removed. Remove ${path} by hand.`,
      );
    }
    this.verified.delete(path);
    await rm(path, { force: true }).catch((error: unknown) => {
      throw this.explain(error, `Removing ${reference.name} at ${path}`);
    });
  }

  async freeBytes(): Promise<number | undefined> {
    try {
      await mkdir(this.root, { recursive: true });
      const { bavail, bsize } = await statfs(this.root);
      return bavail * bsize;
    } catch (error) {
      throw this.explain(error, 'Measuring the free space');
    }
  }

  /** What a killed worker left half written goes, or its retries would fill the disk. */
  private async sweep(folder: string): Promise<void> {
    for (const entry of await readdir(folder)) {
      const path = join(folder, entry);
      if (this.writing.has(path)) continue;
      const [pid] = entry.slice(hostname().length + 1).split('.');
      const here = entry.startsWith(`${hostname()}.`);
      const information = await stat(path).catch(() => undefined);
      const old = information !== undefined && Date.now() - information.mtimeMs > abandonedAfterMs;
      if (old || (here && !isRunning(Number(pid)))) await rm(path, { force: true });
    }
  }

  private explain(error: unknown, doing: string): unknown {
    const code = codeOf(error);
    switch (code) {
      case 'ENOSPC':
      case 'EDQUOT':
        return failure(
          'PreconditionFailed',
          `${doing} failed: the artifact directory ${this.root} is full (${code}). Free space there or point CUTOVER_ARTIFACTS of every worker at a larger directory, then retry.`,
          { code },
          error,
        );
      case 'EACCES':
      case 'EPERM':
      case 'EROFS':
        return failure(
          'PreconditionFailed',
          `${doing} failed: the worker may not use the artifact directory ${this.root} (${code}). Make it readable and writable for the user of the worker, then retry.`,
          { code },
          error,
        );
      case 'ENOTDIR':
      case 'EEXIST':
        return failure(
          'PreconditionFailed',
          `${doing} failed: ${this.root} is not a directory (${code}). Point CUTOVER_ARTIFACTS at a directory, then retry.`,
          { code },
          error,
        );
      case 'ENOENT':
        return failure(
          'ArtifactStoreUnavailable',
          `${doing} failed: there is no such file. Mount the same artifact directory ${this.root} on every worker; it is tried again by itself.`,
          { code },
          error,
        );
      default:
        if (code === undefined || !/^E[A-Z]+$/.test(code)) return error;
        return failure(
          'ArtifactStoreUnavailable',
          `${doing} failed in ${this.root}: ${code}. It is tried again by itself; look at the disk when that lasts.`,
          { code },
          error,
        );
    }
  }
}

function rootOf(url: string): string {
  try {
    const root = fileURLToPath(url);
    if (resolve(root) !== '/') return resolve(root);
  } catch {
    // Told below, together with the root directory itself.
  }
  throw failure(
    'PreconditionFailed',
    `The artifact store "${url.replace(/\/\/[^/]*@/, '//')}" is not a file:// URL of a directory. Set CUTOVER_ARTIFACTS to something like file:///var/lib/cutover.`,
  );
}

function pathOf(reference: ArtifactReference): string {
  try {
    return fileURLToPath(reference.url);
  } catch {
    throw failure(
      'PreconditionFailed',
      `The artifact ${reference.name} is not a file: its URL begins with ${reference.url.split(':')[0]}. Set CUTOVER_ARTIFACTS back to the store that it was written to.`,
    );
  }
}

/** A rename survives a power cut only when its directory is synced; some file systems refuse that, which is no error. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  await folder
    .sync()
    .catch(() => undefined)
    .finally(() => folder.close());
}
