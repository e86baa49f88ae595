// The timeline picture: inline SVG, one row a step, gates hatched, the downtime as a band, the point of no return as a line.
// Long waits are cut out of the axis and labelled with their length. Colours come from the page (classes), so that dark mode works.
import { formatDurationMs } from '../plan/duration';
import { escapeHtml } from './escape-html';
import { bars, scaleFor, ticks, type Bar, type Scale } from './timeline-scale';
import { downtimeWords } from './reading';
import type { Journal } from './types';

const width = 1_120;
const labels = 272;
const rightMargin = 86;
const rowHeight = 24;
const top = 46;
const bottom = 54;
const thinnest = 4;

/** An `<svg>` element; empty text when nothing has begun. */
export function renderTimeline(journal: Journal): string {
  const all = bars(journal);
  if (all.length === 0) return '';
  const plotWidth = width - labels - rightMargin;
  const scale = scaleFor(all, labels, plotWidth);
  const height = top + all.length * rowHeight + bottom;
  const floor = top + all.length * rowHeight;
  const parts = [
    hatch(),
    downtime(journal, scale, floor),
    ...axis(scale, floor),
    ...breaks(scale, floor),
    ...all.map((bar, index) => drawBar(bar, index, scale, all)),
    noReturn(journal, scale, floor),
  ];
  const title = `Timeline of ${journal.plan.name}`;
  return `<svg class="timeline" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(title)}"><title>${escapeHtml(title)}</title>${parts.join('')}</svg>`;
}

function hatch(): string {
  return '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="tl-gate-ground" width="6" height="6"/><line class="tl-gate-line" x1="0" y1="0" x2="0" y2="6"/></pattern></defs>';
}

function drawBar(bar: Bar, index: number, scale: Scale, all: Bar[]): string {
  const y = top + index * rowHeight;
  const x = scale.x(bar.startMs);
  const wide = Math.max(thinnest, scale.x(bar.endMs) - x);
  const time = formatDurationMs(bar.endMs - bar.startMs) + (bar.state === 'running' ? ' …' : '');
  const phase =
    all[index - 1]?.phase === bar.phase ? '' : `<line class="tl-phase" x1="0" x2="${width}" y1="${y}" y2="${y}"/>`;
  const hint = `${bar.label}: ${time}${bar.detail ? `. ${bar.detail}` : ''}`;
  const kind =
    bar.state === 'failed' && bar.kind !== 'gate' ? 'failed' : bar.state === 'skipped' ? 'skipped' : bar.kind;
  const mark = bar.state === 'failed' ? '✖ ' : bar.state === 'skipped' ? '↷ ' : '';
  return (
    `${phase}<g><title>${escapeHtml(hint)}</title>` +
    `<text class="tl-label" x="4" y="${y + 16}">${escapeHtml(shorten(mark + bar.label, 39))}</text>` +
    `<rect class="tl-${kind}" x="${round(x)}" y="${y + 5}" width="${round(wide)}" height="${rowHeight - 10}" rx="3"/>` +
    `<text class="tl-time" x="${round(x + wide + 5)}" y="${y + 16}">${escapeHtml(time)}</text></g>`
  );
}

function downtime(journal: Journal, scale: Scale, floor: number): string {
  const down = journal.downtime;
  if (!down) return '';
  const last = scale.segments.at(-1)?.endMs ?? 0;
  const start = scale.x(Date.parse(down.startedAt));
  const endMs = down.endedAt === undefined ? last : Date.parse(down.endedAt);
  const ms = down.durationMs ?? endMs - Date.parse(down.startedAt);
  const wide = Math.max(thinnest, scale.x(endMs) - start);
  const anchor = start > width * 0.7 ? 'end' : 'start';
  const words = `${downtimeWords(journal)} ${formatDurationMs(ms)}${down.endedAt === undefined ? ' so far' : ''}`;
  return (
    `<rect class="tl-downtime" x="${round(start)}" y="${top - 6}" width="${round(wide)}" height="${floor - top + 6}"/>` +
    `<text class="tl-downtime-label" x="${round(anchor === 'end' ? start + wide : start)}" y="14" text-anchor="${anchor}">${escapeHtml(words)}</text>` +
    `<line class="tl-downtime-edge" x1="${round(start)}" x2="${round(start)}" y1="18" y2="${floor}"/>`
  );
}

function noReturn(journal: Journal, scale: Scale, floor: number): string {
  if (journal.pointOfNoReturnAt === undefined) return '';
  const x = round(scale.x(Date.parse(journal.pointOfNoReturnAt)));
  const anchor = x > width * 0.8 ? 'end' : x < labels + 160 ? 'start' : 'middle';
  return `<line class="tl-no-return" x1="${x}" x2="${x}" y1="34" y2="${floor}"/><text class="tl-no-return-label" x="${x}" y="30" text-anchor="${anchor}">point of no return</text>`;
}

function axis(scale: Scale, floor: number): string[] {
  const marks = ticks(scale, 76);
  let lastX = -Infinity;
  let lastDay = '';
  const lines = marks.flatMap(({ atMs, stepMs }) => {
    const x = round(scale.x(atMs));
    if (x - lastX < 60) return [];
    lastX = x;
    const iso = new Date(atMs).toISOString();
    const day = iso.slice(0, 10);
    const clock = stepMs >= 86_400_000 ? '' : stepMs >= 60_000 ? iso.slice(11, 16) : iso.slice(11, 19);
    const newDay = day !== lastDay;
    lastDay = day;
    const date =
      newDay || clock === ''
        ? `<text class="tl-day" x="${x}" y="${floor + 30}" text-anchor="middle">${day}</text>`
        : '';
    return [
      `<line class="tl-tick" x1="${x}" x2="${x}" y1="${top - 4}" y2="${floor + 4}"/><text class="tl-clock" x="${x}" y="${floor + 17}" text-anchor="middle">${clock}</text>${date}`,
    ];
  });
  return [`<line class="tl-axis" x1="${labels}" x2="${width - rightMargin}" y1="${floor}" y2="${floor}"/>`, ...lines];
}

/** Cut-out waits: a light band between two zigzags, with the length of what is left out. */
function breaks({ segments }: Scale, floor: number): string[] {
  return segments
    .filter(({ broken }) => broken)
    .map(({ x, width: wide, startMs, endMs }) => {
      const middle = round(x + wide / 2);
      const words = formatDurationMs(endMs - startMs);
      return (
        `<rect class="tl-break" x="${round(x)}" y="${top - 4}" width="${round(wide)}" height="${floor - top + 4}"/>` +
        `<path class="tl-zigzag" d="${zigzag(middle - 3, floor)}"/><path class="tl-zigzag" d="${zigzag(middle + 3, floor)}"/>` +
        `<text class="tl-break-label" x="${middle}" y="${floor + 46}" text-anchor="middle">${escapeHtml(words)}</text>`
      );
    });
}

function zigzag(x: number, floor: number): string {
  return `M${round(x - 2)} ${floor - 6} l4 4 l-4 4 l4 4`;
}

function shorten(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
