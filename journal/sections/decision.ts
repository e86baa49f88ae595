// Runbook sections 2 and 3: which strategy and why, and what the dry run found.
import { heading, joined, list, paragraph, table, type Block, type Section, type Text } from '../document';
import { formatCount, formatMaybeMs, formatTime } from '../quantities';
import { formatDurationMs } from '../../plan/duration';
import { done, failed, open, pending, quiet, stepOf } from '../reading';
import type { Journal } from '../types';

const strategies = [
  ['big-bang', 'Big Bang', 'Minutes to hours', 'Low', 'Small datasets (< 100GB), simple schema'],
  ['incremental', 'Incremental / Batch', 'Near-zero', 'Medium', 'Large datasets, can tolerate eventual consistency'],
  ['dual-write', 'Dual Write', 'Zero', 'High', 'Live systems requiring 100% availability'],
  ['cdc', 'CDC (Change Data Capture)', 'Near-zero', 'High', 'Continuous replication, minimal downtime'],
] as const;

export function strategySelection(journal: Journal): Section {
  const { decision } = journal;
  const selected = decision?.strategy ?? journal.plan.strategy;
  const mark = (name: string): Text => {
    const words = [name === selected ? 'selected' : '', name === decision?.recommended ? 'recommended' : ''].filter(
      Boolean,
    );
    return name === selected ? done(words.join(', ')) : words.join(', ');
  };
  return {
    id: 'strategy',
    number: '2',
    title: 'Migration Strategy Selection',
    blocks: [
      table(
        ['Strategy', 'Downtime', 'Complexity', 'Use case', 'Here'],
        strategies.map(([name, ...words]) => [...words, mark(name)]),
      ),
      heading('Decision record'),
      ...decisionRecord(journal, selected),
    ],
  };
}

/** What was decided, by the plan, and the facts behind it. */
export function decisionRecord(journal: Journal, selected: string | undefined): Block[] {
  const { decision } = journal;
  const written = decision?.rationale.trim();
  const rows: Text[][] = [
    ['Selected strategy', selected ?? quiet('none')],
    ['Recommended from the facts', decision?.recommended ?? quiet('not worked out yet')],
    ['Justification', written || quiet('none was written in the plan')],
    [
      'Estimated duration',
      decision?.estimatedDurationMs === undefined ? quiet('not given') : formatDurationMs(decision.estimatedDurationMs),
    ],
    [
      'Acceptable downtime',
      decision?.acceptableDowntimeMs === undefined
        ? quiet('not given')
        : formatDurationMs(decision.acceptableDowntimeMs),
    ],
  ];
  const facts = decision?.reasons ?? [];
  return [
    table(['Question', 'Answer'], rows),
    ...(facts.length > 0 ? [paragraph('The facts behind the recommendation:'), list(facts)] : []),
  ];
}

export function dryRun(journal: Journal): Section {
  return { id: 'dry-run', number: '3', title: 'Dry Run Execution', blocks: dryRunBlocks(journal) };
}

function dryRunBlocks(journal: Journal): Block[] {
  const { rehearsal } = journal;
  const step = journal.plan.facts?.rehearsal ? stepOf(journal, 'rehearsal', 'verify-snapshot') : undefined;
  if (!rehearsal && !step) {
    const planned = journal.plan.facts?.rehearsal === true;
    const status = planned ? pending(journal) : quiet('not planned');
    const titles = ['Duration', 'Rows migrated', 'Errors encountered', 'Validation passed'];
    const why = planned
      ? 'A dry run is planned and has not begun.'
      : 'No dry run was planned: the plan names no rehearsal servers, so the production run was the first one. The estimate below rests on no measurement.';
    return [
      table(
        ['Dry Run Result', 'Status'],
        titles.map((title) => [title, status]),
      ),
      paragraph(why),
    ];
  }
  const ms = rehearsal?.durationMs ?? step?.durationMs;
  const errors = rehearsal?.errors ?? (step?.failure ? [step.failure] : []);
  const running = rehearsal ? rehearsal.endedAt === undefined : step?.state === 'running';
  const rows: Text[][] = [
    ['Duration', ms === undefined ? open('still running') : formatMaybeMs(ms)],
    [
      'Rows migrated',
      rehearsal?.rows === undefined ? (step?.result ?? quiet('not counted')) : formatCount(rehearsal.rows),
    ],
    [
      'Errors encountered',
      errors.length === 0
        ? running
          ? open('none so far')
          : done('none')
        : joined(failed(`${errors.length}: `), errors.join('; ')),
    ],
    ['Validation passed', passed(rehearsal?.validationPassed, running)],
  ];
  const gate = journal.gates.findLast(({ name }) => name === 'go-live');
  return [
    table(['Dry Run Result', 'Status'], rows),
    paragraph(
      `Ran ${formatTime(rehearsal?.startedAt ?? step?.startedAt)} to ${formatTime(rehearsal?.endedAt ?? step?.endedAt)} on scratch servers, never on production. `,
      gate
        ? `Decision gate go-live: ${gate.state}.`
        : 'Decision gate: production is touched only if the dry run completed without errors and validation passed.',
    ),
  ];
}

function passed(validation: boolean | undefined, running: boolean): Text {
  if (validation === undefined) return running ? open('not yet') : quiet('not recorded');
  return validation ? done('passed') : failed('did not pass');
}
