// pg_dump and pg_restore as child processes: found, asked for their version, run without a shell, ended on cancellation.
// Connection settings, passwords among them, go over by environment, never by argument.
import { spawn, type ChildProcess } from 'node:child_process';

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

/** Runs a tool to its end; a signal ends it with SIGTERM, then SIGKILL after 5 s. Exit codes are the caller's to judge. */
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
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => {
      stderr = (stderr + chunk.toString()).slice(-65_536);
      for (const line of chunk.toString().split('\n')) if (line) options.onStderr?.(line);
    });
    const stop = (): void => {
      endGroup(child, 'SIGTERM');
      setTimeout(() => endGroup(child, 'SIGKILL'), 5_000).unref();
    };
    options.signal?.addEventListener('abort', stop, { once: true });
    child.once('error', reject);
    child.once('close', (exitCode) => {
      options.signal?.removeEventListener('abort', stop);
      if (options.signal?.aborted) reject(options.signal.reason as Error);
      else resolve({ stdout: Buffer.concat(stdout).toString(), stderr, exitCode: exitCode ?? 1 });
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
