// Runbook section 3: what the dry run found, there and back on scratch servers, or why there was none.
import { code, heading, joined, paragraph, table, type Block, type Section, type Text } from '../document';
import { formatBytes, formatCount, formatMaybeMs, formatTime } from '../quantities';
import { done, failed, open, pending, quiet } from '../reading';
import type { Journal, RehearsalRecord } from '../types';

export function dryRun(journal: Journal): Section {
  const { rehearsal } = journal;
  return {
    id: 'dry-run',
    number: '3',
    title: 'Dry Run Execution',
    blocks: rehearsal ? rehearsed(journal, rehearsal) : notRehearsed(journal),
  };
}

function notRehearsed(journal: Journal): Block[] {
  const { facts } = journal.plan;
  const planned = facts?.rehearsal === true;
  const status = planned ? pending(journal) : quiet('not planned');
  const titles = ['Duration', 'Rows migrated', 'Errors encountered', 'Validation passed', 'Rollback rehearsed'];
  const none =
    facts?.rehearsalSkipped === undefined
      ? 'No dry run was planned: the plan names no rehearsal servers, so the production run was the first one.'
      : `No dry run was planned, so the production run was the first one. The plan says why: ${facts.rehearsalSkipped}.`;
  return [
    table(
      ['Dry Run Result', 'Status'],
      titles.map((title) => [title, status]),
    ),
    paragraph(planned ? 'A dry run is planned and has not begun.' : `${none} The prediction rests on no measurement.`),
  ];
}

function rehearsed(journal: Journal, rehearsal: RehearsalRecord): Block[] {
  const { startedAt, endedAt, durationMs, rows, errors, child, attempt = 1, steps = [], report } = rehearsal;
  const running = endedAt === undefined;
  const results: Text[][] = [
    ['Duration', running ? open('still running') : `${formatMaybeMs(durationMs)}, there and back`],
    ['Rows migrated', rows === undefined ? quiet('not counted') : formatCount(rows)],
    [
      'Errors encountered',
      errors.length > 0
        ? joined(failed(`${errors.length}: `), errors.join('; '))
        : running
          ? open('none so far')
          : done('none'),
    ],
    ['Validation passed', validationText(rehearsal, running)],
    ['Rollback rehearsed', rollbackText(rehearsal, running)],
    ['Size', sizeText(rehearsal)],
  ];
  const gate = journal.gates.findLast(({ name }) => name === 'go-live');
  return [
    table(['Dry Run Result', 'Status'], results),
    paragraph(
      `Ran ${formatTime(startedAt)} to ${formatTime(endedAt)} on scratch servers, never on production`,
      ...(child === undefined ? ['. '] : [', as ', code(child), `${attempt > 1 ? `, the last of ${attempt}` : ''}. `]),
      gate
        ? `Decision gate go-live: ${gate.state}.`
        : 'Decision gate: production is touched only if the dry run completed without errors and validation passed.',
      ...(report === undefined ? [] : [' Its own report: ', code(report), '.']),
    ),
    ...(steps.length > 0
      ? [
          heading('Steps of the dry run'),
          table(
            ['Step', '>Time', 'Writes stopped'],
            steps.map(({ title, durationMs: ms, downtime }) => [title, formatMaybeMs(ms), downtime ? 'yes' : '']),
          ),
        ]
      : []),
  ];
}

function validationText({ validationPassed, validations }: RehearsalRecord, running: boolean): Text {
  if (validationPassed === undefined) return running ? open('not yet') : quiet('not recorded');
  const counted = validations ? `, ${validations.passed} of ${validations.of}` : '';
  return validationPassed ? done(`passed${counted}`) : failed(`did not pass${counted}`);
}

function rollbackText({ rollback }: RehearsalRecord, running: boolean): Text {
  if (!rollback?.rehearsed) return running ? open('not yet') : failed('no');
  const way = rollback.way === 'hand-over' ? 'by a hand-over back, without a loss' : 'undone before the switch';
  return done(`${way}, in ${formatMaybeMs(rollback.durationMs)}`);
}

function sizeText({ databaseBytes, sizeRatio }: RehearsalRecord): Text {
  if (databaseBytes === undefined) return quiet('not measured');
  const ratio = sizeRatio === undefined ? '' : `; production has ${sizeRatio.toFixed(2)} times the rows`;
  return `${formatBytes(databaseBytes)}${ratio}`;
}
