// The proof that both datastores say the same, how it would have gone back, and what remains to be done.
import { formatDurationMs } from '../../../plan/duration';
import { heading, paragraph, table, type Section, type Text } from '../../document';
import { betweenMs, formatCount, formatTime } from '../../quantities';
import { isRollbackStep, open, quiet } from '../../reading';
import type { Journal } from '../../types';
import { documented, estimateRow, incidents, lessons, monitored, movingMs, notes, retention } from '../afterwards';
import { steps } from '../execution';
import { breaches, loss, notRun, verdict } from '../rollback';
import { comparisonRow, whatDiffers } from '../validation';

export function calicoValidation({ validation }: Journal): Section {
  return {
    id: 'validation',
    number: '5',
    title: 'Validation',
    blocks: validation
      ? [
          table(['Comparison', 'Source', 'Target', 'Match', '>Time'], validation.map(comparisonRow)),
          ...whatDiffers(validation),
        ]
      : [paragraph(quiet('Nothing has been compared yet.'))],
  };
}

export function calicoRollback(journal: Journal): Section {
  const { monitoring } = journal;
  const undone = journal.steps.filter(isRollbackStep);
  const began = journal.rollback ? ` (began ${formatTime(journal.rollback.startedAt)})` : '';
  return {
    id: 'rollback',
    number: '6',
    title: 'Rollback',
    blocks: [
      heading('What was watched after the unlock'),
      table(
        ['Trigger', 'What was seen', 'Verdict'],
        [
          [
            'A write to etcd, a workload that is not ready, a lock that came back',
            monitoring ? `${formatCount(monitoring.errors)} errors in ${formatCount(monitoring.samples)} samples` : '–',
            monitoring ? verdict(monitoring.breaches.length > 0) : open('not monitored'),
          ],
        ],
      ),
      ...breaches(journal),
      heading('Rollback'),
      ...(undone.length === 0
        ? [paragraph(notRun(journal))]
        : [
            paragraph(`Reason: ${journal.rollback?.reason ?? journal.reason ?? 'not recorded'}${began}`),
            ...steps(undone),
          ]),
      ...loss(journal),
    ],
  };
}

export function calicoAfterwards(journal: Journal): Section {
  const { decision, downtime } = journal;
  const locked = downtime?.durationMs ?? betweenMs(downtime?.startedAt, downtime?.endedAt);
  const wanted = journal.imports?.reduce((sum, kind) => sum + kind.wanted, 0);
  const there = journal.imports?.reduce((sum, kind) => sum + kind.created + kind.equal + kind.replaced, 0);
  return {
    id: 'afterwards',
    number: '7',
    title: 'Afterwards',
    blocks: [
      table(['Action', 'Status', 'What was done'], actions(journal)),
      heading('Estimated against actual'),
      table(
        ['Quantity', '>Estimated', '>Actual', '>Error'],
        [
          estimateRow(
            'Duration, without waits for people and monitoring',
            decision?.estimatedDurationMs,
            movingMs(journal),
            formatDurationMs,
          ),
          estimateRow('Locked (accepted at most)', decision?.acceptableDowntimeMs, locked, formatDurationMs),
          estimateRow('Objects', wanted, there, formatCount),
        ],
      ),
      heading('Lessons learned'),
      ...lessons(journal),
      heading('Notes'),
      ...notes(journal),
    ],
  };
}

function actions(journal: Journal): Text[][] {
  return [
    ['Watch Calico on the Kubernetes datastore', ...monitored(journal)],
    ['Keep etcd, locked, for as long as the plan says', ...retention(journal)],
    [
      'Take away what only etcd needed (certificates, the secret calico-etcd-secrets, the members)',
      open('for people'),
      'after the retention; cutover deletes nothing of the source',
    ],
    ['Document lessons learned', ...documented(journal)],
    ['Close incident channel when stable', ...incidents(journal)],
  ];
}
