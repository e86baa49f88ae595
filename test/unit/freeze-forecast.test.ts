import { fixedMs, forecastFreeze, type Measured } from '../../workflows/phases/postgres/passes/forecast';

const measured: Measured = { series: [2_000], compareMs: 20_000, restMs: 1_000, limitMs: 60_000, maxPasses: 5 };

describe('the forecast of a freeze', () => {
  it('adds up the last pass, the comparison, the rest and a fixed share', () => {
    expect(forecastFreeze(measured)).toMatchObject({
      totalMs: 23_000 + fixedMs,
      passMs: 2_000,
      compareMs: 20_000,
      restMs: 1_000 + fixedMs,
      fits: true,
      again: false,
    });
  });

  it.each<[string, Partial<Measured>, { fits: boolean; again: boolean }, string]>([
    ['another pass while they shrink', { series: [90_000, 40_000] }, { fits: false, again: true }, 'another pass'],
    ['another pass after the first', { series: [90_000] }, { fits: false, again: true }, 'another pass'],
    [
      'no more than half of the limit for the pass',
      { series: [31_000], compareMs: 1_000 },
      { fits: false, again: true },
      'another pass',
    ],
    [
      'an end where passes no longer shrink',
      { series: [90_000, 85_000] },
      { fits: false, again: false },
      'passes no longer shrink (1 min 30 s, then 1 min 25 s)',
    ],
    ['an end after maxPasses', { series: [90_000, 40_000], maxPasses: 2 }, { fits: false, again: false }, 'maxPasses'],
    [
      'an end at once where the comparison alone is too long',
      { compareMs: 59_000 },
      { fits: false, again: false },
      'no pass can shorten',
    ],
  ])('asks for %s', (_what, change, wanted, words) => {
    const forecast = forecastFreeze({ ...measured, ...change });
    expect(forecast).toMatchObject(wanted);
    expect(forecast.verdict).toContain(words);
  });
});
