// How a table becomes chunks. Pure: sizes in, page ranges out.

/** Ranges of tuple ids are only read as ranges from this version on; before, each would read the whole table. */
export const tidRangeScanVersion = 140_000;

export interface TableSize {
  /** Heap and TOAST. */
  bytes: number;
  /** Of the heap. */
  pages: number;
}

export interface PageRange {
  kind: 'table' | 'ctid';
  lower?: number;
  /** Left out: to the end, wherever that is by then. */
  upper?: number;
  bytes: number;
}

/** Chunks of about `chunkBytes`, TOAST shared out evenly over the pages; one whole-table chunk for what is not much larger. */
export function cut({ bytes, pages }: TableSize, chunkBytes: number, divisible = true): PageRange[] {
  const count = divisible ? Math.min(Math.round(bytes / chunkBytes), pages) : 1;
  if (count < 2) return [{ kind: 'table', bytes }];
  const bound = (index: number): number => Math.floor((pages * index) / count);
  return Array.from({ length: count }, (_, index) => ({
    kind: 'ctid',
    lower: bound(index),
    ...(index === count - 1 ? {} : { upper: bound(index + 1) }),
    bytes: Math.round((bytes * (bound(index + 1) - bound(index))) / pages),
  }));
}
