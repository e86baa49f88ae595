// A folder of the cache is filled once, by one process, and seen whole or not at all: filled aside under a lock, then
// renamed into place. A lock whose holder died is taken over as soon as it stops being touched.
import { mkdir, mkdtemp, rename, rm, stat, utimes } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface CacheFill {
  /** The folder to be filled; its parent is made. */
  place: string;
  /** Whether what is in `place` does. */
  isReady: () => Promise<boolean>;
  /** Fills the empty folder given; nothing appears in `place` when it throws. */
  fill: (aside: string) => Promise<void>;
  /** Called once when another process is found filling it. */
  onWait?: () => void;
  /** How long an untouched lock is believed; milliseconds. */
  staleAfterMs?: number;
}

/** Resolves when `place` is ready, filled by us or by another process meanwhile. Throws what `fill` throws. */
export async function fillOnce({ place, isReady, fill, onWait, staleAfterMs = 20_000 }: CacheFill): Promise<void> {
  const parent = dirname(place);
  const lock = `${place}.lock`;
  await mkdir(parent, { recursive: true });
  let waited = false;
  while (!(await isReady())) {
    if (!(await take(lock))) {
      if (!waited) onWait?.();
      waited = true;
      await dropStale(lock, staleAfterMs);
      await sleep(200);
      continue;
    }
    const touch = setInterval(() => void utimes(lock, new Date(), new Date()).catch(() => undefined), staleAfterMs / 5);
    const aside = await mkdtemp(join(parent, `.${basename(place)}-`));
    try {
      if (await isReady()) return;
      await fill(aside);
      await rm(place, { recursive: true, force: true });
      await rename(aside, place);
      return;
    } finally {
      clearInterval(touch);
      await rm(aside, { recursive: true, force: true });
      await rm(lock, { recursive: true, force: true });
    }
  }
}

async function take(lock: string): Promise<boolean> {
  try {
    await mkdir(lock);
    return true;
  } catch (error) {
    if (typeof error === 'object' && error !== null && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

/** Moved away before it is removed, so that of two that wait only one takes it and neither removes the other's new lock. */
async function dropStale(lock: string, staleAfterMs: number): Promise<void> {
  const facts = await stat(lock).catch(() => undefined);
  if (!facts || Date.now() - facts.mtimeMs < staleAfterMs) return;
  const away = `${lock}.${process.pid}`;
  await rename(lock, away).catch(() => undefined);
  await rm(away, { recursive: true, force: true });
}
