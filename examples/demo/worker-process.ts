// The worker of the demo as a process of its own, so that it can be killed like one.
import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';

export interface WorkerProcess {
  pid: number;
  /** SIGKILL: nothing is said goodbye to. */
  kill(): void;
  /** SIGTERM, and waits until it has ended. */
  stop(): Promise<void>;
}

const builtWorker = join(__dirname, '..', '..', 'worker', 'main.js');

/** Starts `worker/main` with the given environment and waits until it serves. */
export async function startWorkerProcess(
  environment: NodeJS.ProcessEnv,
  logPath: string,
  script = builtWorker,
): Promise<WorkerProcess> {
  const child = spawn(process.execPath, [script], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const log = createWriteStream(logPath, { flags: 'a' });
  child.stderr.pipe(log);
  const endWithUs = (): void => void child.kill('SIGKILL');
  process.once('exit', endWithUs);
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  void ended.then(() => process.removeListener('exit', endWithUs));
  await untilServing(child, logPath);
  return {
    pid: child.pid ?? 0,
    kill: () => void child.kill('SIGKILL'),
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

function untilServing(child: ChildProcess, logPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      if (said.length < 65_536) said += chunk.toString();
      if (said.includes('worker serves task queue')) resolve();
    });
    child.once('close', (code) =>
      reject(
        new Error(`the worker ended with code ${code} before it served; its log is ${logPath}: ${said.slice(-2_000)}`),
      ),
    );
  });
}
