import { batchesOf, conclude, linesOf, type MovingResult } from '../../activities/postgres/moving/batch';
import { BucketSums, finerBits, firstBits } from '../../activities/postgres/moving/bucket-sums';
import { absent, afterFollowing, afterWriting, type Seen } from '../../activities/postgres/moving/judgement';
import { planPending } from '../../activities/postgres/moving/pending';
import { movingProgress, type MovingProgress } from '../../activities/postgres/moving/progress';
import type { Subject } from '../../activities/postgres/moving/subjects';

const seen = (content: string, version: string, rows = 1): Seen => ({ rows, content, version });
const round = (writing: Seen, following: Seen) => ({ writing, following });

describe('a row with a key', () => {
  it('is fine when both sides show the same, at whichever look', () => {
    expect(afterFollowing(true, undefined, seen('A', 's1'), seen('A', 't1'))).toBe('fine');
    expect(afterFollowing(true, undefined, absent, absent)).toBe('fine');
    expect(afterWriting(true, seen('A', 's1'), seen('B', 't1'), seen('B', 's2'))).toBe('fine');
  });

  it('is wrong when one version of it stood on a side while the other showed something else', () => {
    expect(afterWriting(true, seen('A', 's1'), seen('B', 't1'), seen('A', 's1'))).toBe('different');
    expect(afterWriting(true, seen('A', 's1'), absent, seen('A', 's1'))).toBe('missing');
    const before = round(absent, seen('B', 't1'));
    expect(afterFollowing(true, before, absent, seen('B', 't1'))).toBe('extra');
    expect(afterFollowing(true, before, seen('A', 's2'), seen('B', 't1'))).toBe('different');
  });

  it('is never accused for being changed and changed back, or for coming and going', () => {
    expect(afterWriting(true, seen('A', 's1'), seen('B', 't1'), seen('A', 's3'))).toBe('open');
    expect(afterWriting(true, absent, seen('B', 't1'), absent)).toBe('open');
    expect(afterFollowing(true, round(seen('A', 's1'), absent), seen('A', 's2'), absent)).toBe('open');
    expect(afterFollowing(true, round(absent, seen('B', 't1')), absent, seen('B', 't2'))).toBe('open');
    expect(afterFollowing(true, undefined, absent, seen('B', 't1'))).toBe('open');
  });
});

describe('rows without a key', () => {
  it('are wrong by number, when those that are too many stood there', () => {
    expect(afterWriting(false, seen('A', 's1', 3), seen('A', 't1', 2), seen('A', 's1', 3))).toBe('missing');
    expect(afterFollowing(false, round(absent, seen('A', 't1', 2)), seen('A', 's1'), seen('A', 't1', 2))).toBe('extra');
  });

  it('are fine only when both sides stood, and had as many', () => {
    const before = round(seen('A', 's1', 2), seen('A', 't1', 2));
    expect(afterFollowing(false, before, seen('A', 's1', 2), seen('A', 't1', 2))).toBe('fine');
    // As many by chance: one that is wrong beside one that moves.
    expect(afterFollowing(false, before, seen('A', 's2', 2), seen('A', 't1', 2))).toBe('open');
    expect(afterFollowing(false, before, seen('A', 's1', 2), seen('A', 't2', 2))).toBe('open');
    expect(afterFollowing(false, undefined, seen('A', 's1', 2), seen('A', 't1', 2))).toBe('open');
  });

  it('are never accused for more that came and went in between', () => {
    expect(afterWriting(false, seen('A', 's1', 2), seen('A', 't1', 3), seen('A', 's1', 2))).toBe('open');
    expect(afterWriting(false, seen('A', 's1', 3), seen('A', 't1', 2), seen('A', 's2', 3))).toBe('open');
    const before = round(seen('A', 's1', 2), seen('A', 't1', 2));
    expect(afterFollowing(false, before, seen('A', 's2', 3), seen('A', 't1', 2))).toBe('open');
  });
});

describe('sums of buckets', () => {
  it('tell which buckets differ, in number, content or both, whatever the order the pieces come in', () => {
    const sums = new BucketSums(4);
    const huge = (2n ** 63n - 1n) * 5n;
    sums.add('source', 1, '5', huge.toString(), '-3');
    sums.add('source', 2, '1', '10', '10');
    sums.add('target', 1, '2', (huge - 7n).toString(), '-4');
    sums.add('target', 1, '3', '7', '1');
    sums.add('target', 2, '1', '10', '11');
    sums.add('target', 9, '4', '0', '0');
    expect(sums.differing()).toEqual([
      { bucket: 2, rows: 1 },
      { bucket: 9, rows: 4 },
    ]);
    expect(sums.totals.target).toEqual({ rows: 10n, high: huge + 10n, low: 8n });
  });

  it('can be cut finer within buckets that differ', () => {
    const sums = new BucketSums(10, { bits: 4, buckets: [3, 12] });
    sums.add('source', (12 << 6) + 5, '1', '1', '1');
    sums.add('target', (3 << 6) + 63, '2', '1', '1');
    expect(sums.differing()).toEqual([
      { bucket: (12 << 6) + 5, rows: 1 },
      { bucket: (3 << 6) + 63, rows: 2 },
    ]);
    expect(() => sums.add('source', 5 << 6, '1', '1', '1')).toThrow('was not asked for');
  });

  it('grow with the table to 2^16 at first, and are finer where fewer differ', () => {
    expect([0, 10_000, 1_000_000, 100_000_000].map(firstBits)).toEqual([4, 7, 13, 16]);
    expect(finerBits(16, 1)).toBe(31);
    expect(finerBits(16, 256)).toBe(28);
    expect(finerBits(16, 2 ** 16)).toBe(20);
    expect(finerBits(30, 1)).toBeUndefined();
  });
});

function subject(name: string, rest: Partial<Subject> = {}): Subject {
  const side = { relation: { schema: 'public', name, columns: [], bytes: 0, pages: 0 }, equality: [] };
  const base = { schema: 'public', name, mode: 'rows' as const, keyed: true, header: '', bytes: 1, rows: 1 };
  return { ...base, source: side, target: side, ...rest };
}

function undecided(name: string, keys: number, whole = false): MovingResult {
  const verdict = { table: `public.${name}`, schema: 'public', name, digested: true, comparable: true, bytes: 1 };
  const ids = Array.from({ length: keys }, (_, at) => `["${at}"]`);
  return {
    verdict: { ...verdict, outcome: 'equal' },
    lines: [],
    onOneSideOnly: false,
    moved: keys,
    undecided: ids,
    whole,
  };
}

describe('what is left to the freeze', () => {
  it('is bounded: tables beyond it are unverifiable, those with few rows left come first', () => {
    const subjects = [subject('many'), subject('few'), subject('most'), subject('bag', { keyed: false })];
    const large = subject('log', { keyed: false, bytes: 2 ** 30 });
    const results = [
      undecided('most', 9_000),
      undecided('many', 5_000),
      undecided('few', 3),
      undecided('bag', 7, true),
    ];
    const planned = planPending([...results, undecided('log', 1, true)], [...subjects, large], 'md5');
    expect(planned.pending.tables.map(({ name, keys }) => [name, keys.length])).toEqual([
      ['few', 3],
      ['bag', 0],
      ['many', 5_000],
    ]);
    expect(planned.undecided).toBe(5_004);
    const unverifiable = planned.results.filter(({ verdict }) => verdict.outcome === 'unverifiable');
    expect(unverifiable.map(({ verdict }) => verdict.table)).toEqual(['public.most', 'public.log']);
    expect(unverifiable.map(({ verdict }) => verdict.why)).toEqual([
      expect.stringContaining('9000 rows that move all the time'),
      expect.stringContaining('has no key'),
    ]);
  });
});

describe('rows without a key that never stand still', () => {
  it('leave their whole table to the freeze, whatever else is wrong in it', () => {
    const total = { rows: 3n, high: 0n, low: 0n };
    const read = { totals: { source: total, target: total }, candidates: [], complete: true };
    const wrong = [{ id: '', label: '', kind: 'extra' as const, rows: 1 }];
    const keyless = subject('t', { keyed: false });
    for (const found of [[], wrong])
      expect(conclude(keyless, read, { wrong: found, undecided: ['digest'] }, 'source', false)?.whole).toBe(true);
    expect(conclude(subject('t'), read, { wrong, undecided: ['["1"]'] }, 'source', false)?.whole).toBe(false);
  });
});

describe('a pass that has not seen all that differs', () => {
  const total = { rows: 3n, high: 0n, low: 0n };
  const read = { totals: { source: total, target: total }, candidates: [], complete: false };
  const settled = { wrong: [], undecided: ['["1"]'] };

  it('proves nothing but what it found wrong', () => {
    expect(conclude(subject('t'), read, settled, 'source', false)).toBeUndefined();
    const wrong = [{ id: '1', label: '(1)', kind: 'different' as const, rows: 0 }];
    expect(conclude(subject('t'), read, { ...settled, wrong }, 'source', false)).toMatchObject({
      verdict: { outcome: 'unequal', why: 'has at least 1 different rows' },
    });
  });

  it('leaves the whole table to the freeze when there have been enough', () => {
    expect(conclude(subject('t'), read, settled, 'source', true)).toMatchObject({ whole: true, undecided: [] });
  });
});

describe('tables of one pass', () => {
  it('are half a gigabyte together, or one that is bigger', () => {
    const gigabyte = 2 ** 30;
    const all = [
      subject('a', { bytes: 10 }),
      subject('big', { bytes: gigabyte }),
      subject('b', { bytes: gigabyte / 4 }),
    ];
    expect(batchesOf(all).map((batch) => batch.map(({ name }) => name))).toEqual([['big'], ['b', 'a']]);
    expect(batchesOf(Array.from({ length: 450 }, (_, at) => subject(`t${at}`)))).toHaveLength(3);
  });
});

describe('lines for people', () => {
  it('say on which side a row is missing, the other way round on the way back', () => {
    const wrong = [
      { id: '2', label: '(2)', kind: 'missing' as const, rows: 1 },
      { id: '1', label: '(1)', kind: 'extra' as const, rows: 1 },
    ];
    expect(linesOf(subject('t'), wrong, 'source', '')).toEqual([
      'public.t key=(1): extra on the source',
      'public.t key=(2): missing on the source',
    ]);
    const keyless = subject('t', { keyed: false });
    expect(linesOf(keyless, [{ id: '', label: '', kind: 'missing', rows: 3 }], 'source', '')).toEqual([
      'public.t (no key): 0 rows only on the source, 3 rows only on the target',
    ]);
  });
});

describe('progress', () => {
  it('goes by bytes, knows what was done before, and gives no time before it can', () => {
    const reports: MovingProgress[] = [];
    const [done, open] = [subject('a', { bytes: 600 }), subject('b', { bytes: 400 })];
    const progress = movingProgress([done, open], [open], (report) => reports.push(report));
    expect(reports[0]).toEqual({ tablesDone: 1, tablesTotal: 2, bytesDone: 600, bytesTotal: 1_000 });
    jest.useFakeTimers({ now: Date.now() + 10_000 });
    progress.bytes(100);
    jest.useRealTimers();
    const last = reports.at(-1);
    expect(last?.bytesDone).toBe(700);
    expect(last?.bytesPerSecond).toBe(10);
    expect(last?.etaMs).toBe(30_000);
    progress.done(1);
    expect(reports.at(-1)?.tablesDone).toBe(2);
  });
});
