// Runbook section 2: which strategy and why.
import { heading, list, paragraph, table, type Block, type Section, type Text } from '../document';
import { formatDurationMs } from '../../plan/duration';
import { done, quiet } from '../reading';
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
