// The time axis of the timeline: linear while something works, cut short where everybody only waits, so that a day of
// monitoring does not squeeze a copy of ten seconds into nothing. Pure geometry; units are milliseconds in, pixels out.
import { isRollbackStep, lastHeardOf } from './reading';
import type { Journal } from './types';

export interface Span {
  startMs: number;
  endMs: number;
}

export interface Bar extends Span {
  kind: 'work' | 'undo' | 'wait' | 'gate';
  label: string;
  phase: string;
  state: 'running' | 'done' | 'failed' | 'skipped';
  detail: string;
}

export interface Segment extends Span {
  x: number;
  width: number;
  /** Cut short: its width says nothing of its length. */
  broken: boolean;
}

export interface Scale {
  segments: Segment[];
  /** Where a moment stands; outside of the axis it is clamped. */
  x(atMs: number): number;
}

const waiting = /^monitor/;

/** Steps and gates in the order in which they began. */
export function bars(journal: Journal): Bar[] {
  const nowMs = Date.parse(journal.endedAt ?? lastHeardOf(journal));
  const steps = journal.steps.map<Bar>((step) => {
    const state =
      step.state === 'running' || step.state === 'undoing'
        ? 'running'
        : step.state === 'failed' || step.state === 'undo-failed'
          ? 'failed'
          : step.state === 'skipped'
            ? 'skipped'
            : 'done';
    return {
      kind: isRollbackStep(step) ? 'undo' : waiting.test(step.id) ? 'wait' : 'work',
      label: step.title,
      phase: step.phase,
      state,
      detail: step.failure ?? step.result ?? '',
      startMs: Date.parse(step.startedAt),
      endMs: step.endedAt === undefined ? nowMs : Date.parse(step.endedAt),
    };
  });
  const gates = journal.gates
    .filter(({ state }) => state !== 'auto')
    .map<Bar>((gate) => ({
      kind: 'gate',
      label: `gate ${gate.name}`,
      phase: 'gate',
      state: gate.state === 'open' ? 'running' : gate.state === 'approved' ? 'done' : 'failed',
      detail:
        gate.decisions
          .map(({ decision, by }) => `${decision === 'approve' ? 'approved' : 'rejected'} by ${by}`)
          .join(', ') || gate.state,
      startMs: Date.parse(gate.openedAt),
      endMs: gate.closedAt === undefined ? nowMs : Date.parse(gate.closedAt),
    }));
  return [...steps, ...gates, ...retention(journal, nowMs)]
    .filter(({ startMs, endMs }) => Number.isFinite(startMs) && Number.isFinite(endMs))
    .sort((left, right) => left.startMs - right.startMs);
}

/** The retention time is no step but a wait between two: from the last step before it to the gate after it. */
function retention(journal: Journal, nowMs: number): Bar[] {
  const gate = journal.gates.findLast(({ name }) => name === 'retire-source');
  if (!gate && journal.phase !== 'retention') return [];
  const endMs = gate ? Date.parse(gate.openedAt) : nowMs;
  const before = [...journal.steps.map(({ endedAt }) => endedAt), ...journal.gates.map(({ closedAt }) => closedAt)]
    .map((time) => (time === undefined ? NaN : Date.parse(time)))
    .filter((at) => at <= endMs);
  if (before.length === 0) return [];
  const startMs = Math.max(...before);
  return [
    {
      kind: 'wait',
      label: 'The source is kept',
      phase: 'retention',
      state: gate ? 'done' : 'running',
      detail: '',
      startMs,
      endMs,
    },
  ];
}

/** The axis for these bars in `width` pixels from `x0`. */
export function scaleFor(all: Bar[], x0: number, width: number): Scale {
  const pieces = merged(all);
  const worked = pieces.filter(({ busy }) => busy).reduce((sum, piece) => sum + length(piece), 0);
  // A wait of less than a fifth of the work is shown in proportion: it tells something and costs little.
  const isBroken = (piece: Span & { busy: boolean }): boolean => !piece.busy && length(piece) > worked * 0.2;
  const broken = pieces.filter(isBroken);
  const brokenWidth =
    broken.length === 0
      ? 0
      : worked === 0 && broken.length === pieces.length
        ? width / broken.length
        : Math.min(width * 0.07, (width * 0.4) / broken.length);
  const linear = pieces.filter((piece) => !isBroken(piece)).reduce((sum, piece) => sum + length(piece), 0);
  const perMs = linear === 0 ? 0 : (width - brokenWidth * broken.length) / linear;
  let x = x0;
  const segments = pieces.map<Segment>((piece) => {
    const segment = {
      startMs: piece.startMs,
      endMs: piece.endMs,
      x,
      width: isBroken(piece) ? brokenWidth : length(piece) * perMs,
      broken: isBroken(piece),
    };
    x += segment.width;
    return segment;
  });
  return { segments, x: (atMs) => place(segments, atMs, x0) };
}

function place(segments: Segment[], atMs: number, x0: number): number {
  const segment = segments.find(({ endMs }) => atMs <= endMs) ?? segments.at(-1);
  if (!segment) return x0;
  const share = length(segment) === 0 ? 0 : Math.min(1, Math.max(0, (atMs - segment.startMs) / length(segment)));
  return segment.x + share * segment.width;
}

/** The time covered by the bars, cut at their ends, neighbours of the same kind as one: busy, or only waiting. */
function merged(all: Bar[]): (Span & { busy: boolean })[] {
  const edges = [...new Set(all.flatMap(({ startMs, endMs }) => [startMs, endMs]))].sort((left, right) => left - right);
  const pieces: (Span & { busy: boolean })[] = [];
  for (const [index, startMs] of edges.slice(0, -1).entries()) {
    const endMs = edges[index + 1] ?? startMs;
    const busy = all.some(
      (bar) => bar.kind !== 'gate' && bar.kind !== 'wait' && bar.startMs < endMs && bar.endMs > startMs,
    );
    const last = pieces.at(-1);
    if (last?.busy === busy) last.endMs = endMs;
    else pieces.push({ startMs, endMs, busy });
  }
  return pieces;
}

function length({ startMs, endMs }: Span): number {
  return endMs - startMs;
}

const steps = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
].map((seconds) => seconds * 1_000);

/** Round clock times for the linear parts, at least `minPixels` apart. */
export function ticks({ segments }: Scale, minPixels: number): { atMs: number; stepMs: number }[] {
  const linear = segments.filter(({ broken, width }) => !broken && width > 0);
  const densest = Math.max(0, ...linear.map((segment) => length(segment) / segment.width));
  const stepMs = steps.find((step) => step >= densest * minPixels) ?? steps.at(-1) ?? 1_000;
  return linear.flatMap((segment) => {
    const found = [];
    for (let at = Math.ceil(segment.startMs / stepMs) * stepMs; at <= segment.endMs; at += stepMs)
      found.push({ atMs: at, stepMs });
    return found;
  });
}
