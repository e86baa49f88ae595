// A job that ends by itself (a build, a download), run as a server would be run, so that it ends with us whatever ends us.
// It works in a temporary folder of its own that is gone afterwards.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { logTail, startProcess, type ServerProcess } from '../processes';

export interface Job {
  /** For messages: `go install`. */
  name: string;
  command: string;
  args: string[];
  environment: NodeJS.ProcessEnv;
  /** It runs here and its log is written here. */
  work: string;
  /** Looks on while it runs; a reason ends it. */
  watch: (process: ServerProcess) => Promise<string | undefined>;
}

/** Undefined when it ended well, otherwise why not, with the end of what it printed. Never throws. */
export async function runToEnd({ name, command, args, environment, work, watch }: Job): Promise<string | undefined> {
  const logFile = join(work, 'log');
  try {
    const stops: { signal: NodeJS.Signals; graceMs: number }[] = [{ signal: 'SIGINT', graceMs: 3_000 }];
    const process = await startProcess({ name, command, args, cwd: work, environment, logFile, stops });
    const why = await watch(process);
    await process.stop();
    if (why) return why;
    const how = await process.ended;
    return how.endsWith('exit code 0') ? undefined : `${how}: ${await logTail(logFile, 4)}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Does `work` in a temporary folder and removes it. */
export async function inWorkFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'cutover-job-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}
