// Two sequences of entries in key order, walked side by side in bounded memory: what both have, and what only one has.
import type { EtcdEntry } from '../model/entry';
import { compareKeys } from './snapshot-file';

export type EntryPair =
  | { key: string; before: EtcdEntry; now: EtcdEntry }
  | { key: string; before: EtcdEntry; now?: undefined }
  | { key: string; before?: undefined; now: EtcdEntry };

/** Both sequences must be in the byte order of their keys, without repetition. */
export async function* pairUp(
  before: AsyncIterable<EtcdEntry>,
  now: AsyncIterable<EtcdEntry>,
): AsyncGenerator<EntryPair> {
  const left = before[Symbol.asyncIterator]();
  const right = now[Symbol.asyncIterator]();
  try {
    let [a, b] = [await next(left), await next(right)];
    for (;;) {
      if (!a && !b) return;
      const order = !a ? 1 : !b ? -1 : compareKeys(a.key, b.key);
      if (a && b && order === 0) {
        yield { key: a.key, before: a, now: b };
        [a, b] = [await next(left), await next(right)];
      } else if (a && order < 0) {
        yield { key: a.key, before: a };
        a = await next(left);
      } else if (b) {
        yield { key: b.key, now: b };
        b = await next(right);
      }
    }
  } finally {
    await Promise.all([left.return?.(), right.return?.()]);
  }
}

async function next(entries: AsyncIterator<EtcdEntry>): Promise<EtcdEntry | undefined> {
  const result = await entries.next();
  return result.done === true ? undefined : result.value;
}
