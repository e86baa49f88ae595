// A migration's status in words, for `cutover status` and as the screen of `cutover watch`. Pure.
import { formatBytes, formatCount, formatTime } from '../journal/quantities';
import { reconciliationText } from '../journal/reconciliation-text';
import type { GateRecord, StepRecord } from '../journal/types';
import { formatDurationMs } from '../plan/duration';
import type { MigrationStatus } from '../workflows/messages';
import type { RunningActivity } from './migration';
import { isPassLane, passLines } from './pass-lines';
import { progressText } from './progress-text';
import { alignedRows, bar, mark, plainText, type Colors } from './output';

export interface View {
  colors: Colors;
  columns: number;
  /** For durations of what still runs. */
  nowMs: number;
  /** Steps shown; older ones are counted only. */
  steps: number;
}

/** A lane of the copy, as it last reported itself. */
export interface Lane {
  lane: number;
  /** None between two chunks. */
  table?: string;
  /** Committed, of the COPY stream. */
  bytes: number;
  /** Of the chunk under way. */
  bytesInFlight: number;
  bytesPerSecond: number;
  chunksDone: number;
}

/** The whole picture, top to bottom: where it is, what is waited for, what moves, what was done. */
export function statusLines(status: MigrationStatus, activities: RunningActivity[], view: View): string[] {
  const lines = [
    ...headLines(status, view),
    ...blockedLines(status, view),
    ...gateLines(status, view),
    ...copyLines(status, activities, view),
    ...reconciliationLines(status, view),
    ...streamLines(status, view),
    ...keptLines(status, view),
    ...passLines(status, activities, view),
    ...activityLines(activities, view),
    ...stepLines(status, view),
    ...endLines(status, view),
    ...refusedLines(status, view),
  ];
  return lines.map((line) => clip(line, view.columns));
}

function headLines(status: MigrationStatus, { colors, nowMs }: View): string[] {
  const { outcome, phase } = status;
  const state = outcome ?? phase;
  const painted =
    outcome === 'completed'
      ? colors.green(state)
      : outcome || phase === 'blocked' || phase === 'rolling-back'
        ? colors.yellow(state)
        : colors.cyan(state);
  const total = (status.endedAt ? Date.parse(status.endedAt) : nowMs) - Date.parse(status.startedAt);
  const lines = [
    `${colors.bold(status.migration)}  ${colors.bold(painted)}  ${colors.dim(`${status.kind}, ${formatDurationMs(Math.max(0, total))}, started ${formatTime(status.startedAt)}`)}`,
  ];
  if (status.reason) lines.push(`  ${plainText(status.reason)}`);
  if (status.paused)
    lines.push(
      colors.yellow(
        `  paused by ${plainText(status.paused.by)}${status.paused.reason ? `: ${plainText(status.paused.reason)}` : ''} (cutover resume ${status.migration} --by NAME)`,
      ),
    );
  const { downtime } = status;
  if (downtime) {
    const ms =
      downtime.durationMs ?? (downtime.endedAt ? Date.parse(downtime.endedAt) : nowMs) - Date.parse(downtime.startedAt);
    const [was, is] =
      status.kind === 'calico'
        ? ['Calico was locked', 'Calico is locked']
        : ['writes were stopped', 'writes are stopped'];
    lines.push(
      downtime.endedAt
        ? colors.dim(`  ${was} for ${formatDurationMs(ms)}`)
        : colors.yellow(`  ${is}, ${formatDurationMs(ms)} so far`),
    );
  }
  return lines;
}

function blockedLines({ blocked, migration, checks }: MigrationStatus, { colors }: View): string[] {
  if (!blocked) return [];
  const failed = blocked.step === 'preflight' ? (checks ?? []).filter(({ outcome }) => outcome === 'fail') : [];
  return [
    '',
    `${colors.red('Blocked')} at ${colors.bold(blocked.step)}: ${plainText(blocked.failure)}`,
    ...failed.flatMap(({ name, side, found, fix }) => [
      `  ${colors.red('✖')} ${colors.bold(name)} (${side}): ${plainText(found)}`,
      ...(fix ? [colors.dim(`      fix: ${plainText(fix)}`)] : []),
    ]),
    `  cutover retry ${migration} --by NAME`,
    ...(blocked.skippable ? [`  cutover skip ${migration} ${blocked.step} --by NAME --reason WHY`] : []),
    `  cutover rollback ${migration} --by NAME --reason WHY`,
  ];
}

/** The open gate with its evidence and the commands that answer it. */
export function gateLines(status: MigrationStatus, { colors }: Pick<View, 'colors'>): string[] {
  const gate = status.gates.find(({ state }) => state === 'open');
  if (!gate) return [];
  return [
    '',
    `${colors.yellow('Waiting for you')}: gate ${colors.bold(gate.name)} ${colors.dim(`(${approvals(gate)}${gate.closesAt ? `, until ${formatTime(gate.closesAt)}, then ${gate.onTimeout ?? 'reject'}` : ''})`)}`,
    ...gate.evidence.map((line) => `  - ${plainText(line)}`),
    `  ${approveCommand(status.migration, gate.name)}${gate.words ? ' --reason WORDS' : ''}`,
    colors.dim(`  cutover reject ${status.migration} ${gate.name} --by NAME --reason WHY`),
  ];
}

export function approveCommand(migration: string, gate: string): string {
  return `cutover approve ${migration} ${gate} --by NAME`;
}

function approvals({ decisions, approversNeeded }: GateRecord): string {
  const names = decisions.map(({ by }) => plainText(by)).join(', ');
  return `${decisions.length} of ${approversNeeded} approvals${names ? `: ${names}` : ''}`;
}

/** Lanes among what the running activities report. */
export function lanesOf(activities: RunningActivity[]): Lane[] {
  return activities
    .flatMap(({ progress }) => (isLane(progress) ? [progress] : []))
    .sort((left, right) => left.lane - right.lane);
}

function isLane(progress: unknown): progress is Lane {
  if (typeof progress !== 'object' || progress === null) return false;
  const numbers = ['lane', 'bytes', 'bytesInFlight', 'bytesPerSecond', 'chunksDone'];
  return numbers.every((name) => typeof (progress as Record<string, unknown>)[name] === 'number');
}

/** Among the lines of the copy, or of the pass. */
function isShown(progress: unknown): boolean {
  return isLane(progress) || isPassLane(progress);
}

function copyLines({ copy, phase }: MigrationStatus, activities: RunningActivity[], view: View): string[] {
  if (!copy || phase !== 'copy' || copy.chunksDone >= copy.chunksTotal) return [];
  const lanes = lanesOf(activities);
  const { colors } = view;
  const copied = Math.min(
    copy.bytesTotal,
    Math.max(copy.bytesCopied, sum(lanes, 'bytes') + sum(lanes, 'bytesInFlight')),
  );
  const rate = lanes.length > 0 ? sum(lanes, 'bytesPerSecond') : copy.bytesPerSecond;
  const etaMs = rate ? ((copy.bytesTotal - copied) / rate) * 1_000 : copy.etaMs;
  const width = Math.max(10, Math.min(40, view.columns - 50));
  const share = copy.bytesTotal === 0 ? 1 : copied / copy.bytesTotal;
  return [
    '',
    `Copy  ${colors.green(bar(share, width))}  ${formatBytes(copied)} of ${formatBytes(copy.bytesTotal)}`,
    colors.dim(
      `      ${formatCount(copy.rows)} of about ${formatCount(copy.rowsEstimated)} rows, ${copy.tablesDone} of ${copy.tablesTotal} tables${rate ? `, ${formatBytes(rate)}/s` : ''}${etaMs === undefined ? '' : `, about ${formatDurationMs(etaMs)} to go`}`,
    ),
    ...lanes.map(
      (lane) =>
        `      lane ${lane.lane + 1}  ${plainText(lane.table ?? 'between two chunks')}  ${colors.dim(`${formatBytes(lane.bytes + lane.bytesInFlight)}, ${formatBytes(lane.bytesPerSecond)}/s, ${lane.chunksDone} chunks`)}`,
    ),
  ];
}

/** While the source is kept: who holds it, and what the last look for leftovers saw. */
function keptLines({ holds = [], looks = [], outcome, migration }: MigrationStatus, { colors }: View): string[] {
  if (outcome) return [];
  const open = holds.filter(({ releasedAt }) => releasedAt === undefined);
  const last = looks.at(-1);
  return [
    ...open.map(({ by, reason, at }) =>
      colors.yellow(
        `  held by ${plainText(by)} since ${formatTime(at)}: ${plainText(reason)} (cutover release ${migration} --by ${plainText(by)})`,
      ),
    ),
    ...(last
      ? [
          colors.dim(
            `  looked for leftovers ${formatTime(last.at)}: ${plainText(last.failure ?? (last.found.join(', ') || 'nothing'))}`,
          ),
        ]
      : []),
  ];
}

/** Of a migration by dual writing: how near both sides are. */
function reconciliationLines({ reconciliation, outcome }: MigrationStatus, { colors }: View): string[] {
  if (outcome || !reconciliation || reconciliation.rounds === 0 || reconciliation.endedAt) return [];
  const { differing, differences, problems } = reconciliation;
  return [
    '',
    `Both sides  ${reconciliationText(reconciliation)}`,
    ...(differing > 0 ? differences.slice(0, 5).map((line) => colors.dim(`      ${plainText(line)}`)) : []),
    ...problems.map((problem) => `  ${colors.red('✖')} ${plainText(problem)}`),
  ];
}

/** Of a migration by CDC: who follows whom, what is wrong, and the hand-overs so far. */
function streamLines({ replication, handOvers = [], outcome }: MigrationStatus, { colors }: View): string[] {
  if (outcome || (!replication && handOvers.length === 0)) return [];
  const lines = [''];
  if (replication?.endedAt) lines.push(`Streams  removed ${formatTime(replication.endedAt)}`);
  else if (replication) {
    const { direction, lagMs, streams, retainedWalBytes, problems, guardian } = replication;
    const [behind, ahead] = direction === 'forward' ? ['target', 'source'] : ['source', 'target'];
    lines.push(
      `Streams  the ${behind} follows the ${ahead}${lagMs === undefined ? '' : `, a marker passes in ${lagMs} ms`}${retainedWalBytes === undefined ? '' : `; ${formatBytes(retainedWalBytes)} of WAL held back`}`,
    );
    lines.push(
      ...streams.map(({ name, state, lagBytes, errors }) =>
        colors.dim(
          `      ${name}  ${state}${lagBytes === undefined ? '' : `, ${formatBytes(lagBytes)} behind`}${errors > 0 ? `, ${errors} errors` : ''}`,
        ),
      ),
      ...problems.map((problem) => `  ${colors.red('✖')} ${plainText(problem)}`),
    );
    if (guardian) lines.push(colors.dim(`      slot guardian: ${guardian.level}, ${plainText(guardian.detail)}`));
  }
  for (const { from, to, outcome: how, outageMs, freezeMs } of handOvers)
    lines.push(
      `  ${from} to ${to}: ${how}${freezeMs === undefined ? (outageMs === undefined ? '' : ` in ${formatDurationMs(outageMs)}`) : `, ${freezeMs} ms without writes as the application saw it`}`,
    );
  return lines;
}

function sum(lanes: Lane[], field: 'bytes' | 'bytesInFlight' | 'bytesPerSecond'): number {
  return lanes.reduce((total, lane) => total + lane[field], 0);
}

function activityLines(activities: RunningActivity[], { colors }: View): string[] {
  const others = activities.filter(({ progress, attempt }) => !isShown(progress) || attempt > 1);
  return others.flatMap(({ type, attempt, progress, lastFailure }) => {
    const details = isShown(progress) ? '' : progressText(progress);
    const again =
      attempt > 1 ? colors.yellow(`  attempt ${attempt}${lastFailure ? `: ${plainText(lastFailure)}` : ''}`) : '';
    return details || again ? [colors.dim(`  ${type}${details ? `  ${details}` : ''}`) + again] : [];
  });
}

function stepLines({ steps }: MigrationStatus, view: View): string[] {
  if (steps.length === 0) return [];
  const shown = steps.slice(-Math.max(1, view.steps));
  const hidden = steps.length - shown.length;
  const texts = shown.map((step) => [
    plainText(step.title),
    durationOf(step, view.nowMs),
    plainText(step.failure ?? step.result ?? ''),
  ]);
  const rows = alignedRows(texts, (cell, column) => (column === 0 ? cell : view.colors.dim(cell)));
  return [
    '',
    ...(hidden > 0 ? [view.colors.dim(`  … ${hidden} steps before`)] : []),
    ...rows.map((row, index) => `${mark(shown[index]?.state ?? 'done', view.colors)} ${row}`),
  ];
}

function durationOf(step: StepRecord, nowMs: number): string {
  const ms = step.durationMs ?? (step.endedAt ? 0 : nowMs - Date.parse(step.startedAt));
  return formatDurationMs(Math.max(0, ms));
}

function endLines({ outcome, reportUrl, validation }: MigrationStatus, { colors }: View): string[] {
  const lines: string[] = [];
  if (validation && validation.length > 0) {
    const passed = validation.filter((record) => record.outcome === 'pass').length;
    lines.push(
      '',
      `Validation: ${passed === validation.length ? colors.green(`${passed} of ${validation.length} passed`) : `${passed} of ${validation.length} passed`}`,
    );
    for (const record of validation.filter(({ outcome: found }) => found === 'fail' || found === 'unverifiable')) {
      lines.push(
        colors.red(
          `  ✖ ${plainText(record.name)}: source ${plainText(record.source ?? 'n/a')}, target ${plainText(record.target ?? 'n/a')}`,
        ),
      );
    }
  }
  if (outcome) lines.push('', `Outcome: ${colors.bold(outcome)}`);
  if (reportUrl) lines.push(`Report: ${reportUrl}`);
  return lines;
}

function refusedLines({ refused }: MigrationStatus, { colors }: View): string[] {
  const last = refused.at(-1);
  if (!last) return [];
  const more = refused.length > 1 ? ` (and ${refused.length - 1} before)` : '';
  return [
    '',
    colors.yellow(
      `Refused: ${plainText(last.name)}${last.by ? ` by ${plainText(last.by)}` : ''}: ${plainText(last.why)}`,
    ) + colors.dim(more),
  ];
}

const escapes = /\u001b\[[0-9;]*m/g;

/** Cuts a line to the width of the terminal; colours have no width. */
export function clip(line: string, columns: number): string {
  if (line.replaceAll(escapes, '').length <= columns) return line;
  let width = 0;
  let cut = '';
  for (const [part] of line.matchAll(/\u001b\[[0-9;]*m|[^\u001b]/gu)) {
    if (part.startsWith('\u001b')) cut += part;
    else if (width < columns - 1) {
      cut += part;
      width += 1;
    }
  }
  return `${cut}…`;
}
