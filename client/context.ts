// What every command is given: where it writes, what it reads from, and how it says that it went wrong.

/** Standard output and error of a command, and the environment; tests give their own. */
export interface Terminal {
  out(text: string): void;
  error(text: string): void;
  environment: NodeJS.ProcessEnv;
  /** Whether standard output is a terminal that can be drawn over. */
  isTTY: boolean;
  columns(): number;
  rows(): number;
  /** Aborted by Ctrl-C. */
  interrupted: AbortSignal;
}

/** 0 fine · 1 the migration did not succeed, or the server cannot be reached · 2 the call was wrong. */
export type ExitCode = 0 | 1 | 2;

/** Ends a command with a message for people on standard error. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed';
  constructor(
    message: string,
    readonly exitCode: ExitCode,
  ) {
    super(message);
  }
}

/** The call was wrong: exit code 2. */
export function wrongCall(message: string): CommandFailed {
  return new CommandFailed(message, 2);
}

export function processTerminal(): Terminal {
  let interrupted: AbortController | undefined;
  return {
    out: (text) => void process.stdout.write(text),
    error: (text) => void process.stderr.write(text),
    environment: process.env,
    isTTY: process.stdout.isTTY,
    columns: () => process.stdout.columns || 80,
    rows: () => process.stdout.rows || 24,
    /** Only a command that asks for it takes Ctrl-C upon itself; a second one ends the process as usual. */
    get interrupted() {
      if (!interrupted) {
        const controller = new AbortController();
        for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => controller.abort());
        interrupted = controller;
      }
      return interrupted.signal;
    },
  };
}
