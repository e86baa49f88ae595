// The demo's own folder: emptied at every start, so it must be certain that it is the demo's and nobody else's.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Why the folder is left alone: for the caller of the command to mend. */
export class FolderRefused extends Error {}

const marker = '.cutover-demo';

/** Makes the folder, or empties it if an earlier demo made it. @throws FolderRefused when it holds something else, or a demo that still runs */
export function freshFolder(folder: string): void {
  const mark = join(folder, marker);
  if (existsSync(folder) && readdirSync(folder).length > 0) {
    if (!existsSync(mark))
      throw new FolderRefused(
        `--folder is ${folder}, which is not empty and was not made by the demo; name another one`,
      );
    const pid = Number(readFileSync(mark, 'utf8'));
    if (isAlive(pid))
      throw new FolderRefused(
        `--folder is ${folder}, where the demo with pid ${pid} still runs; stop that one or name another folder`,
      );
    rmSync(folder, { recursive: true, force: true });
  }
  mkdirSync(folder, { recursive: true });
  writeFileSync(mark, `${process.pid}\n`);
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid < 1 || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Somebody else's process may not be signalled, but it is there.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
