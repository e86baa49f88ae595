// Runbook section 4: what was done in production, step by step, with the four moments that the document names.
import { heading, paragraph, table, type Block, type Section, type Text } from '../document';
import { betweenMs, formatBytes, formatCount, formatMaybeMs, formatTime } from '../quantities';
import { formatDurationMs } from '../../plan/duration';
import { isRollbackStep, open, pending, quiet, resultText, stateText, stepOf } from '../reading';
import type { Journal, StepRecord } from '../types';

export function execution(journal: Journal): Section {
  return {
    id: 'execution',
    number: '4',
    title: 'Production Migration Execution',
    blocks: [
      table(['Moment', 'When', 'What'], moments(journal)),
      { kind: 'timeline' },
      heading('Steps'),
      ...steps(journal.steps.filter((step) => !isRollbackStep(step))),
      ...copyProgress(journal),
    ],
  };
}

function moments(journal: Journal): Text[][] {
  const snapshot = stepOf(journal, 'snapshot');
  const stop = stepOf(journal, 'maintenance-mode', 'fence');
  const change = stepOf(journal, 'switch-datastore');
  const resume = stepOf(journal, 'normal-mode');
  const ended = journal.endedAt;
  const { downtime } = journal;
  return [
    ['Migration started', formatTime(journal.startedAt), `workflow ${journal.migration}`],
    [
      '4a Final backup',
      at(snapshot),
      snapshot ? resultText(snapshot) : (journal.plan.facts?.snapshot ?? 'not taken yet'),
    ],
    [
      '4b Writes stopped',
      downtime ? formatTime(downtime.startedAt) : at(stop),
      stop ? resultText(stop) : pending(journal),
    ],
    ['4c Data moved', at(stepOf(journal, 'copy-data')), moved(journal)],
    ['4d Application switched', at(change, 'end'), change ? resultText(change) : pending(journal)],
    [
      '4d Writes resumed',
      downtime?.endedAt ? formatTime(downtime.endedAt) : at(resume, 'end'),
      resume ? resultText(resume) : pending(journal),
    ],
    [
      'Point of no return',
      formatTime(journal.pointOfNoReturnAt),
      journal.pointOfNoReturnAt
        ? 'from here on, going back loses or must carry back what was written since'
        : 'not passed: everything can be put back as it was',
    ],
    [
      'Migration ended',
      ended ? formatTime(ended) : open('still running'),
      ended
        ? `${journal.outcome ?? 'without an outcome'}, after ${formatMaybeMs(betweenMs(journal.startedAt, ended))}`
        : `phase ${journal.phase}`,
    ],
    [
      'Downtime',
      downtimeText(journal),
      downtime
        ? `writes were refused from ${formatTime(downtime.startedAt)} to ${formatTime(downtime.endedAt)}`
        : 'writes were never stopped',
    ],
  ];
}

/** "41 s", "still counting", "none". */
export function downtimeText(journal: Journal): string {
  if (!journal.downtime) return 'none';
  const ms = journal.downtime.durationMs ?? betweenMs(journal.downtime.startedAt, journal.downtime.endedAt);
  return ms === undefined ? 'still counting' : formatDurationMs(ms);
}

function at(step: StepRecord | undefined, edge: 'start' | 'end' = 'start'): string {
  return formatTime(edge === 'start' ? step?.startedAt : step?.endedAt);
}

function moved(journal: Journal): Text {
  const step = stepOf(journal, 'copy-data');
  if (journal.copy)
    return `${formatCount(journal.copy.rows)} rows, ${formatBytes(journal.copy.bytesCopied)}, ${journal.copy.tablesDone} of ${journal.copy.tablesTotal} tables`;
  return step ? resultText(step) : pending(journal);
}

/** Steps with start, end, duration and what came of them. */
export function steps(records: StepRecord[]): Block[] {
  if (records.length === 0) return [paragraph(quiet('No step has run yet.'))];
  return [
    table(
      ['>#', 'Phase', 'Step', 'State', 'Start', 'End', '>Duration', 'Result'],
      records.map((step, index) => [
        String(index + 1),
        step.phase,
        step.downtime ? [step.title, ' ', quiet('(in the downtime)')] : step.title,
        stateText(step.state),
        formatTime(step.startedAt),
        formatTime(step.endedAt),
        formatMaybeMs(step.durationMs),
        resultText(step),
      ]),
    ),
  ];
}

function copyProgress(journal: Journal): Block[] {
  const { copy } = journal;
  if (!copy || copy.chunksDone >= copy.chunksTotal) return [];
  const eta = copy.etaMs === undefined ? '' : `, about ${formatDurationMs(copy.etaMs)} to go`;
  return [
    paragraph(
      `The copy is at ${formatBytes(copy.bytesCopied)} of ${formatBytes(copy.bytesTotal)} (${formatCount(copy.rows)} of about ${formatCount(copy.rowsEstimated)} rows)${eta}, as of ${formatTime(copy.measuredAt)}.`,
    ),
  ];
}
