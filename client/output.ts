// How commands print: JSON for programs, words and colours for people. NO_COLOR and FORCE_COLOR are honoured.
import pc from 'picocolors';
import type { StepRecord } from '../journal/types';
import type { Terminal } from './context';

export type Colors = ReturnType<typeof pc.createColors>;

/** Colours where a terminal shows them, and nowhere else unless asked for. */
export function colorsOf({ environment, isTTY }: Terminal): Colors {
  const { NO_COLOR, FORCE_COLOR, TERM } = environment;
  if (NO_COLOR) return pc.createColors(false);
  return pc.createColors(Boolean(FORCE_COLOR) || (isTTY && TERM !== 'dumb'));
}

export function printJson(terminal: Terminal, value: unknown): void {
  terminal.out(`${JSON.stringify(value, undefined, 2)}\n`);
}

export function printLines(terminal: Terminal, lines: string[]): void {
  if (lines.length > 0) terminal.out(`${lines.join('\n')}\n`);
}

/** Rows in columns of equal width; the last is as wide as it is. Widths are of the text without colours. */
export function alignedRows(
  rows: string[][],
  paint: (cell: string, column: number, row: number) => string = (cell) => cell,
): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows.map((row, index) =>
    row
      .map(
        (cell, column) =>
          `${paint(cell, column, index)}${column === row.length - 1 ? '' : ' '.repeat((widths[column] ?? 0) - cell.length)}`,
      )
      .join('  ')
      .trimEnd(),
  );
}

/** The sign of a step's state, coloured. */
export function mark(state: StepRecord['state'], colors: Colors): string {
  switch (state) {
    case 'running':
      return colors.cyan('▶');
    case 'done':
      return colors.green('✔');
    case 'failed':
      return colors.red('✖');
    case 'skipped':
      return colors.yellow('↷');
    case 'undoing':
      return colors.cyan('◀');
    case 'undone':
      return colors.yellow('↩');
    case 'undo-failed':
      return colors.red('✖');
  }
}

/** "████████░░░░ 63 %": `share` from 0 to 1. */
export function bar(share: number, width: number): string {
  const within = Math.min(1, Math.max(0, share));
  const full = Math.round(within * width);
  return `${'█'.repeat(full)}${'░'.repeat(width - full)} ${Math.floor(within * 100)} %`;
}

/** What other people or a database wrote, safe for a terminal: no control signs, one line. */
export function plainText(text: string): string {
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
}
