import type { Journal } from '../../journal/types';
import { renderDetails } from '../../workflows/board';

const journal: Journal = {
  migration: 'orders-to-18',
  runId: 'r',
  kind: 'postgres',
  plan: { name: 'orders-to-18', strategy: 'big-bang', digest: '', source: 'a:5432/orders', target: 'b:5432/orders' },
  phase: 'cutover',
  startedAt: '2026-03-01T22:00:00.000Z',
  steps: [],
  gates: [],
  refused: [],
  notes: [],
  artifacts: [],
  left: [],
};

describe('current details', () => {
  it('hold the exact command for an open gate, with its evidence', () => {
    const details = renderDetails({
      ...journal,
      gates: [
        {
          name: 'cutover',
          state: 'open',
          openedAt: '',
          approversNeeded: 2,
          evidence: ['3 tables'],
          decisions: [{ decision: 'approve', by: 'anna', at: '' }],
        },
      ],
    });
    expect(details).toContain(
      'temporal workflow signal -w orders-to-18 --name approve --input \'{"gate":"cutover","by":"YOU"}\'',
    );
    expect(details).toContain('- 3 tables');
    expect(details).toContain('1 of 2 approvals: anna');
  });

  it('say what blocks and what can be done', () => {
    const details = renderDetails({
      ...journal,
      blocked: { step: 'copy-data', failure: 'TargetUnavailable: the disk is full', skippable: false },
    });
    expect(details).toContain('**Blocked at `copy-data`**: TargetUnavailable: the disk is full');
    expect(details).toContain('(retry | rollback)');
  });

  it('stay below 2 KB and free of tables, whatever has happened', () => {
    const long = 'x'.repeat(5_000);
    const details = renderDetails({
      ...journal,
      reason: long,
      blocked: { step: 's', failure: long, skippable: true },
      refused: [{ name: 'aprove', at: '', why: long }],
      gates: [
        {
          name: 'cutover',
          state: 'open',
          openedAt: '',
          approversNeeded: 1,
          evidence: Array<string>(50).fill(long),
          decisions: [],
        },
      ],
      steps: Array.from({ length: 60 }, (_, index) => ({
        id: `s${index}`,
        title: `Step ${index}`,
        phase: 'p',
        state: 'done' as const,
        startedAt: '',
        retries: 0,
        skippable: false,
        result: long,
      })),
    });
    expect(Buffer.byteLength(details)).toBeLessThan(2_048);
    expect(details).not.toMatch(/^\|/m);
  });

  it('drop the oldest steps first', () => {
    const steps = Array.from({ length: 60 }, (_, index) => ({
      id: `s${index}`,
      title: `Step ${index} of many with a long title`,
      phase: 'p',
      state: 'done' as const,
      startedAt: '',
      durationMs: 1_000,
      retries: 0,
      skippable: false,
    }));
    const details = renderDetails({ ...journal, steps });
    expect(details).toContain('Step 59 ');
    expect(details).not.toContain('Step 0 ');
  });
});
