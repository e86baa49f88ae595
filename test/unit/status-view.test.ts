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

  it('of Calico speaks of its lock, not of writes', () => {
    const lines = statusLines({ ...blocked, downtime: { startedAt: '2026-11-20T14:00:05.000Z' } }, [], view);
    expect(lines).toContain('  Calico is locked, 5.0 s so far');
  });
});
