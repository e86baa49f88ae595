// pg_dump and pg_restore as child processes: found, asked for their version, run without a shell, ended on cancellation.
// Connection settings, passwords among them, go over by environment, never by argument.
import { spawn, type ChildProcess } from 'node:child_process';
import { failure } from '../errors';

export interface ClientTools {
  /** Absolute paths of one matching set; undefined where the tool was not found. */
  pgDump?: string;
  pgRestore?: string;
  /** Major version of that set. */
  major?: number;
}

export interface ToolRun {
  /** Standard output, at most 64 MiB. */
  stdout: string;
  /** The last 64 KiB of standard error. */
  stderr: string;
  exitCode: number;
}

const stdoutLimitBytes = 64 * 1024 * 1024;
const patienceMs = 5_000;

/**
 * Runs a tool to its end. A signal ends it and what it has started: SIGTERM, then SIGKILL after 5 s. Exit codes are the caller's to judge.
 * Settles some 5 s after the tool's exit at the latest, whatever it has left behind that keeps its output open.
 * @throws PreconditionFailed when it prints more than 64 MiB; the signal's reason; the system's error when it cannot be started
 */
export function runTool(
  path: string,
  args: string[],
  options: { environment?: Record<string, string>; signal?: AbortSignal; onStderr?: (line: string) => void } = {},
): Promise<ToolRun> {
  return new Promise((resolve, reject) => {
    options.signal?.throwIfAborted();
    const child = spawn(path, args, {
      env: {
        PATH: process.env.PATH,
        LD_LIBRARY_PATH: process.env.LD_LIBRARY_PATH,
        HOME: process.env.HOME,
        LC_ALL: 'C',
        ...options.environment,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own: what a wrapper script has started is ended with it.
      detached: true,
    });
    const stdout: Buffer[] = [];
    let stderr = '';
    let stdoutBytes = 0;
    let flood: Error | undefined;
    child.stdout.on('data', (chunk: Buffer) => {
      if (flood) return;
      stdoutBytes += chunk.length;
      if (stdoutBytes <= stdoutLimitBytes) return void stdout.push(chunk);
      stdout.length = 0;
      flood = failure(
        'PreconditionFailed',
        `${path} printed more than 64 MiB and was ended. Find out what it prints; nothing that is run here should say so much.`,
      );
      stop();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr = (stderr + chunk.toString()).slice(-65_536);
      for (const line of chunk.toString().split('\n')) if (line) options.onStderr?.(line);
    });
    const stop = (): void => {
      endGroup(child, 'SIGTERM');
      setTimeout(() => endGroup(child, 'SIGKILL'), patienceMs).unref();
    };
    options.signal?.addEventListener('abort', stop, { once: true });
    let closing: NodeJS.Timeout | undefined;
    const settle = (exitCode: number | null): void => {
      clearTimeout(closing);
      options.signal?.removeEventListener('abort', stop);
      child.stdout.destroy();
      child.stderr.destroy();
      if (options.signal?.aborted) reject(options.signal.reason as Error);
      else if (flood) reject(flood);
      else resolve({ stdout: Buffer.concat(stdout).toString(), stderr, exitCode: exitCode ?? 1 });
    };
    child.once('error', (error) => {
      options.signal?.removeEventListener('abort', stop);
      reject(error);
    });
    child.once('close', settle);
    child.once('exit', (exitCode) => {
      // A little later than SIGKILL, which closes the pipes of nearly everything.
      closing = setTimeout(() => settle(exitCode), patienceMs + 500);
    });
  });
}

function endGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // It has ended already.
  }
}
