import {
  comparePrediction,
  predictFromRehearsal,
  predictFromSizes,
  predictionEvidence,
  type SizeFacts,
} from '../../journal/prediction';
import { completedJournal } from '../fixtures/journal';

const now = new Date('2026-11-20T12:00:00.000Z');
const sizes: SizeFacts = {
  strategy: 'big-bang',
  databaseBytes: 16_000_000_000,
  tables: 100,
  lanes: 4,
  maxBytesPerSecond: 0,
  dumps: true,
};
const msOf = (facts: Partial<SizeFacts>, id: string) =>
  predictFromSizes({ ...sizes, ...facts }, now).steps.find((step) => step.id === id)?.predictedMs;

describe('a prediction from sizes', () => {
  it('says that its rates are assumed, and what it rests on', () => {
    const prediction = predictFromSizes(sizes, now);
    expect(prediction).toMatchObject({ basis: 'assumed', madeAt: now.toISOString() });
    expect(predictionEvidence(prediction).join('\n')).toMatch(
      /by assumed rates.*\n.*copy-data.*\nassumed, not measured/,
    );
  });

  it('puts the whole copy into the freeze of big-bang, and nearly nothing into that of streaming', () => {
    expect(predictFromSizes(sizes, now).freezeMs).toBeGreaterThan(msOf({}, 'copy-data') ?? Infinity);
    expect(predictFromSizes({ ...sizes, strategy: 'cdc' }, now).freezeMs).toBeLessThan(10_000);
    const passes = predictFromSizes({ ...sizes, strategy: 'incremental' }, now).freezeMs;
    expect(passes).toBeGreaterThan(msOf({}, 'compare-rows') ?? Infinity);
    expect(passes).toBeLessThan(predictFromSizes(sizes, now).freezeMs);
  });

  it('grows with the size, and shrinks with lanes until a limit of the plan holds it back', () => {
    expect(msOf({ databaseBytes: 32_000_000_000 }, 'copy-data')).toBe(2 * (msOf({}, 'copy-data') ?? 0));
    expect(msOf({ lanes: 1 }, 'copy-data')).toBe(4 * (msOf({}, 'copy-data') ?? 0));
    expect(msOf({ maxBytesPerSecond: 16_000_000 }, 'copy-data')).toBe(1_000_000);
    expect(msOf({ dumps: false }, 'snapshot')).toBeUndefined();
  });
});

describe('a prediction from a rehearsal', () => {
  const prediction = predictFromRehearsal(
    {
      startedAt: now.toISOString(),
      errors: [],
      child: 'orders-rehearsal-1',
      databaseBytes: 500_000_000,
      sizeRatio: 2,
      steps: [
        { id: 'baseline', title: 'Baseline', durationMs: 9_000 },
        { id: 'verify-snapshot', title: 'Verify the backup', durationMs: 100 },
        { id: 'roles', title: 'Roles', durationMs: 1_000 },
        { id: 'copy-data', title: 'Copy', durationMs: 30_000, downtime: true },
        { id: 'first-pass', title: 'First pass', durationMs: 2_000 },
        { id: 'measure-proof', title: 'Compare every row', durationMs: 3_000 },
        { id: 'fence', title: 'Fence', durationMs: 500, downtime: true },
      ],
    },
    1_000_000_000,
    now,
  );

  it('scales what reads or writes rows, and tells of nothing that is over by then', () => {
    expect(prediction.steps.map(({ id, predictedMs }) => [id, predictedMs])).toEqual([
      ['roles', 1_000],
      ['copy-data', 60_000],
      ['first-pass', 4_000],
      ['measure-proof', 6_000],
      ['fence', 500],
    ]);
    expect(prediction).toMatchObject({ basis: 'rehearsal', totalMs: 71_500, freezeMs: 60_500 });
    expect(prediction.assumptions.join()).toContain('scaled by 2.00');
  });
});

it('a rehearsal in which nobody stopped writes says that the freeze is assumed', () => {
  const steps = [{ id: 'reconcile', title: 'Compare', durationMs: 1_000 }];
  const prediction = predictFromRehearsal({ startedAt: now.toISOString(), errors: [], steps }, 1_000, now);
  expect(prediction.freezeMs).toBe(2_000);
  expect(prediction.assumptions.join()).toContain('assumed, not measured');
});

describe('a prediction against what happened', () => {
  it('compares only what ran, and counts it up', () => {
    const journal = completedJournal();
    const copy = journal.steps.find(({ id }) => id === 'copy-data');
    const rows = comparePrediction(journal);
    expect(rows[0]).toEqual({ title: 'Copy the rows', predictedMs: 41_000, actualMs: copy?.durationMs });
    expect(rows[1]).toEqual({ title: 'A step that never ran', predictedMs: 1_000 });
    expect(rows[2]).toEqual({ title: 'The 1 of these that ran', predictedMs: 41_000, actualMs: copy?.durationMs });
    expect(rows[3]?.actualMs).toBe(journal.downtime?.durationMs);
  });

  it('does not take the steps of going back for the forward way', () => {
    const journal = completedJournal();
    const steps = journal.steps.map((step) => (step.id === 'copy-data' ? { ...step, goingBack: true } : step));
    expect(comparePrediction({ ...journal, steps })[0]?.actualMs).toBeUndefined();
  });

  it('is nothing where nothing was predicted', () => {
    expect(comparePrediction({ ...completedJournal(), prediction: undefined })).toEqual([]);
  });
});
