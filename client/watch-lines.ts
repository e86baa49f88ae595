// `cutover watch` where the output is no terminal: each line says one thing that happened, once. Pure.
import { passProgress } from '../journal/pass-progress';
import { formatBytes, formatCount } from '../journal/quantities';
import { reconciliationText } from '../journal/reconciliation-text';
import { stepMarks } from '../journal/step-marks';
import type { GateRecord, StepRecord } from '../journal/types';
import { formatDurationMs } from '../plan/duration';
import type { MigrationStatus } from '../workflows/messages';
import { plainText } from './output';
import { approveCommand } from './status-view';

/** What has happened between two statuses, in the order of time; all of it when there is no previous one. */
export function renderLines(previous: MigrationStatus | undefined, status: MigrationStatus): string[] {
  const events = [
    ...status.steps.flatMap((step, index) => stepEvents(previous?.steps[index], step)),
    ...status.gates.flatMap((gate, index) => gateEvents(previous?.gates[index], gate, status.migration)),
    ...refusedEvents(previous, status),
    ...afterwardsEvents(previous, status),
    ...pointOfNoReturn(previous, status),
    ...passEvents(previous, status),
  ].sort((left, right) => Date.parse(left.at) - Date.parse(right.at));
  return [
    ...(previous === undefined ? [`${status.startedAt} migration ${status.migration} (${status.kind})`] : []),
    ...events.map(({ at, text }) => `${at} ${text}`),
    ...stateLines(previous, status),
  ];
}

interface Event {
  at: string;
  text: string;
}

function stepEvents(before: StepRecord | undefined, step: StepRecord): Event[] {
  const events: Event[] = [];
  if (!before) events.push({ at: step.startedAt, text: `▶ ${plainText(step.title)}` });
  else if (step.retries > before.retries)
    events.push({ at: step.startedAt, text: `▶ ${plainText(step.title)}: tried again` });
  if (step.state !== before?.state && step.endedAt !== undefined && !['running', 'undoing'].includes(step.state)) {
    const words = step.failure ?? step.result;
    events.push({
      at: step.endedAt,
      text: `${stepMarks[step.state]} ${plainText(step.title)}: ${step.state}${step.durationMs === undefined ? '' : ` in ${formatDurationMs(step.durationMs)}`}${words ? `; ${plainText(words)}` : ''}`,
    });
  }
  return events;
}

function gateEvents(before: GateRecord | undefined, gate: GateRecord, migration: string): Event[] {
  const events: Event[] = [];
  if (!before && gate.state !== 'auto') {
    events.push({
      at: gate.openedAt,
      text: `? gate ${gate.name} is open: ${gate.approversNeeded} to approve; ${approveCommand(migration, gate.name)}`,
    });
    events.push(...gate.evidence.map((line) => ({ at: gate.openedAt, text: `    ${plainText(line)}` })));
  }
  for (const { decision, by, reason, at } of gate.decisions.slice(before?.decisions.length ?? 0)) {
    events.push({
      at,
      text: `  gate ${gate.name}: ${decision === 'approve' ? 'approved' : 'rejected'} by ${plainText(by)}${reason ? `: ${plainText(reason)}` : ''}`,
    });
  }
  if (gate.closedAt !== undefined && before?.closedAt === undefined)
    events.push({
      at: gate.closedAt,
      text: `  gate ${gate.name}: ${gate.state === 'auto' ? 'passed by itself' : gate.state}`,
    });
  return events;
}

function refusedEvents(previous: MigrationStatus | undefined, status: MigrationStatus): Event[] {
  const seen = new Set((previous?.refused ?? []).map((refused) => JSON.stringify(refused)));
  return status.refused
    .filter((refused) => !seen.has(JSON.stringify(refused)))
    .map(({ at, name, by, why }) => ({
      at,
      text: `! refused ${plainText(name)}${by ? ` by ${plainText(by)}` : ''}: ${plainText(why)}`,
    }));
}

/** Holds, notes of people, and looks for leftovers. */
function afterwardsEvents(previous: MigrationStatus | undefined, status: MigrationStatus): Event[] {
  const { holds = [], lessons = [], looks = [] } = status;
  const same = (left: { by: string; at: string }, right: { by: string; at: string }): boolean =>
    left.by === right.by && left.at === right.at;
  return [
    ...holds.flatMap((hold) => {
      const before = previous?.holds?.find((one) => same(one, hold));
      return [
        ...(before ? [] : [{ at: hold.at, text: `= held by ${plainText(hold.by)}: ${plainText(hold.reason)}` }]),
        ...(hold.releasedAt !== undefined && before?.releasedAt === undefined
          ? [{ at: hold.releasedAt, text: `= released by ${plainText(hold.by)}` }]
          : []),
      ];
    }),
    ...lessons
      .slice(previous?.lessons?.length ?? 0)
      .map(({ at, by, text }) => ({ at, text: `= noted by ${plainText(by ?? '')}: ${plainText(text)}` })),
    ...looks.slice(previous?.looks?.length ?? 0).map(({ at, found, failure }) => ({
      at,
      text: `  looked for leftovers: ${plainText(failure ?? (found.join(', ') || 'nothing'))}`,
    })),
  ];
}

/** Each pass once, when it has ended. */
function passEvents(previous: MigrationStatus | undefined, { passes = [] }: MigrationStatus): Event[] {
  const told = new Set(
    (previous?.passes ?? []).filter(({ durationMs }) => durationMs !== undefined).map(({ pass }) => pass),
  );
  return passes.flatMap(({ pass, why, startedAt, durationMs, rows, deleted, tablesChanged, tables }) =>
    durationMs === undefined || told.has(pass)
      ? []
      : [
          {
            at: new Date(Date.parse(startedAt) + durationMs).toISOString(),
            text: `  pass ${pass} (${plainText(why)}): ${formatDurationMs(durationMs)}, ${formatCount(rows)} rows written, ${formatCount(deleted)} deleted, in ${tablesChanged} of ${tables} tables`,
          },
        ],
  );
}

function pointOfNoReturn(previous: MigrationStatus | undefined, { pointOfNoReturnAt }: MigrationStatus): Event[] {
  if (pointOfNoReturnAt === undefined || previous?.pointOfNoReturnAt !== undefined) return [];
  return [{ at: pointOfNoReturnAt, text: '  point of no return' }];
}

/** Of the pass under way, when another table of it is done. */
function passStateLines(previous: MigrationStatus | undefined, { passes = [] }: MigrationStatus): string[] {
  const last = passes.at(-1);
  if (!last || last.durationMs !== undefined || last.stopped || last.tablesDone === undefined) return [];
  const before = previous?.passes?.find(({ pass }) => pass === last.pass);
  return before?.tablesDone === last.tablesDone ? [] : [`pass ${last.pass} ${passProgress(last)}`];
}

/** What is so now and was not before; these carry no time of their own. */
function stateLines(previous: MigrationStatus | undefined, status: MigrationStatus): string[] {
  const { phase, paused, blocked, copy, migration, outcome, reason, reportUrl } = status;
  const lines: string[] = [];
  if (phase !== previous?.phase) lines.push(`phase ${phase}`);
  if (paused && !previous?.paused)
    lines.push(`paused by ${plainText(paused.by)}: cutover resume ${migration} --by NAME`);
  if (!paused && previous?.paused) lines.push('resumed');
  if (blocked && blocked.failure !== previous?.blocked?.failure) {
    const choices = ['retry', ...(blocked.skippable ? ['skip'] : []), ...(blocked.ending ? [] : ['rollback'])].join(
      ' | ',
    );
    lines.push(`blocked at ${blocked.step}: cutover ${choices} ${migration} --by NAME`);
  }
  if (copy && copy.measuredAt !== previous?.copy?.measuredAt) {
    const share = copy.bytesTotal === 0 ? 100 : Math.floor((100 * copy.bytesCopied) / copy.bytesTotal);
    const eta = copy.etaMs === undefined || share >= 100 ? '' : `, about ${formatDurationMs(copy.etaMs)} to go`;
    const rate = copy.bytesPerSecond === undefined ? '' : `, ${formatBytes(copy.bytesPerSecond)}/s`;
    lines.push(
      `copy ${share} %: ${formatBytes(copy.bytesCopied)} of ${formatBytes(copy.bytesTotal)}, ${formatCount(copy.rows)} rows${rate}${eta}`,
    );
  }
  lines.push(...passStateLines(previous, status));
  const { reconciliation } = status;
  const round = (one: MigrationStatus | undefined): string =>
    `${one?.reconciliation?.judge} ${one?.reconciliation?.rounds}`;
  if (reconciliation && reconciliation.rounds > 0 && round(status) !== round(previous))
    lines.push(`both sides, ${reconciliationText(reconciliation)}`);
  const { forecast } = status;
  if (forecast && forecast.verdict !== previous?.forecast?.verdict) lines.push(`freeze: ${forecast.verdict}`);
  if (outcome && outcome !== previous?.outcome)
    lines.push(`outcome ${outcome}${reason ? `: ${plainText(reason)}` : ''}`);
  if (reportUrl && reportUrl !== previous?.reportUrl) lines.push(`report ${reportUrl}`);
  return lines;
}
