import type { Journal } from '../../journal/types';
import { clip, lanesOf, statusLines } from '../../client/status-view';
import { renderLines } from '../../client/watch-lines';
import type { MigrationStatus } from '../../workflows/messages';
import pc from 'picocolors';
import { completedJournal, gate, rolledBackJournal, runningJournal } from '../fixtures/journal';

function statusOf(journal: Journal): MigrationStatus {
  return { ...journal, gate: journal.gates.find(({ state }) => state === 'open')?.name ?? 'none' };
}

const running = statusOf(runningJournal());

describe('watch without a terminal', () => {
  it('tells everything that has happened when it begins', () => {
    const lines = renderLines(undefined, running);
    expect(lines[0]).toBe('2026-11-20T14:00:00.000Z migration orders-to-18 (postgres)');
    expect(lines).toContain(
      '2026-11-20T14:13:31.000Z ✔ Take the final backup of the source (pg_dump): done in 51 s; orders.dump, 118 MB, sha256 3f9a1c…',
    );
    expect(lines).toContain('2026-11-20T14:18:11.000Z   gate cutover: approved by anna: checks are green');
    expect(lines).toContain('phase copy');
    expect(lines.at(-1)).toBe('copy 33 %: 171 MB of 512 MB, 402 113 rows, 34.1 MB/s, about 10 s to go');
  });

  it('says nothing when nothing has changed', () => {
    expect(renderLines(running, structuredClone(running))).toEqual([]);
  });

  it('tells each thing once, in the order of time', () => {
    const lines = renderLines(running, statusOf(completedJournal()));
    expect(lines.filter((line) => line.includes('✔ Copy the rows'))).toHaveLength(1);
    expect(lines.filter((line) => line.includes('pg_dump'))).toHaveLength(0);
    expect(lines).toContain('2026-11-20T14:21:40.000Z   point of no return');
    expect(lines).toContain('outcome completed');
    const times = lines.flatMap((line) => /^\S+Z/.exec(line)?.[0] ?? []);
    expect(times).toEqual([...times].sort());
  });

  it('shows an open gate with its evidence and the command that approves it', () => {
    const asked = {
      ...running,
      gates: [...running.gates, gate('accept', '14:30:00', undefined, { evidence: ['validation: 9 of 9 passed'] })],
    };
    expect(renderLines(running, asked)).toEqual([
      '2026-11-20T14:30:00.000Z ? gate accept is open: 1 to approve; cutover approve orders-to-18 accept --by NAME',
      '2026-11-20T14:30:00.000Z     validation: 9 of 9 passed',
    ]);
  });

  it('shows a refused message, a block, a pause and what ends them', () => {
    const blocked: MigrationStatus = {
      ...running,
      phase: 'blocked',
      blocked: { step: 'copy-data', failure: 'disk full', skippable: false },
      paused: { by: 'anna', at: '2026-11-20T14:22:00.000Z' },
      refused: [
        ...running.refused,
        { name: 'skip', at: '2026-11-20T14:22:00.000Z', by: 'ben', why: 'step "copy-data" cannot be skipped' },
      ],
    };
    expect(renderLines(running, blocked)).toEqual([
      '2026-11-20T14:22:00.000Z ! refused skip by ben: step "copy-data" cannot be skipped',
      'phase blocked',
      'paused by anna: cutover resume orders-to-18 --by NAME',
      'blocked at copy-data: cutover retry | rollback orders-to-18 --by NAME',
    ]);
  });

  it('tells each pass once it has ended, and how long the freeze would be', () => {
    const pass = {
      pass: 3,
      why: 'until the freeze can begin',
      startedAt: '2026-11-20T14:21:00.000Z',
      tables: 4,
      tablesChanged: 1,
      rows: '1200',
      deleted: '2',
      bytes: 90_000,
    };
    const begun: MigrationStatus = { ...running, passes: [pass] };
    expect(renderLines(running, begun)).toEqual([]);
    const measured: MigrationStatus = { ...running, passes: [{ ...pass, tables: 26, tablesDone: 12, etaMs: 3_000 }] };
    expect(renderLines(begun, measured)).toEqual([
      `pass ${pass.pass} under way, 12 of 26 tables done, about 3.0 s to go`,
    ]);
    expect(renderLines(measured, measured)).toEqual([]);
    const ended: MigrationStatus = {
      ...running,
      passes: [{ ...pass, durationMs: 4_000 }],
      forecast: {
        totalMs: 20_000,
        passMs: 4_000,
        compareMs: 10_000,
        restMs: 6_000,
        limitMs: 60_000,
        fits: true,
        verdict: 'a freeze would last about 20 s, within maxDowntime (1 min)',
        madeAt: '2026-11-20T14:21:04.000Z',
      },
    };
    expect(renderLines(begun, ended)).toEqual([
      '2026-11-20T14:21:04.000Z   pass 3 (until the freeze can begin): 4.0 s, 1 200 rows written, 2 deleted, in 1 of 4 tables',
      'freeze: a freeze would last about 20 s, within maxDowntime (1 min)',
    ]);
    expect(renderLines(ended, ended)).toEqual([]);
  });

  it('tells of undone steps', () => {
    expect(renderLines(running, statusOf(rolledBackJournal()))).toContain(
      '2026-11-20T14:24:02.000Z ↩ Lower the fence on the source: undone in 1.0 s; the source takes writes again',
    );
  });
});

describe('the live view', () => {
  const view = {
    colors: pc.createColors(false),
    columns: 100,
    nowMs: Date.parse('2026-11-20T14:21:10.000Z'),
    steps: 5,
  };
  const lane = {
    lane: 0,
    table: 'public.orders',
    rows: '1',
    bytes: 200_000_000,
    bytesInFlight: 100_000_000,
    bytesPerSecond: 50_000_000,
    chunksDone: 2,
  };

  it('shows the copy from what its lanes last reported', () => {
    const lines = statusLines(running, [{ type: 'copyLane', attempt: 1, progress: lane }], view);
    expect(lines.join('\n')).toContain('55 %  286 MB of 512 MB');
    expect(lines.join('\n')).toContain('lane 1  public.orders');
    expect(lines.join('\n')).toContain('writes are stopped, 10 s so far');
  });

  it('takes no other report for a lane', () => {
    expect(lanesOf([{ type: 'digest', attempt: 1, progress: { table: 'public.orders', rowsDone: 5 } }])).toEqual([]);
  });

  it('never draws a line wider than the terminal', () => {
    for (const columns of [20, 40, 80]) {
      const lines = statusLines(
        running,
        [{ type: 'copyLane', attempt: 3, progress: lane, lastFailure: 'x'.repeat(300) }],
        { ...view, columns },
      );
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns);
    }
  });

  it('shows only as many steps as there is room for', () => {
    const lines = statusLines(running, [], view);
    expect(lines.filter((line) => /^[✔▶✖] /.test(line))).toHaveLength(5);
    expect(lines.join('\n')).toContain('… 9 steps before');
  });

  it('lets no control sign of others reach the terminal', () => {
    const lines = statusLines({ ...running, reason: 'bad \u001b[2J\u0007 words' }, [], view);
    expect(lines.join('\n')).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
  });

  it('cuts coloured lines by what is seen of them', () => {
    expect(clip(`\u001b[31mabcdef\u001b[39m`, 4)).toBe('\u001b[31mabc\u001b[39m…');
  });
});
