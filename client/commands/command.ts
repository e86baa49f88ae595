// What every command file exports, and how an action's exit code gets out of commander.
import type { Command } from 'commander';
import type { ExitCode, Terminal } from '../context';

export interface Context {
  terminal: Terminal;
  /** Set by the action that ran. */
  exitCode: ExitCode;
}

/** Adds one command, or a small family, to the program. */
export type AddCommand = (program: Command, context: Context) => void;

/** Wraps an action so that its exit code is kept. */
export function action<Arguments extends unknown[]>(
  context: Context,
  run: (...given: Arguments) => Promise<ExitCode> | ExitCode,
): (...given: Arguments) => Promise<void> {
  return async (...given) => {
    context.exitCode = await run(...given);
  };
}

/** Examples under the help text, one command a line. */
export function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ cutover ${line}`).join('\n')}\n`;
}
