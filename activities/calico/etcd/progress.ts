// How far a reading of etcd is, for heartbeats: done, total, rate, and how long it will take at that rate.
import type { EtcdEntry } from '../model/entry';
import type { EtcdPage } from './datastore';

export interface ReadingProgress {
  done: number;
  total: number;
  perSecond?: number;
  etaMs?: number;
}

/** The pages as they are; `report` is told after each one has been dealt with. */
export async function* reported(
  pages: AsyncIterable<EtcdPage>,
  report: (progress: ReadingProgress) => void,
): AsyncGenerator<EtcdPage> {
  const startedAt = performance.now();
  let done = 0;
  for await (const page of pages) {
    yield page;
    done += page.entries.length;
    report(progressOf(done, page.total, performance.now() - startedAt));
  }
}

/** The entries of the pages one by one. */
export async function* entriesOf(
  pages: AsyncIterable<EtcdPage>,
  report: (progress: ReadingProgress) => void,
): AsyncGenerator<EtcdEntry> {
  for await (const { entries } of reported(pages, report)) yield* entries;
}

export function progressOf(done: number, total: number, elapsedMs: number): ReadingProgress {
  if (done === 0 || elapsedMs <= 0) return { done, total };
  const perSecond = Math.round((done * 1_000) / elapsedMs);
  return { done, total, perSecond, etaMs: Math.round((Math.max(0, total - done) * elapsedMs) / done) };
}
