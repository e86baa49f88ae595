// The report of a Calico migration: the document's own steps, the sums of every key, and nothing of PostgreSQL.
import { renderHtml } from '../../journal/html';
import { renderReport } from '../../journal/markdown';
import type { Journal } from '../../journal/types';
import { at, gate, step } from '../fixtures/journal';

function calicoJournal(change: Partial<Journal> = {}): Journal {
  return {
    migration: 'calico-to-kdd',
    runId: '019f',
    kind: 'calico',
    plan: { name: 'calico-to-kdd', digest: 'd1', source: 'etcd https://10.0.0.1:2379 /calico', target: 'kubernetes' },
    versions: { source: 'etcd 3.6.16, Calico v3.30.3', target: 'Kubernetes v1.36.3' },
    phase: 'completed',
    outcome: 'completed',
    startedAt: at('14:00:00'),
    endedAt: at('14:10:00'),
    pointOfNoReturnAt: at('14:05:00'),
    downtime: { startedAt: at('14:01:00'), endedAt: at('14:05:01'), durationMs: 241_000 },
    steps: [
      step('lock-source', 'Lock the etcd datastore', 'freeze', '14:01:00', '14:01:01', {
        result: 'locked at revision 17',
      }),
      step('export', 'Make the export file', 'export', '14:01:12', '14:01:13', { result: '12 objects' }),
      step('import', 'Import', 'import', '14:01:14', '14:01:20', { result: '12 objects' }),
      step('unlock', 'Unlock the Kubernetes datastore', 'unlock', '14:05:00', '14:05:01', { result: 'unlocked' }),
    ],
    gates: [gate('unlock', '14:02:00', '14:05:00')],
    refused: [],
    notes: [],
    artifacts: [],
    left: [],
    validation: [
      { name: 'IPPool', source: '2', target: '2 equal', outcome: 'pass', durationMs: 5 },
      {
        name: 'Tier',
        source: '1',
        target: '0 equal',
        outcome: 'fail',
        durationMs: 5,
        differences: ['Tier default: spec.order'],
      },
    ],
    accounting: {
      revision: '17',
      kinds: [
        { kind: 'IPPool', source: 2, migrated: 2, derived: 0, refused: 0 },
        { kind: 'Profile', source: 7, migrated: 0, derived: 2, refused: 5 },
      ],
      refused: [{ key: '/calico/resources/v3/projectcalico.org/profiles/mine', reason: 'a profile of a user' }],
      refusedNotListed: 4,
      remarks: ['Node a.example becomes a'],
    },
    imports: [{ kind: 'IPPool', wanted: 2, created: 1, equal: 1, replaced: 0, conflicting: 0 }],
    ...change,
  };
}

describe('the report of a Calico migration', () => {
  it('does not say that Calico serves from Kubernetes when it went back after the unlock and something was given up', () => {
    const back = { startedAt: at('14:06:00'), reason: 'pods fail', steps: [] };
    const text = renderReport(calicoJournal({ outcome: undefined, phase: 'failed', rollback: back }));
    expect(text).not.toContain('serves from Kubernetes');
    expect(text).toContain('etcd was unlocked again');
  });

  const report = renderReport(calicoJournal());

  it('has sections of its own, and those of every report under the usual numbers', () => {
    expect(report.split('\n').filter((line) => line.startsWith('## '))).toEqual([
      '## 1. Checks before the start',
      '## 2. Decision record',
      '## 3. Where every key ended',
      '## 4. Execution',
      '## 5. Validation',
      '## 6. Rollback',
      '## 7. Afterwards',
      '## 8. Gates: who decided, when and why',
      '## 9. Messages that changed nothing',
      '## 10. Artifacts',
      '## 11. What was left behind',
      '## 12. Checks that passed',
    ]);
  });

  it("walks the document's seven steps, each with what was done", () => {
    for (const words of ['1. Lock the etcd datastore', '4. Import the datastore contents', '7. Unlock the datastore'])
      expect(report).toMatch(new RegExp(`\\| ${words} \\| ✔ done`));
    expect(report).toMatch(/\| 6\. Configure Calico to read from the Kubernetes datastore \| not done/);
  });

  it('adds the keys up and names what was refused, also how much is not listed', () => {
    expect(report).toContain('9 keys at etcd revision 17, and each is accounted for');
    expect(report).toContain('| All keys | 9 | 2 | 2 | 5 |');
    expect(report).toContain('| `/calico/resources/v3/projectcalico.org/profiles/mine` | a profile of a user |');
    expect(report).toContain('4 more in the artifact with every key');
    expect(report).toContain('Node a.example becomes a');
  });

  it('says so in the plainest words when the sums do not add up', () => {
    const wrong = calicoJournal();
    wrong.accounting!.kinds[0]!.migrated = 1;
    expect(renderReport(wrong)).toContain('The sums do not add up: do not go on');
  });

  it('tells how long Calico was locked, and what differs', () => {
    expect(report).toContain('Calico was locked for 4 min 1 s');
    expect(report).toContain('Tier default: spec.order');
    expect(report).not.toMatch(/writes were stopped|rows|PostgreSQL/i);
  });

  it('has a step done by hand where the plan names no manifests', () => {
    const byHand = renderReport(calicoJournal({ gates: [gate('apply-manifest', '14:02:00', '14:04:00')] }));
    expect(byHand).toMatch(/\| 6\. Configure Calico [^|]*\| gate approved \|.*by hand, by anna/);
  });

  it('is drawn as HTML too, with the lock as the band of its timeline', () => {
    const html = renderHtml(calicoJournal());
    expect(html).toContain('Calico locked 4 min 1 s');
    expect(html).not.toContain('writes stopped');
  });
});
