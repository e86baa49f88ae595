// What was done, in the order of Calico's own document: lock, export, import, verify, configure, unlock; then every step.
import { formatDurationMs } from '../../../plan/duration';
import { heading, table, type Section, type Text } from '../../document';
import { betweenMs, formatMaybeMs, formatTime } from '../../quantities';
import { isRollbackStep, open, pending, resultText, stateText, stepOf } from '../../reading';
import type { Journal } from '../../types';
import { downtimeText, steps } from '../execution';

/** The steps of the document, and ours behind each. */
const documentSteps: [title: string, ...ids: string[]][] = [
  ['1. Lock the etcd datastore', 'lock-source'],
  ['2. Export the datastore contents', 'export'],
  ['3. Configure access to the Kubernetes datastore', 'lock-target', 'crds'],
  ['4. Import the datastore contents', 'import'],
  ['5. Verify that the datastore was properly imported', 'each-kind', 'compare'],
  ['6. Configure Calico to read from the Kubernetes datastore', 'rollout', 'apply-manifest'],
  ['7. Unlock the datastore', 'unlock'],
];

export function calicoExecution(journal: Journal): Section {
  const { downtime, endedAt, startedAt, pointOfNoReturnAt } = journal;
  return {
    id: 'execution',
    number: '4',
    title: 'Execution',
    blocks: [
      table(
        ['Step of the document', 'State', 'Started', '>Duration', 'What was done'],
        documentSteps.map((row) => documentRow(journal, row)),
      ),
      table(
        ['Moment', 'When', 'What'],
        [
          ['Migration started', formatTime(startedAt), `workflow ${journal.migration}`],
          ['etcd locked', formatTime(downtime?.startedAt), 'no new pods get networking from here on'],
          ['Kubernetes datastore unlocked', formatTime(downtime?.endedAt), unlocked(journal)],
          ['Locked for', downtimeText(journal), 'what the cluster felt'],
          [
            'Point of no return',
            formatTime(pointOfNoReturnAt),
            pointOfNoReturnAt
              ? 'from here on going back loses what was written to the Kubernetes datastore since'
              : 'not passed: everything can be put back as it was',
          ],
          [
            'Migration ended',
            endedAt ? formatTime(endedAt) : open('still running'),
            endedAt
              ? `${journal.outcome ?? 'without an outcome'}, after ${formatMaybeMs(betweenMs(startedAt, endedAt))}`
              : `phase ${journal.phase}`,
          ],
        ],
      ),
      { kind: 'timeline' },
      heading('Steps'),
      ...steps(journal.steps.filter((step) => !isRollbackStep(step))),
    ],
  };
}

function documentRow(journal: Journal, [title, ...ids]: (typeof documentSteps)[number]): Text[] {
  const step = stepOf(journal, ...ids);
  if (step) {
    const time = step.durationMs === undefined ? '–' : formatDurationMs(step.durationMs);
    return [title, stateText(step.state), formatTime(step.startedAt), time, resultText(step)];
  }
  const gate = ids.includes('apply-manifest') && journal.gates.findLast(({ name }) => name === 'apply-manifest');
  if (!gate) return [title, pending(journal), '–', '–', '–'];
  const who = gate.decisions.map(({ by }) => by).join(', ');
  return [
    title,
    `gate ${gate.state}`,
    formatTime(gate.openedAt),
    formatMaybeMs(betweenMs(gate.openedAt, gate.closedAt)),
    `by hand${who ? `, by ${who}` : ''}`,
  ];
}

function unlocked({ downtime, pointOfNoReturnAt, rollback }: Journal): string {
  if (!downtime) return 'nothing was ever locked';
  if (!downtime.endedAt) return 'not yet';
  return pointOfNoReturnAt && !rollback
    ? 'Calico serves from Kubernetes'
    : 'etcd was unlocked again instead, by going back';
}
