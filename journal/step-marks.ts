// One sign for each state of a step, the same in the Web UI's details and in the terminal.
import type { StepState } from './types';

export const stepMarks: Record<StepState, string> = {
  running: '▶',
  done: '✔',
  failed: '✖',
  skipped: '↷',
  undoing: '◀',
  undone: '↩',
  'undo-failed': '✖',
};
