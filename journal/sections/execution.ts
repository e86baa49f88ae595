// Runbook section 4: what was done in production, step by step, with the four moments that the document names.
import { heading, paragraph, table, type Block, type Section, type Text } from '../document';
import { betweenMs, formatBytes, formatCount, formatMaybeMs, formatTime } from '../quantities';
import { formatDurationMs } from '../../plan/duration';
import { isRollbackStep, open, pending, quiet, resultText, stateText, stepOf } from '../reading';
import type { Journal, StepRecord } from '../types';
import { passes } from './passes';
import { reconciliation } from './reconciliation';
import { streams } from './streams';

export function execution(journal: Journal): Section {
  return {
    id: 'execution',
    number: '4',
    title: 'Production Migration Execution',
    blocks: [
      table(['Moment', 'When', 'What'], moments(journal)),
      { kind: 'timeline' },
      ...streams(journal),
      ...passes(journal),
      ...reconciliation(journal),
      heading('Steps'),
      ...steps(journal.steps.filter((step) => !isRollbackStep(step))),
      ...copyProgress(journal),
    ],
  };
}

function moments(journal: Journal): Text[][] {
  const snapshot = stepOf(journal, 'snapshot');
  const { downtime } = journal;
  const ended = journal.endedAt;
  return [
    ['Migration started', formatTime(journal.startedAt), `workflow ${journal.migration}`],
    [
      '4a Final backup',
      formatTime(snapshot?.startedAt),
      snapshot ? resultText(snapshot) : (journal.plan.facts?.snapshot ?? pending(journal)),
    ],
    ['4b Writes stopped', formatTime(downtime?.startedAt), stopped(journal)],
    ['4c Data moved', formatTime(stepOf(journal, 'copy-data')?.startedAt), moved(journal)],
    ['4d Application switched', ...switched(journal)],
    ['4d Writes resumed', formatTime(downtime?.endedAt), resumed(journal)],
    [
      'Point of no return',
      formatTime(journal.pointOfNoReturnAt),
      journal.pointOfNoReturnAt
        ? 'from here on, going back loses or must carry back what was written since'
        : journal.handOvers?.some(({ to, outcome }) => to === 'source' && outcome === 'switched')
          ? 'passed, and gone back from without losing a write'
          : 'not passed: everything can be put back as it was',
    ],
    [
      'Migration ended',
      ended ? formatTime(ended) : open('still running'),
      ended
        ? `${journal.outcome ?? 'without an outcome'}, after ${formatMaybeMs(betweenMs(journal.startedAt, ended))}`
        : `phase ${journal.phase}`,
    ],
    ['Downtime', downtimeText(journal), downtimeSpan(journal)],
  ];
}

function stopped(journal: Journal): Text {
  const step = stepOf(journal, 'maintenance-mode');
  if (step) return resultText(step);
  if (journal.reconciliation && journal.downtime) return 'held by the application itself, for the moment of the switch';
  return byHand(journal, 'stop-writes')?.text ?? pending(journal);
}

function switched(journal: Journal): [Text, Text] {
  const step = stepOf(journal, 'switch-datastore');
  if (step) return [formatTime(step.endedAt), resultText(step)];
  const hand = byHand(journal, 'switch-application');
  return [formatTime(hand?.at), hand?.text ?? pending(journal)];
}

function resumed(journal: Journal): Text {
  const step = stepOf(journal, 'normal-mode');
  if (step) return resultText(step);
  if (!journal.downtime?.endedAt) return pending(journal);
  return journal.outcome === 'completed' || journal.pointOfNoReturnAt
    ? 'on the target'
    : 'on the source, by going back';
}

/** What a person did where the plan names no application: the gate that asked for it. */
function byHand(journal: Journal, name: string): { at?: string; text: string } | undefined {
  const gate = journal.gates.findLast((candidate) => candidate.name === name);
  if (!gate || gate.state === 'open') return undefined;
  const who = gate.decisions.map(({ by }) => by).join(', ');
  return { at: gate.closedAt, text: `by hand: gate ${name} ${gate.state}${who ? ` (${who})` : ''}` };
}

function downtimeSpan({ downtime }: Journal): string {
  if (!downtime) return 'writes were never stopped';
  const from = `writes were refused from ${formatTime(downtime.startedAt)}`;
  return downtime.endedAt ? `${from} to ${formatTime(downtime.endedAt)}` : `${from} and still are`;
}

/** "41 s", "still counting", "none". */
export function downtimeText(journal: Journal): string {
  if (!journal.downtime) return 'none';
  const ms = journal.downtime.durationMs ?? betweenMs(journal.downtime.startedAt, journal.downtime.endedAt);
  return ms === undefined ? 'still counting' : formatDurationMs(ms);
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
