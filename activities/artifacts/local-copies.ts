// Files on the worker's own disk, for a store that is elsewhere: what is being written before it is sent, and what was fetched for tools that
// need a file. In a folder of this process alone, which goes with it; that of a process that was killed goes when the next one looks.
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdtemp, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { isRunning } from './content';

const prefix = 'cutover-artifacts.';
/** Longer than any tool reads one file; the large ones are given back before. */
const forgottenAfterMs = 7 * 24 * 3_600_000;

interface Copy {
  users: number;
  usedAt: number;
  filled: Promise<unknown>;
}

export class LocalCopies {
  private folder?: Promise<string>;
  /** By file name. */
  private readonly copies = new Map<string, Copy>();

  /** @param parent the system's folder for temporary files */
  constructor(private readonly parent: string) {}

  /** A path for a new file; whatever is there is removed when `work` ends. */
  async aside<Result>(work: (path: string) => Promise<Result>): Promise<Result> {
    const path = join(await this.place(), `incoming.${randomUUID()}`);
    try {
      return await work(path);
    } finally {
      await rm(path, { force: true }).catch(() => undefined);
    }
  }

  /** The path of the copy of that name, made by `fill` when there is none; it is seen whole or not at all. */
  async take(name: string, fill: (path: string) => Promise<void>): Promise<string> {
    await this.forget();
    const path = join(await this.place(), name);
    const known = this.copies.get(name);
    const copy: Copy = known ?? {
      users: 0,
      usedAt: 0,
      filled: this.aside(async (incoming) => {
        await fill(incoming);
        await rename(incoming, path);
      }),
    };
    this.copies.set(name, copy);
    copy.users += 1;
    copy.usedAt = Date.now();
    try {
      await copy.filled;
      await stat(path);
      return path;
    } catch (error) {
      if (this.copies.get(name) === copy) this.copies.delete(name);
      throw error;
    }
  }

  /** One who took it needs it no more; with the last one the file goes. */
  async giveBack(name: string): Promise<void> {
    const copy = this.copies.get(name);
    if (!copy) return;
    copy.users -= 1;
    if (copy.users <= 0) await this.drop(name);
  }

  async drop(name: string): Promise<void> {
    this.copies.delete(name);
    await rm(join(await this.place(), name), { force: true });
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.parent);
    return bavail * bsize;
  }

  private async forget(): Promise<void> {
    for (const [name, { usedAt }] of this.copies)
      if (Date.now() - usedAt > forgottenAfterMs) await this.drop(name).catch(() => undefined);
  }

  /** Made when it is first needed, also anew when somebody cleaned up the system's temporary files. */
  private async place(): Promise<string> {
    const known = this.folder;
    if (known) {
      const folder = await known.catch(() => undefined);
      if (folder !== undefined && (await stat(folder).catch(() => undefined))) return folder;
      if (this.folder === known) this.folder = undefined;
    }
    this.folder ??= makeFolder(this.parent);
    return this.folder;
  }
}

const ownFolders = new Set<string>();

async function makeFolder(parent: string): Promise<string> {
  await sweep(parent);
  const folder = await mkdtemp(join(parent, `${prefix}${hostname()}.${process.pid}.`));
  if (ownFolders.size === 0) process.once('exit', removeOwn);
  ownFolders.add(folder);
  return folder;
}

function removeOwn(): void {
  for (const folder of ownFolders) rmSync(folder, { recursive: true, force: true });
}

/** Folders of processes that are gone. What cannot be removed belongs to somebody else. */
async function sweep(parent: string): Promise<void> {
  const ours = `${prefix}${hostname()}.`;
  for (const entry of await readdir(parent)) {
    if (!entry.startsWith(prefix)) continue;
    const path = join(parent, entry);
    const information = await stat(path).catch(() => undefined);
    const old = information !== undefined && Date.now() - information.mtimeMs > forgottenAfterMs;
    const pid = Number(entry.startsWith(ours) ? entry.slice(ours.length).split('.')[0] : undefined);
    // A container's first process has the same number at every start.
    const dead = Number.isInteger(pid) && !isRunning(pid);
    if ((dead || old) && !ownFolders.has(path)) await rm(path, { recursive: true, force: true }).catch(() => undefined);
  }
}
