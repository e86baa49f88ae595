import pc from 'picocolors';
import { statusLines } from '../../client/status-view';
import type { MigrationStatus } from '../../workflows/messages';

const view = { colors: pc.createColors(false), columns: 400, nowMs: Date.parse('2026-11-20T14:00:10Z'), steps: 10 };

const blocked: MigrationStatus = {
  migration: 'calico-to-kdd',
  kind: 'calico',
  phase: 'blocked',
  startedAt: '2026-11-20T14:00:00.000Z',
  gate: 'none',
  steps: [],
  gates: [],
  refused: [],
  blocked: { step: 'preflight', failure: 'PreconditionFailed: 2 of 3 checks failed', skippable: false },
  checks: [
    { name: 'crds', title: 'CRDs', outcome: 'fail', side: 'target', found: '18 are missing', fix: 'kubectl apply' },
    { name: 'etcd-lock', title: 'Lock', outcome: 'fail', side: 'source', found: 'it is locked' },
    { name: 'etcd-data', title: 'Data', outcome: 'pass', side: 'source', found: '413 keys' },
  ],
};

describe('the status of a migration', () => {
  it('blocked by its checks names each that failed, with what mends it, and none that passed', () => {
    const lines = statusLines(blocked, [], view);
    expect(lines).toContain('  ✖ crds (target): 18 are missing');
    expect(lines).toContain('      fix: kubectl apply');
    expect(lines).toContain('  ✖ etcd-lock (source): it is locked');
    expect(lines.join()).not.toContain('etcd-data');
  });

  it('brought up in passes tells how far the pass is, what each lane does, and why one waits', () => {
    const pass = {
      pass: 7,
      why: 'until the freeze can begin',
      startedAt: '2026-11-20T14:00:00.000Z',
      tables: 26,
      tablesDone: 12,
      tablesChanged: 3,
      rows: '1200',
      deleted: '2',
      bytes: 90_000,
      etaMs: 4_000,
    };
    const { blocked: none, ...calm } = blocked;
    expect(none).toBeDefined();
    const status: MigrationStatus = { ...calm, kind: 'postgres', phase: 'catch-up', passes: [pass] };
    const progress = {
      lane: 0,
      table: 'shop.orders',
      tables: 4,
      rows: '900',
      deleted: '1',
      bytes: 1_024,
      bytesInFlight: 1_024,
      bytesPerSecond: 512,
    };
    const lanes = [
      { type: 'passLane', attempt: 1, progress: { ...progress, lane: 1, waiting: 'the probe gives 9, more than 5' } },
      { type: 'passLane', attempt: 1, progress },
    ];
    expect(statusLines(status, lanes, view).filter((line) => /pass|lane/.test(line))).toEqual([
      '  pass 7  under way, 12 of 26 tables done, about 4.0 s to go  1 200 rows written, 2 deleted, in 3 of 26 tables  until the freeze can begin',
      '      lane 1  shop.orders  2.00 kB, 512 bytes/s, 4 tables',
      '      lane 2  shop.orders  2.00 kB, 512 bytes/s, 4 tables  waits: the probe gives 9, more than 5',
    ]);
    const stopped: MigrationStatus = { ...status, passes: [{ ...pass, stopped: true }] };
    expect(statusLines(stopped, [], view).join()).toContain('pass 7  stopped before its end');
  });

  it('of Calico speaks of its lock, not of writes', () => {
    const lines = statusLines({ ...blocked, downtime: { startedAt: '2026-11-20T14:00:05.000Z' } }, [], view);
    expect(lines).toContain('  Calico is locked, 5.0 s so far');
  });
});
