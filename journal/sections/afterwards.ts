// Runbook section 7: the actions after the migration, each with what was done about it, by whom it is still to be done otherwise.
import { heading, list, paragraph, table, type Block, type Section, type Text } from '../document';
import { comparePrediction } from '../prediction';
import { betweenMs, formatBytes, formatCount, formatTime } from '../quantities';
import { formatDurationMs } from '../../plan/duration';
import { done, failed, open, pending, quiet, stepOf, stepsBeginning, warning } from '../reading';
import type { Journal } from '../types';

const dayMs = 86_400_000;

export function afterwards(journal: Journal): Section {
  return {
    id: 'afterwards',
    number: '7',
    title: 'Post-Migration Actions',
    blocks: [
      table(['Action', 'Status', 'What was done'], actions(journal)),
      heading('Estimated against actual'),
      table(['Quantity', '>Estimated', '>Actual', '>Error'], estimates(journal)),
      ...predicted(journal),
      heading('Lessons learned'),
      ...lessons(journal),
      heading('Notes'),
      ...notes(journal),
    ],
  };
}

function actions(journal: Journal): Text[][] {
  return [
    ['Monitor target system for 24 hours minimum', ...monitored(journal)],
    ['Compare error rates between pre and post migration', ...errorRates(journal)],
    ['Validate backup of target system', ...targetBackup(journal)],
    [
      'Update runbook with actual duration and issues encountered',
      done('done'),
      'this report: durations below, issues in the notes and in section 4',
    ],
    ['Schedule cleanup of source data (after 30-day retention)', ...retention(journal)],
    ['Document lessons learned', ...documented(journal)],
    ['Close incident channel when stable', ...incidents(journal)],
  ];
}

/** Whether it was watched, and for how long. */
export function monitored(journal: Journal): [Text, Text] {
  if (journal.outcome === 'rolled-back' || journal.outcome === 'rejected')
    return [
      quiet('does not apply'),
      journal.kind === 'calico' ? 'Calico stays on etcd' : 'the application stays on the source',
    ];
  const watches = stepsBeginning(journal, 'monitor');
  const step = watches.at(-1);
  const planned = journal.plan.facts?.monitorMs;
  if (!step) return [pending(journal), planned === undefined ? '' : `${formatDurationMs(planned)} are planned`];
  const ms = watches.reduce((sum, { durationMs }) => sum + (durationMs ?? 0), 0);
  const samples = journal.monitoring ? `, ${formatCount(journal.monitoring.samples)} samples` : '';
  if (step.state === 'running') return [open('running'), `since ${formatTime(watches[0]?.startedAt)}${samples}`];
  const words = `${formatDurationMs(ms)}${samples}`;
  if (step.state !== 'done') return [failed(step.state), words];
  return ms >= dayMs * 0.99
    ? [done('done'), words]
    : [warning('shorter'), `${words}: shorter than the 24 h of the runbook, as the plan asked; go on watching`];
}

function errorRates(journal: Journal): [Text, Text] {
  const { monitoring, baseline } = journal;
  if (!monitoring || monitoring.samples === 0)
    return [open('not measured'), 'the plan names no probes, or monitoring has not begun'];
  const after = `${monitoring.errorRatePercent.toFixed(2)}% of ${formatCount(monitoring.samples)} samples after the switch`;
  const prometheus = monitoring.triggers?.find(({ name }) => name === 'prometheus');
  const asked = prometheus
    ? `; Prometheus: ${baseline?.prometheusValue ?? 'not known'} before, after: ${prometheus.last ?? 'not known'}`
    : '';
  const before = baseline?.probes;
  if (!before) return [done('measured'), `${after}${asked || '; the rate before it is in your dashboards'}`];
  const worse = monitoring.errorRatePercent > before.errorRatePercent;
  return [
    worse ? warning('more than before') : done('no more than before'),
    `${before.errorRatePercent.toFixed(2)}% of ${formatCount(before.samples)} probes before the migration, ${after}${asked}`,
  ];
}

function targetBackup(journal: Journal): [Text, Text] {
  const step = stepOf(journal, 'target-backup');
  const verified = stepOf(journal, 'verify-target-backup');
  const planned = journal.plan.facts?.targetBackup;
  if (!step && planned && journal.outcome !== 'rolled-back' && journal.outcome !== 'rejected')
    return [pending(journal), `by ${planned}, after acceptance`];
  if (!step) return [open('for people'), 'take the first backup of the target and restore it somewhere'];
  const words = [step.result, verified?.result ?? verified?.failure].filter(Boolean).join('; ');
  if (step.state !== 'done') return [failed(step.state), words];
  if (verified?.state === 'done') return [done('verified'), words];
  return verified?.state === 'running' ? [open('running'), words] : [warning('not verified'), words];
}

/** Whether anybody has noted a lesson. */
export function documented({ lessons: noted = [], notes: own }: Journal): [Text, Text] {
  if (noted.length > 0) return [done('done'), `${formatCount(noted.length)} below`];
  return [
    open('for people'),
    own.length > 0 ? 'see the notes below; nobody has added any' : 'nobody has noted anything',
  ];
}

/** Holds are what incidents leave here: stable is when nobody holds the source any more. */
export function incidents({ holds = [], monitoring }: Journal): [Text, Text] {
  const still = holds.filter(({ releasedAt }) => releasedAt === undefined);
  if (still.length > 0)
    return [open('held'), still.map(({ by, reason, at }) => `${by} since ${formatTime(at)}: ${reason}`).join('; ')];
  const released = holds.map(
    ({ by, reason, at, releasedAt }) => `${by}: ${reason} (${formatTime(at)} to ${formatTime(releasedAt)})`,
  );
  const breached = monitoring?.breaches.length ?? 0;
  const seen = [
    breached > 0 ? `${breached} breaches while it was watched` : 'no breach while it was watched',
    released.length > 0 ? `holds, all released: ${released.join('; ')}` : 'nobody held the source',
  ].join('; ');
  return [
    open('for people'),
    monitoring ? `${seen}; cutover has no access to the channel` : 'cutover has no access to it',
  ];
}

/** How long the source is kept, and what was decided about it. */
export function retention(journal: Journal): [Text, Text] {
  const { facts } = journal.plan;
  const gate = journal.gates.findLast(({ name }) => name === 'retire-source');
  const planned = facts?.retainSourceMs === undefined ? '' : `kept for ${formatDurationMs(facts.retainSourceMs)}`;
  if (gate && gate.state !== 'open')
    return [
      done(gate.state),
      [
        planned,
        `gate retire-source ${gate.state} ${formatTime(gate.closedAt)}`,
        ...retired(journal, gate.state),
        ...lookedAt(journal),
      ]
        .filter(Boolean)
        .join('; '),
    ];
  if (journal.phase === 'retention') return [open('waiting'), [planned, ...lookedAt(journal)].join('; ')];
  if (journal.phase === 'held') return [open('held'), [planned, ...lookedAt(journal)].join('; ')];
  return [pending(journal), planned || 'after the retention time of the plan'];
}

/** What was done with the source, by the steps that did it; a plan that says nothing has its data kept. */
function retired(journal: Journal, state: string): string[] {
  const steps = ['archive-source', 'verify-archive-source', 'drop-source', 'retire-command']
    .map((id) => stepOf(journal, id))
    .filter((step) => step !== undefined);
  if (steps.length > 0) return steps.map((step) => `${step.title}: ${step.failure ?? step.result ?? step.state}`);
  const planned = journal.plan.facts?.retire;
  return [...(planned && state !== 'rejected' ? [planned] : []), 'its data is not deleted by cutover'];
}

function lookedAt({ looks = [] }: Journal): string[] {
  if (looks.length === 0) return [];
  const found = looks.filter((look) => look.found.length > 0).length;
  const blind = looks.filter(({ failure }) => failure !== undefined).length;
  return [
    `looked for leftovers ${looks.length === 1 ? 'once' : `${looks.length} times`}: ${found === 0 ? 'nothing was found' : `found something ${found} times, see the notes`}${blind > 0 ? `; ${blind} times it could not be looked` : ''}`,
  ];
}

/** What was expected against what happened; the error tells how far to trust the next estimate. */
function estimates(journal: Journal): Text[][] {
  const { decision, downtime, rehearsal, copy } = journal;
  // Halfway there is nothing to compare yet.
  const moving = journal.endedAt || journal.pointOfNoReturnAt ? movingMs(journal) : undefined;
  const there =
    rehearsal?.durationMs === undefined ? undefined : rehearsal.durationMs - (rehearsal.rollback?.durationMs ?? 0);
  const down = downtime?.durationMs ?? betweenMs(downtime?.startedAt, downtime?.endedAt);
  return [
    estimateRow(
      'Duration, without waits for people and monitoring',
      decision?.estimatedDurationMs,
      moving,
      formatDurationMs,
    ),
    estimateRow(
      'Duration of the dry run, without its way back',
      there,
      rehearsal ? moving : undefined,
      formatDurationMs,
    ),
    estimateRow('Downtime (accepted at most)', decision?.acceptableDowntimeMs, down, formatDurationMs),
    estimateRow('Rows', count(journal.baseline?.rows ?? copy?.rowsEstimated), count(copy?.rows), formatCount),
  ];
}

/** What people were told before they approved, step by step. */
function predicted(journal: Journal): Block[] {
  const { prediction } = journal;
  if (!prediction) return [];
  return [
    heading('Predicted against actual'),
    table(
      ['Step', '>Predicted', '>Actual', '>Error'],
      comparePrediction(journal).map(({ title, predictedMs, actualMs }) =>
        estimateRow(title, predictedMs, actualMs, formatDurationMs),
      ),
    ),
    paragraph(
      `Predicted ${formatTime(prediction.madeAt)}, ${prediction.basis === 'assumed' ? 'by assumed rates' : 'from the rehearsal'}; on the target ${formatBytes(prediction.diskBytes)} of disk and ${formatBytes(prediction.walBytes)} of WAL; ${prediction.assumptions.join('; ')}.`,
    ),
  ];
}

/** Estimated against actual, with the error in percent. */
export function estimateRow(
  title: string,
  estimated: number | undefined,
  actual: number | undefined,
  format: (value: number) => string,
): Text[] {
  const error =
    estimated === undefined || actual === undefined || estimated === 0
      ? undefined
      : (100 * (actual - estimated)) / estimated;
  return [
    title,
    estimated === undefined ? quiet('not given') : format(estimated),
    actual === undefined ? quiet('not known') : format(actual),
    error === undefined ? '–' : `${error > 0 ? '+' : ''}${error.toFixed(Math.abs(error) < 10 ? 1 : 0)}%`,
  ];
}

function count(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}

/** Time in which steps worked: overlapping steps count once; monitoring and retention do not count. */
export function movingMs(journal: Journal): number | undefined {
  const spans = journal.steps
    .filter(
      ({ id, endedAt }) =>
        endedAt !== undefined &&
        !/^monitor|^rehears|^verify-snapshot|scratch$|target-backup$|archive-source$|^(drop|reopen)-source$|^retire/.test(
          id,
        ),
    )
    .map(({ startedAt, endedAt }) => [Date.parse(startedAt), Date.parse(endedAt ?? startedAt)] as const)
    .sort(([left], [right]) => left - right);
  if (spans.length === 0) return undefined;
  let total = 0;
  let reached = -Infinity;
  for (const [start, end] of spans) {
    total += Math.max(0, end - Math.max(start, reached));
    reached = Math.max(reached, end);
  }
  return total;
}

/** What people want those after them to know. */
export function lessons({ lessons: noted = [] }: Journal): Block[] {
  if (noted.length === 0) return [paragraph(quiet('Nobody has noted any.'))];
  return [list(noted.map(({ at, by, text }) => `${formatTime(at)}, ${by ?? 'unknown'}: ${text}`))];
}

/** What the migration noted, and what was tried again. */
export function notes(journal: Journal): Block[] {
  const retried = journal.steps.filter(({ retries }) => retries > 0);
  const lines = [
    ...journal.notes.map(({ at, text, by }) => `${formatTime(at)}${by ? `, ${by}` : ''}: ${text}`),
    ...retried.map(
      ({ title, retries }) =>
        `${title}: tried again ${retries === 1 ? 'once' : `${formatCount(retries)} times`} by an operator`,
    ),
  ];
  return lines.length > 0 ? [list(lines)] : [paragraph(quiet('Nothing was noted.'))];
}
