import { PageRanges } from '../../activities/postgres/incremental/ranges';

function read(ranges: PageRanges, pages: number, msPerPage: number): { lower: number; upper: number | null }[] {
  const found: { lower: number; upper: number | null }[] = [];
  for (const { pages: range, took } of ranges.of(pages)) {
    const lower = Number(range.lower ?? 0);
    const upper = range.upper === undefined || range.upper === null ? null : Number(range.upper);
    found.push({ lower, upper });
    took(((upper ?? pages) - lower) * msPerPage);
  }
  return found;
}

describe('page ranges', () => {
  it('meet without a gap, the last one open, and come to last as long as wished', () => {
    const found = read(new PageRanges(1_000, true), 1_000_000, 0.1);
    expect(found[0]?.lower).toBe(0);
    found.slice(1).forEach(({ lower }, at) => expect(lower).toBe(found[at]?.upper));
    expect(found.at(-1)?.upper).toBeNull();
    const sizes = found.slice(3, -1).map(({ lower, upper }) => (upper ?? 0) - lower);
    expect(sizes.every((size) => size === 10_000)).toBe(true);
  });

  it('shrink on a slow server, but not to nothing', () => {
    const ranges = new PageRanges(1_000, true);
    read(ranges, 50_000, 100);
    const sizes = read(ranges, 1_000, 100).map(({ lower, upper }) => (upper ?? 1_000) - lower);
    expect(Math.max(...sizes)).toBe(64);
  });

  it('are one for a table that is small or cannot be read in parts', () => {
    expect(read(new PageRanges(1_000, true), 10, 1)).toEqual([{ lower: 0, upper: null }]);
    expect(read(new PageRanges(1_000, false), 1_000_000, 1)).toEqual([{ lower: 0, upper: null }]);
  });
});
