// A table read page range by page range, each about as long as wished. Pure: times in, ranges out.
import type { Pages } from '../digest/row-digest';

const fewestPages = 64;
const firstPages = 256;
/** One slow answer is not the speed of the server, and one from memory is not that of its disk. */
const steepest = 4;

export class PageRanges {
  private pages = firstPages;

  /** @param divisible whether the server reads a range of tuple ids as a range */
  constructor(
    private readonly targetMs: number,
    private readonly divisible: boolean,
  ) {}

  /** The ranges of a table of so many pages, the last one to its end; `took` is told how long each took. */
  *of(pages: number): Generator<{ pages: Pages; took: (ms: number) => void }> {
    let lower = 0;
    for (;;) {
      const size = this.pages;
      const isLast = !this.divisible || lower + size >= pages;
      // A whole table in one is read with all that the server has, parallel workers among it.
      const range = isLast && lower === 0 ? {} : { lower: String(lower), upper: isLast ? null : String(lower + size) };
      yield { pages: range, took: (ms) => this.adapt(isLast ? Math.min(size, pages - lower) : size, ms) };
      if (isLast) return;
      lower += size;
    }
  }

  private adapt(pages: number, ms: number): void {
    if (pages < fewestPages) return;
    const wished = (pages * this.targetMs) / Math.max(ms, 1);
    const bounded = Math.min(this.pages * steepest, Math.max(this.pages / steepest, wished));
    this.pages = Math.max(fewestPages, Math.round(bounded));
  }
}
