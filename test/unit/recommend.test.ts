import { recommendStrategy } from '../../workflows/strategies/recommend';

const facts = {
  databaseBytes: 3_000_000_000,
  sourceMajor: 15,
  targetMajor: 18,
  tablesWithoutKey: 0,
  logicalReplicationPossible: true,
};
const minutes = (amount: number): number => amount * 60_000;

describe('the recommendation', () => {
  it('is big-bang where the copy fits the acceptable downtime', () => {
    expect(recommendStrategy({ ...facts, acceptableDowntimeMs: minutes(30) }).recommended).toBe('big-bang');
  });

  it('is cdc where it does not, and streaming is possible', () => {
    const { recommended, reasons } = recommendStrategy({
      ...facts,
      acceptableDowntimeMs: minutes(1),
      tablesWithoutKey: 2,
    });
    expect(recommended).toBe('cdc');
    expect(reasons.join()).toContain('2 tables have no key');
  });

  it('is incremental where streaming is not possible', () => {
    expect(
      recommendStrategy({ ...facts, acceptableDowntimeMs: minutes(1), logicalReplicationPossible: false }).recommended,
    ).toBe('incremental');
  });

  it('without a word on downtime follows the size: the runbook counts 100 GB as small', () => {
    expect(recommendStrategy({ ...facts, databaseBytes: 99e9 }).recommended).toBe('big-bang');
    expect(recommendStrategy({ ...facts, databaseBytes: 101e9 }).recommended).toBe('cdc');
  });

  it('without a word on downtime is incremental for what is big, where streaming is not possible', () => {
    const big = { ...facts, databaseBytes: 101e9, logicalReplicationPossible: false };
    expect(recommendStrategy(big)).toMatchObject({ recommended: 'incremental' });
    expect(recommendStrategy({ ...big, databaseBytes: 99e9 }).recommended).toBe('big-bang');
  });

  it('gives its reasons and its estimate', () => {
    const { reasons, estimatedFreezeMs } = recommendStrategy(facts);
    expect(estimatedFreezeMs).toBe(130_000);
    expect(reasons.join()).toContain('the plan does not say how much downtime is acceptable');
  });
});
