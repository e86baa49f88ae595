// What several parts of the report ask the journal: which steps belong to what, what time it was last heard of, what is still open.
import type { Check, Journal, StepRecord } from './types';
import type { Inline, Text } from './document';
import { toned } from './document';

/** Times of the journal's own records; the latest is "now" for a report of a migration that still runs. */
export function lastHeardOf(journal: Journal): string {
  const times = [
    journal.startedAt,
    journal.endedAt,
    journal.pointOfNoReturnAt,
    journal.copy?.measuredAt,
    journal.loss?.measuredAt,
    journal.downtime?.startedAt,
    journal.downtime?.endedAt,
    ...journal.steps.flatMap(({ startedAt, endedAt }) => [startedAt, endedAt]),
    ...journal.gates.flatMap((gate) => [gate.openedAt, gate.closedAt, ...gate.decisions.map(({ at }) => at)]),
    ...journal.refused.map(({ at }) => at),
    ...journal.notes.map(({ at }) => at),
  ];
  return (
    times
      .filter((time) => time !== undefined)
      .sort((left, right) => Date.parse(left) - Date.parse(right))
      .at(-1) ?? journal.startedAt
  );
}

/** What the downtime was, by the kind of migration: "writes stopped". */
export function downtimeWords({ kind }: Journal): string {
  return kind === 'calico' ? 'Calico locked' : 'writes stopped';
}

/** Steps of going back: compensations of the undo stack, the procedure after the point of no return, hand-overs back to the source. */
export function isRollbackStep(step: StepRecord): boolean {
  return (
    step.goingBack === true ||
    step.id.startsWith('undo-') ||
    /^(rolling-back|rollback|way-back)/.test(step.phase) ||
    ['undoing', 'undone', 'undo-failed'].includes(step.state)
  );
}

/** The last forward step with one of these identities, the first identity that was run; the last, because a migration may have tried again. */
export function stepOf(journal: Journal, ...ids: string[]): StepRecord | undefined {
  return ids
    .map((id) => journal.steps.findLast((step) => step.id === id && !isRollbackStep(step)))
    .find((step) => step !== undefined);
}

/** All forward steps whose identity begins so: `monitor`, `monitor-2`. */
export function stepsBeginning(journal: Journal, prefix: string): StepRecord[] {
  return journal.steps.filter(
    (step) => !isRollbackStep(step) && (step.id === prefix || step.id.startsWith(`${prefix}-`)),
  );
}

/** The findings with one of these identities. */
export function checksNamed(journal: Journal, ...names: string[]): Check[] {
  return (journal.preflight ?? []).filter(({ name }) => names.includes(name));
}

const stateTexts: Record<StepRecord['state'], Inline> = {
  running: toned('open', '▶ running'),
  done: toned('good', '✔ done'),
  failed: toned('bad', '✖ failed'),
  skipped: toned('warn', '↷ skipped'),
  undoing: toned('open', '◀ undoing'),
  undone: toned('good', '↩ undone'),
  'undo-failed': toned('bad', '✖ undo failed'),
};

/** The state of a step, with its mark. */
export function stateText(state: StepRecord['state']): Inline {
  return stateTexts[state];
}

/** What came of a step: its result or failure, and how often an operator had it tried again. */
export function resultText(step: StepRecord): Text {
  const again =
    step.retries > 0 ? ` (tried again ${step.retries === 1 ? 'once' : `${step.retries} times`} by an operator)` : '';
  return `${[step.failure, step.result].filter(Boolean).join('; ') || '–'}${again}`;
}

const outcomeTexts: Record<Check['outcome'], Inline> = {
  pass: toned('good', '✔ pass'),
  warn: toned('warn', '! warning'),
  fail: toned('bad', '✖ fail'),
};

/** The outcome of a check, and whether the plan accepts it. */
export function checkText(check: Check): Text {
  return check.waived === undefined ? outcomeTexts[check.outcome] : toned('warn', '! waived');
}

/** `[x]` and `[ ]` of the runbook, in words. */
export const done = (text: string): Inline => toned('good', `✔ ${text}`);
export const failed = (text: string): Inline => toned('bad', `✖ ${text}`);
export const open = (text: string): Inline => toned('open', `○ ${text}`);
export const quiet = (text: string): Inline => toned('quiet', text);
export const warning = (text: string): Inline => toned('warn', `! ${text}`);

/** What has not happened: it may still come, or the migration ended without it. */
export function pending(journal: Journal): Inline {
  return journal.endedAt ? quiet('not done') : open('not yet');
}
