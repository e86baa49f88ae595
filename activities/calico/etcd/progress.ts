// How far a reading of etcd is, for heartbeats: done, total, rate, and how long it will take at that rate.
import type { EtcdEntry } from '../model/entry';
import type { EtcdPage } from './datastore';

export interface ReadingProgress {
  done: number;
  total: number;
  perSecond?: number;
  etaMs?: number;
}

/** The entries of the pages one by one; `report` is told after each page. */
export async function* entriesOf(
  pages: AsyncIterable<EtcdPage>,
  report: (progress: ReadingProgress) => void = () => undefined,
): AsyncGenerator<EtcdEntry> {
  const startedAt = performance.now();
  let done = 0;
  for await (const { entries, total } of pages) {
    yield* entries;
    done += entries.length;
    report(progressOf(done, total, performance.now() - startedAt));
  }
}

export function progressOf(done: number, total: number, elapsedMs: number): ReadingProgress {
  if (done === 0 || elapsedMs <= 0) return { done, total };
  const perSecond = Math.round((done * 1_000) / elapsedMs);
  return { done, total, perSecond, etaMs: Math.round((Math.max(0, total - done) * elapsedMs) / done) };
}
