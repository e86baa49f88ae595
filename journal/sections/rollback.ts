// Runbook section 6: what would have triggered a rollback and what was seen of it; and if one ran, the document's table of its steps.
import { code, heading, list, paragraph, table, type Block, type Inline, type Section, type Text } from '../document';
import { formatCount, formatMaybeMs, formatTime } from '../quantities';
import { formatDurationMs } from '../../plan/duration';
import { done, failed, isRollbackStep, open, quiet, warning } from '../reading';
import type { Journal, PlanFacts, RollbackRecord, RollbackStepName, StepRecord, TriggerRecord } from '../types';
import { steps } from './execution';

export function rollback(journal: Journal): Section {
  return {
    id: 'rollback',
    number: '6',
    title: 'Rollback Procedure',
    blocks: [
      heading('Trigger conditions'),
      table(['Trigger', 'What was seen', 'Verdict'], triggers(journal)),
      ...breaches(journal),
      heading('Rollback'),
      ...procedure(journal),
    ],
  };
}

function triggers(journal: Journal): Text[][] {
  const { monitoring, validation } = journal;
  const limits: NonNullable<PlanFacts['triggers']> = journal.plan.facts?.triggers ?? {
    errorRatePercent: 1,
    slowdownPercent: 50,
    probes: 0,
    intervalMs: 0,
    windowMs: 0,
  };
  const unseen = open(journal.endedAt ? 'not monitored' : 'not yet monitored');
  const failing = (validation ?? []).filter(({ outcome }) => outcome === 'fail' || outcome === 'unverifiable');
  const probed = monitoring && monitoring.samples > 0 ? monitoring : undefined;
  const slowdown = monitoring?.slowdownPercent;
  const slowed = monitoring?.triggers?.find(({ name }) => name === 'slowdown');
  const ofErrors = (monitoring?.breaches ?? []).filter((breach) => / % errors/.test(breach));
  const broken = (monitoring?.breaches ?? []).filter((breach) => / % errors|^smoke tests:/.test(breach));
  const asked = limits.probes > 0 || Boolean(limits.smoke);
  return [
    [
      `Error rate > ${limits.errorRatePercent}% after migration`,
      probed
        ? `${probed.errorRatePercent.toFixed(2)}%: ${formatCount(probed.errors)} errors in ${formatCount(probed.samples)} samples`
        : '–',
      // Of a window: over a day of watching the rate may be small all the same.
      probed ? verdict(ofErrors.length > 0 || probed.errorRatePercent > limits.errorRatePercent) : unseen,
    ],
    ...(limits.prometheusMaxValue === undefined
      ? []
      : [watched(journal, 'prometheus', `Prometheus query > ${limits.prometheusMaxValue}`)]),
    [
      'Data integrity check fails',
      validation ? `${failing.length} of ${validation.length} validation checks` : '–',
      validation ? verdict(failing.length > 0) : open('not yet validated'),
    ],
    ...(limits.integrity
      ? [watched(journal, 'integrity', 'Data integrity check fails while the target is in use')]
      : []),
    [
      `Performance degradation > ${limits.slowdownPercent}%`,
      slowdown === undefined ? '–' : `${slowdown.toFixed(1)}% against the baseline`,
      slowdown === undefined
        ? journal.endedAt
          ? quiet('no query was named')
          : unseen
        : // One slow look is none: so many in a row are.
          verdict(slowed?.breached ?? slowdown > limits.slowdownPercent),
    ],
    [
      'Customer-facing feature broken',
      probed && asked
        ? broken.length > 0
          ? `${broken.length} ${broken.length === 1 ? 'breach' : 'breaches'}`
          : `no breach in ${formatCount(probed.samples)} samples`
        : '–',
      !asked && journal.plan.facts?.triggers
        ? quiet('no probe was named')
        : probed
          ? verdict(broken.length > 0)
          : unseen,
    ],
    ...(limits.smoke ? [watched(journal, 'smoke', 'Smoke test fails, repeated')] : []),
  ];
}

/** One trigger beside the error rate: how often it looked, how often that was too much, and how often it could not. */
function watched(journal: Journal, name: TriggerRecord['name'], title: string): Text[] {
  const needed = journal.plan.facts?.triggers?.breachesNeeded;
  const condition = needed === undefined || needed === 1 ? title : `${title}, ${needed} times in a row`;
  const seen = journal.monitoring?.triggers?.find((trigger) => trigger.name === name);
  if (!seen)
    return [condition, '–', open(journal.endedAt || journal.monitoring ? 'not looked at' : 'not yet monitored')];
  const { looks, bad, unknown, last, breached } = seen;
  const unsure = unknown > 0 ? `, ${formatCount(unknown)} could not be made` : '';
  const words = `${formatCount(bad)} of ${formatCount(looks)} looks${unsure}${last ? `; last: ${last}` : ''}`;
  return [condition, words, !breached && unknown === looks ? warning('never known') : verdict(breached)];
}

/** Whether a trigger's limit was passed. */
export function verdict(breached: boolean): Text {
  return breached ? failed('breached') : done('within');
}

/** The breaches that monitoring saw. */
export function breaches(journal: Journal): Block[] {
  const seen = journal.monitoring?.breaches ?? [];
  return seen.length > 0 ? [paragraph('Breaches:'), list(seen)] : [];
}

const titles: Record<RollbackStepName, string> = {
  'maintenance-mode': 'Maintenance mode activated',
  'source-primary': 'Source restored as primary',
  'application-switched': 'Application switched',
  'smoke-on-source': 'Smoke tests passed on source',
  'target-preserved': 'Target data preserved',
};

function procedure(journal: Journal): Block[] {
  const undone = journal.steps.filter(isRollbackStep);
  const record = journal.rollback;
  if (!record && undone.length === 0) return [paragraph(notRun(journal)), ...loss(journal)];
  const head = record
    ? `Began ${formatTime(record.startedAt)}${record.by ? `, asked for by ${record.by}` : ''}: ${record.reason}${record.durationMs === undefined ? '' : ` (took ${formatDurationMs(record.durationMs)})`}`
    : `Reason: ${journal.reason ?? 'not recorded'}`;
  return [
    paragraph(head),
    table(['Rollback Step', 'Status', '>Time'], runbookRows(journal, record)),
    ...(undone.length > 0 ? [paragraph('Each step of going back, in its order:'), ...steps(undone)] : []),
    ...loss(journal),
  ];
}

/** The sentence for a migration that did not go back. */
export function notRun(journal: Journal): string {
  if (journal.outcome === 'rejected') return 'Rejected before anything had to be undone: nothing ran.';
  return journal.endedAt ? 'No rollback was needed.' : 'No rollback has run.';
}

/** Before the point of no return the undo stack does what the table asks for: these are its steps. */
const undoSteps: Record<RollbackStepName, string> = {
  'maintenance-mode': 'maintenance-mode',
  'source-primary': 'undo-fence',
  'application-switched': 'undo-switch-datastore',
  'smoke-on-source': 'undo-smoke',
  'target-preserved': 'target-preserved',
};

const notNeeded: Record<RollbackStepName, string> = {
  'maintenance-mode': 'not needed: writes had not been stopped',
  'source-primary': 'not needed: the source was never fenced',
  'application-switched': 'not needed: the application had not left the source',
  'smoke-on-source': 'not run: the source was never out of use',
  'target-preserved':
    'not needed: nothing had been written to the target but by us, and it was put back as it was found',
};

function runbookRows(journal: Journal, record: RollbackRecord | undefined): Text[][] {
  return (Object.keys(titles) as RollbackStepName[]).map((name) => {
    const title = titles[name];
    const written = record?.steps.find((step) => step.name === name);
    if (written) {
      const time = written.durationMs === undefined ? formatTime(written.at) : formatMaybeMs(written.durationMs);
      return [title, [writtenState(written.state), written.detail ? `: ${written.detail}` : ''], time];
    }
    const step = journal.steps.findLast(({ id }) => id === undoSteps[name]);
    if (step) return [title, [stepDone(step), step.result ? `: ${step.result}` : ''], formatMaybeMs(step.durationMs)];
    return [title, quiet(journal.pointOfNoReturnAt ? 'not recorded' : notNeeded[name]), '–'];
  });
}

function writtenState(state: RollbackRecord['steps'][number]['state']): Inline {
  switch (state) {
    case 'done':
      return done('done');
    case 'failed':
      return failed('failed');
    case 'running':
      return open('running');
    case 'not-needed':
      return quiet('not needed');
  }
}

function stepDone(step: StepRecord): Inline {
  if (step.state === 'undone' || step.state === 'done') return done('done');
  return step.state === 'undo-failed' || step.state === 'failed' ? failed('failed') : open(step.state);
}

/** What going back would lose, where it was measured. */
export function loss(journal: Journal): Block[] {
  const { loss: lost } = journal;
  if (!lost) return [];
  return [
    paragraph(
      lost.writes === undefined
        ? `What going back would lose could not be counted ${formatTime(lost.measuredAt)}. The words that accept this: `
        : `Going back would lose ${formatCount(lost.writes)} ${journal.kind === 'calico' ? 'changes' : 'writes'}, as measured ${formatTime(lost.measuredAt)}. The words that accept this: `,
      code(lost.words),
      '.',
    ),
    ...(lost.detail.length > 0 ? [list(lost.detail)] : []),
  ];
}
