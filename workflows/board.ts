// The journal as the Web UI shows it (Current Details): CommonMark lists, below 2 KB, with the exact command for what is waited for. Pure.
import { formatDurationMs } from '../plan/duration';
import { passProgress } from '../journal/pass-progress';
import { reconciliationText } from '../journal/reconciliation-text';
import { stepMarks } from '../journal/step-marks';
import type { GateRecord, Journal, KindImport, StepRecord } from '../journal/types';
import { describeProgress } from './gate';
import { openHolds } from './holds';

const limit = 1_950;

/** Markdown for `setCurrentDetails`. What people must act on comes first; old steps give way when space is short. */
export function renderDetails(journal: Journal): string {
  const head = [
    [
      `**${journal.outcome ?? journal.phase}**`,
      journal.kind,
      ...(journal.plan.strategy ? [journal.plan.strategy] : []),
      `${journal.plan.source} → ${journal.plan.target}`,
    ].join(' · '),
  ];
  if (journal.reason) head.push(oneLine(journal.reason, 300));
  if (journal.paused)
    head.push(`**Paused** by ${oneLine(journal.paused.by, 40)}: \`${signal(journal, 'resume', '{"by":"YOU"}')}\``);
  const open = journal.gates.find(({ state }) => state === 'open');
  const waiting = [
    ...(open ? gateLines(journal, open) : []),
    ...heldLines(journal),
    ...blockedLines(journal),
    ...copyLines(journal),
    ...streamLines(journal),
    ...passLines(journal),
    ...calicoLines(journal),
    ...refusedLines(journal),
  ];
  const fixed = [...head, ...waiting].join('\n\n');
  const room = limit - byteLength(fixed);
  const steps = journal.steps.map(stepLine);
  while (steps.length > 0 && byteLength(steps.join('\n')) > room) steps.shift();
  return `${fixed}\n\n${steps.join('\n')}`.trim();
}

function gateLines(journal: Journal, gate: GateRecord): string[] {
  const evidence = gate.evidence.slice(0, 6).map((line) => `- ${oneLine(line, 100)}`);
  const until = gate.closesAt ? `, until ${gate.closesAt} (then ${gate.onTimeout})` : '';
  return [
    `**Waiting for you: gate \`${gate.name}\`** (${describeProgress(gate)}${until})`,
    evidence.join('\n'),
    `\`${signal(journal, 'approve', `{"gate":"${gate.name}","by":"YOU"${gate.words ? ',"reason":"WORDS"' : ''}}`)}\` or \`reject\``,
  ].filter(Boolean);
}

/** Who keeps the source from being retired, and what the last look for leftovers saw. */
function heldLines(journal: Journal): string[] {
  if (journal.outcome) return [];
  const holds = openHolds(journal);
  const shown = holds.slice(0, 5).map(({ by, reason }) => `- **Held** by ${oneLine(by, 40)}: ${oneLine(reason, 120)}`);
  const more = holds.length > shown.length ? [`- and ${holds.length - shown.length} more`] : [];
  const look = journal.looks?.at(-1);
  const seen = look && (look.failure ?? look.found.join(', '));
  return [
    ...(holds.length > 0 ? [[...shown, ...more].join('\n'), `\`${signal(journal, 'release', '{"by":"YOU"}')}\``] : []),
    ...(seen ? [`Last look for leftovers: ${oneLine(seen, 240)}`] : []),
  ];
}

function blockedLines(journal: Journal): string[] {
  if (!journal.blocked) return [];
  const { step, failure, skippable, ending } = journal.blocked;
  const choices = ['retry', ...(skippable ? ['skip'] : []), ...(ending ? [] : ['rollback'])].join(' | ');
  return [
    `**Blocked at \`${step}\`**: ${oneLine(failure, 360)}`,
    `\`${signal(journal, 'retry', '{"by":"YOU"}')}\` (${choices})`,
  ];
}

function copyLines(journal: Journal): string[] {
  const { copy } = journal;
  if (!copy || copy.chunksDone === copy.chunksTotal) return [];
  const share = copy.bytesTotal === 0 ? 100 : Math.floor((100 * copy.bytesCopied) / copy.bytesTotal);
  const eta = copy.etaMs === undefined ? '' : `, ${formatDurationMs(copy.etaMs)} to go`;
  return [`Copied ${share} % (${copy.tablesDone} of ${copy.tablesTotal} tables)${eta}`];
}

/** Who follows whom and how closely; and how long the last hand-over took. */
function streamLines({ replication, handOvers = [], reconciliation, outcome }: Journal): string[] {
  if (outcome) return [];
  const lines: string[] = [];
  if (reconciliation && reconciliation.rounds > 0 && !reconciliation.endedAt) {
    lines.push(reconciliationText(reconciliation));
    lines.push(...reconciliation.problems.slice(0, 4).map((problem) => `**${oneLine(problem, 160)}**`));
  }
  if (replication && !replication.endedAt) {
    const { direction, lagMs, problems, guardian } = replication;
    const [behind, ahead] = direction === 'forward' ? ['target', 'source'] : ['source', 'target'];
    lines.push(
      `the ${behind} follows the ${ahead}: a marker passes in ${lagMs === undefined ? 'unknown time' : `${lagMs} ms`}`,
    );
    lines.push(...problems.slice(0, 4).map((problem) => `**${oneLine(problem, 160)}**`));
    if (guardian && guardian.level !== 'fine')
      lines.push(`slot guardian, ${guardian.level}: ${oneLine(guardian.detail, 120)}`);
  }
  const last = handOvers.at(-1);
  if (last?.outcome === 'switched')
    lines.push(
      `last hand-over, ${last.from} to ${last.to}: ${last.freezeMs === undefined ? formatDurationMs(last.outageMs ?? 0) : `${last.freezeMs} ms`} without writes`,
    );
  return lines.length > 0 ? [lines.map((line) => `- ${line}`).join('\n')] : [];
}

/** The last pass, and how long the freeze would be. */
function passLines({ passes = [], forecast, outcome }: Journal): string[] {
  const last = passes.at(-1);
  if (!last || outcome) return [];
  const lines = [
    `pass ${last.pass} (${last.why}): ${passProgress(last)}, ${last.rows} rows written, ${last.deleted} deleted`,
    ...(forecast ? [forecast.fits ? forecast.verdict : `**does not fit:** ${oneLine(forecast.verdict, 260)}`] : []),
  ];
  return [lines.map((line) => `- ${line}`).join('\n')];
}

/** Where the keys ended and what the import did: the figures by which people decide at the gates. */
function calicoLines({ accounting, imports }: Journal): string[] {
  const lines: string[] = [];
  if (accounting) {
    const sum = (field: 'source' | 'migrated' | 'derived' | 'refused'): number =>
      accounting.kinds.reduce((total, kind) => total + kind[field], 0);
    lines.push(
      `${sum('source')} keys at revision ${accounting.revision}: ${sum('migrated')} migrated, ${sum('derived')} made anew, ${sum('refused')} refused`,
    );
  }
  if (imports) {
    const sum = (field: Exclude<keyof KindImport, 'kind'>): number =>
      imports.reduce((total, kind) => total + kind[field], 0);
    lines.push(
      `${sum('wanted')} objects: ${sum('created')} created, ${sum('equal')} equal already, ${sum('replaced')} replaced, ${sum('conflicting')} conflicting`,
    );
  }
  return lines.length > 0 ? [lines.map((line) => `- ${line}`).join('\n')] : [];
}

function refusedLines(journal: Journal): string[] {
  const last = journal.refused.at(-1);
  return last ? [`Last refused: \`${oneLine(last.name, 30)}\` at ${last.at}: ${oneLine(last.why, 240)}`] : [];
}

function stepLine(step: StepRecord): string {
  const time = step.durationMs === undefined ? '' : ` (${formatDurationMs(step.durationMs)})`;
  const result = step.failure ?? step.result;
  return `- ${stepMarks[step.state]} ${oneLine(step.title, 60)}${time}${result ? `: ${oneLine(result, 90)}` : ''}`;
}

function signal(journal: Journal, name: string, input: string): string {
  return `temporal workflow signal -w ${journal.migration} --name ${name} --input '${input}'`;
}

function oneLine(text: string, most: number): string {
  const flat = text.replaceAll(/\s+/g, ' ').trim();
  return flat.length > most ? `${flat.slice(0, most - 1)}…` : flat;
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}
