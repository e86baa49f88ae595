import { calmLevelOf, levelOf, walBudget, wordsOf } from '../../activities/postgres/stream/wal-ladder';

const gigabyte = 1_073_741_824;
const use = (percent: number, bytesPerSecond?: number) => ({
  retainedBytes: (percent / 100) * gigabyte,
  budgetBytes: gigabyte,
  ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
});

describe('the level of the slot guardian', () => {
  it.each([
    [0, 'fine'],
    [49, 'fine'],
    [50, 'alert'],
    [70, 'slow'],
    [85, 'pause'],
    [94, 'pause'],
    [95, 'drop'],
    [300, 'drop'],
  ])('at %i percent of the budget is %s', (percent, level) => expect(levelOf(use(percent))).toBe(level));

  it.each([
    ['full in a minute, with next to nothing held back yet', use(5, gigabyte / 30), 'alert'],
    ['full in 4 minutes, half full', use(50, gigabyte / 480), 'slow'],
    ['full in 20 seconds, nearly full', use(85, gigabyte / 200), 'drop'],
    ['full in 20 minutes', use(40, gigabyte / 2_000), 'fine'],
    ['shrinking', use(60, 0), 'alert'],
  ])('is lifted by growth by one rung at most: %s', (_what, given, level) => expect(levelOf(given)).toBe(level));

  it('falls only with some distance', () => {
    expect(levelOf(use(47))).toBe('fine');
    expect(calmLevelOf(use(47))).toBe('alert');
    expect(calmLevelOf(use(40))).toBe('fine');
  });
});

describe('the budget', () => {
  const megabyte = 1_048_576;
  it.each([
    ['the plan', { askedMegabytes: 500 }, 500],
    ['80 % of max_slot_wal_keep_size', { askedMegabytes: 0, keepBytes: 1_000 * megabyte }, 800],
    ['80 % of max_slot_wal_keep_size', { askedMegabytes: 5_000, keepBytes: 1_000 * megabyte }, 800],
    ['half of the room', { askedMegabytes: 0, freeBytes: 1_000 * megabyte }, 500],
    ['90 % of the room', { askedMegabytes: 5_000, freeBytes: 1_000 * megabyte }, 900],
    ['90 % of the room', { askedMegabytes: 0, keepBytes: 9_000 * megabyte, freeBytes: 1_000 * megabyte }, 900],
    ['neither', { askedMegabytes: 0 }, 16_384],
  ])('is that of %s, and below what would let the server decide', (why, given, megabytes) => {
    const budget = walBudget({ retainedBytes: 0, ...given });
    expect(budget.why).toContain(why);
    expect(budget.bytes).toBeCloseTo(megabytes * megabyte);
  });

  it('does not shrink by what the slots themselves hold back', () => {
    const before = walBudget({ askedMegabytes: 0, retainedBytes: 0, freeBytes: gigabyte });
    const after = walBudget({ askedMegabytes: 0, retainedBytes: gigabyte / 4, freeBytes: (gigabyte * 3) / 4 });
    expect(after.bytes).toBe(before.bytes);
  });
});

it('people are told how much, of what, how fast, until when and what is done', () => {
  const text = wordsOf('source', use(72, gigabyte / 1_000), { level: 'slow', why: 'the plan', slot: 'cutover_a_g1' });
  expect(text).toBe(
    '773 MB of WAL are held back on the source by slot cutover_a_g1, 72 % of the budget of 1.1 GB (the plan), growing by 1.1 MB a second: full in 5 min. The copy is slowed where that helps; at 85 % it is paused, at 95 % the slot is dropped.',
  );
});
