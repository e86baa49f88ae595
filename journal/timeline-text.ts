// The timeline in letters, for Markdown and terminals: one line a step, on the same cut axis as the picture.
import { formatDurationMs } from '../plan/duration';
import { bars, scaleFor, type Bar } from './timeline-scale';
import type { Journal } from './types';

const width = 56;
const labelWidth = 34;

const signs: Record<Bar['kind'], string> = { work: '█', undo: '▓', wait: '░', gate: '·' };

/** Lines of equal width; none when nothing has begun. Waits that are cut short are named below. */
export function ganttLines(journal: Journal): string[] {
  const all = bars(journal);
  if (all.length === 0) return [];
  const scale = scaleFor(all, 0, width);
  const lines = all.map((bar) => {
    const start = Math.min(width - 1, Math.floor(scale.x(bar.startMs)));
    const length = Math.max(1, Math.min(width - start, Math.round(scale.x(bar.endMs) - scale.x(bar.startMs))));
    const drawn = `${' '.repeat(start)}${signs[bar.kind].repeat(length)}`.padEnd(width);
    return `${label(bar.label)} |${drawn}| ${formatDurationMs(bar.endMs - bar.startMs)}${bar.state === 'failed' ? ' ✖' : ''}`;
  });
  const cut = scale.segments.filter(({ broken }) => broken);
  const legend = '█ work  ▓ undo  ░ watching or keeping  · waiting for people';
  const note =
    cut.length > 0
      ? [`Waits are cut short: ${cut.map((segment) => formatDurationMs(segment.endMs - segment.startMs)).join(', ')}.`]
      : [];
  return [...lines, '', legend, ...note];
}

function label(text: string): string {
  // A run of backticks would end the fence around these lines.
  const flat = text.replaceAll(/[\s`]+/g, ' ').trim();
  return flat.length > labelWidth ? `${flat.slice(0, labelWidth - 1)}…` : flat.padEnd(labelWidth);
}
