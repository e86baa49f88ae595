// The report of a migration, finished or not, in the order and numbering of the runbook. Pure: the workflow renders it inside its sandbox.
import { formatDurationMs } from '../plan/duration';
import { code, type Block, type Inline, type ReportDocument, type Section, type Tone } from './document';
import { betweenMs, formatBytes, formatCount, formatTime } from './quantities';
import { lastHeardOf } from './reading';
import { afterwards } from './sections/afterwards';
import { accounting } from './sections/calico/accounting';
import { calicoExecution } from './sections/calico/execution';
import { calicoAfterwards, calicoRollback, calicoValidation } from './sections/calico/proof';
import { checklist, findings, passedChecks } from './sections/checklist';
import { decisionRecord, strategySelection } from './sections/decision';
import { dryRun } from './sections/dry-run';
import { downtimeText, execution } from './sections/execution';
import { artifacts, gates, leftBehind, messages } from './sections/record';
import { rollback } from './sections/rollback';
import { validation } from './sections/validation';
import type { Journal, Outcome } from './types';

/** Everything that the journal tells, as blocks for a renderer. */
export function composeReport(journal: Journal): ReportDocument {
  return {
    title: `Data Migration Report: ${journal.plan.name}`,
    subtitle: `${sideName(journal, 'source')} to ${sideName(journal, 'target')}, ${journal.plan.strategy ?? journal.kind}`,
    head: [banner(journal), figures(journal), identity(journal)],
    sections: [
      ...(journal.kind === 'calico' ? calicoSections(journal) : postgresSections(journal)),
      gates(journal),
      messages(journal),
      artifacts(journal),
      leftBehind(journal),
      passedChecks(journal),
    ],
  };
}

/** The runbook's own seven sections. */
function postgresSections(journal: Journal): Section[] {
  return [
    checklist(journal),
    strategySelection(journal),
    dryRun(journal),
    execution(journal),
    validation(journal),
    rollback(journal),
    afterwards(journal),
  ];
}

/** As many, so that what follows has the same numbers in every report. */
function calicoSections(journal: Journal): Section[] {
  return [
    { id: 'checklist', number: '1', title: 'Checks before the start', blocks: findings(journal.preflight) },
    {
      id: 'decision',
      number: '2',
      title: 'Decision record',
      blocks: decisionRecord(journal, 'etcd to Kubernetes, both datastores locked'),
    },
    accounting(journal),
    calicoExecution(journal),
    calicoValidation(journal),
    calicoRollback(journal),
    calicoAfterwards(journal),
  ];
}

const outcomes: Record<Outcome, { tone: Tone; text: string }> = {
  completed: { tone: 'good', text: 'Completed' },
  'rolled-back': { tone: 'warn', text: 'Rolled back' },
  rejected: { tone: 'warn', text: 'Rejected' },
};

function banner(journal: Journal): Block {
  const why: Inline[] = journal.reason ? [` ${journal.reason}`] : [];
  if (journal.outcome) {
    const { tone, text } = outcomes[journal.outcome];
    return {
      kind: 'banner',
      tone,
      text: [{ strong: `${text}.` }, ...(why.length > 0 ? why : [` ${verdict(journal)}`])],
    };
  }
  if (journal.endedAt)
    return { kind: 'banner', tone: 'bad', text: [{ strong: 'Failed: neither finished nor undone.' }, ...why] };
  const gate = journal.gates.find(({ state }) => state === 'open');
  const now: Inline[] = [
    { strong: 'Still running.' },
    ' This is how far it has got, as of ',
    formatTime(lastHeardOf(journal)),
    '; phase ',
    code(journal.phase),
    '.',
  ];
  if (journal.blocked) now.push(' Blocked at ', code(journal.blocked.step), `: ${journal.blocked.failure}`);
  if (journal.paused) now.push(` Paused by ${journal.paused.by}.`);
  if (gate) now.push(' Waiting for people at gate ', code(gate.name), '.');
  return { kind: 'banner', tone: journal.blocked ? 'bad' : 'open', text: [...now, ...why] };
}

function verdict(journal: Journal): string {
  const records = journal.validation ?? [];
  const passed = records.filter(({ outcome }) => outcome === 'pass').length;
  const compared = (journal.tables ?? []).filter(({ equal }) => equal !== undefined);
  const equal = compared.filter((table) => table.equal).length;
  const skipped = records.filter(({ outcome }) => outcome === 'skipped').length;
  const parts = [
    records.length > 0
      ? `${passed} of ${records.length} validation checks passed${skipped > 0 ? `, ${skipped} skipped` : ''}`
      : '',
    compared.length > 0 ? `${equal} of ${compared.length} tables listed here are equal by digest` : '',
    journal.outcome === 'completed'
      ? `${journal.kind === 'calico' ? 'Calico was locked' : 'writes were stopped'} for ${downtimeText(journal)}`
      : '',
  ].filter(Boolean);
  return parts.length > 0 ? `${parts.join('; ')}.` : '';
}

function figures(journal: Journal): Block {
  const total = betweenMs(journal.startedAt, journal.endedAt ?? lastHeardOf(journal));
  const differing = (journal.validation ?? []).filter(
    ({ outcome }) => outcome === 'fail' || outcome === 'unverifiable',
  ).length;
  return {
    kind: 'figures',
    items: [
      {
        label: 'Outcome',
        value: journal.outcome ?? (journal.endedAt ? 'failed' : 'running'),
        note: journal.outcome ? undefined : journal.phase,
      },
      {
        label: journal.kind === 'calico' ? 'Locked' : 'Downtime',
        value: downtimeText(journal),
        note: accepted(journal),
      },
      ...(journal.kind === 'calico' ? objectFigures(journal) : rowFigures(journal)),
      {
        label: 'Duration',
        value: total === undefined ? '–' : formatDurationMs(total),
        note: 'with gates and monitoring',
      },
      {
        label: 'Validation',
        value: journal.validation ? (differing === 0 ? 'no difference' : `${differing} failed`) : '–',
        note: journal.validation ? `${journal.validation.length} checks` : undefined,
      },
    ],
  };
}

type Figure = Extract<Block, { kind: 'figures' }>['items'][number];

function rowFigures(journal: Journal): Figure[] {
  const rows = journal.copy?.rows ?? sum(journal, 'rows');
  const bytes = journal.copy?.bytesCopied ?? Number(sum(journal, 'bytes') ?? 0);
  const copied = journal.tables !== undefined || journal.copy !== undefined;
  return [
    {
      label: 'Rows',
      value: rows === undefined || !copied ? '–' : formatCount(rows),
      note: rowsInTheEnd(journal, rows),
    },
    { label: 'Bytes', value: copied ? formatBytes(bytes) : '–' },
  ];
}

/** Copied while the source was written to: there are others by the time that all are counted. */
function rowsInTheEnd({ validation = [] }: Journal, copied: string | undefined): string | undefined {
  const counted = /^(\d+) rows$/.exec(validation.find(({ name }) => name === 'row counts')?.target ?? '')?.[1];
  return counted === undefined || counted === copied ? undefined : `copied; ${formatCount(counted)} in the end`;
}

function objectFigures({ accounting: keys, imports }: Journal): Figure[] {
  const total = (field: 'source' | 'refused'): string =>
    keys ? formatCount(keys.kinds.reduce((count, kind) => count + kind[field], 0)) : '–';
  return [
    {
      label: 'Objects',
      value: imports ? formatCount(imports.reduce((count, { wanted }) => count + wanted, 0)) : '–',
      note: `of ${total('source')} keys in etcd`,
    },
    { label: 'Refused', value: total('refused'), note: 'named in section 3' },
  ];
}

function accepted(journal: Journal): string | undefined {
  const ms = journal.decision?.acceptableDowntimeMs;
  return ms === undefined ? undefined : `accepted: ${formatDurationMs(ms)}`;
}

function sum(journal: Journal, field: 'rows' | 'bytes'): string | undefined {
  if (!journal.tables || journal.tables.length === 0) return undefined;
  return String(journal.tables.reduce((total, table) => total + BigInt(table[field]), 0n));
}

function identity(journal: Journal): Block {
  return {
    kind: 'table',
    columns: [{ title: 'What' }, { title: 'Which' }],
    rows: [
      ['Migration', [code(journal.migration), ', run ', code(journal.runId)]],
      ['Source', [sideName(journal, 'source'), ' (', code(journal.plan.source), ')']],
      ['Target', [sideName(journal, 'target'), ' (', code(journal.plan.target), ')']],
      ['Plan', [journal.plan.name, ', digest ', code(journal.plan.digest)]],
      ['Started', formatTime(journal.startedAt)],
      ['Ended', journal.endedAt ? formatTime(journal.endedAt) : 'still running'],
    ],
  };
}

function sideName(journal: Journal, side: 'source' | 'target'): string {
  return journal.versions?.[side] ?? `the ${side}`;
}
