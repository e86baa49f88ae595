// Server processes that never outlive this one. Each runs under a small supervisor that stops it when we stop it, when we
// exit, and when we are killed; so nobody has to install signal handlers. Running servers do not keep this process alive.
import { fork, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface ServerCommand {
  /** For messages: `PostgreSQL 15`. */
  name: string;
  command: string;
  args: string[];
  cwd: string;
  environment: Record<string, string | undefined>;
  /** The user to run it as; needs root. */
  user?: { uid: number; gid: number };
  /** File that takes standard output and standard error, appended to. */
  logFile: string;
  /** Signals that end it, each given its time to work; SIGKILL comes after the last. */
  stops: { signal: NodeJS.Signals; graceMs: number }[];
  /** Folder to remove when this process dies without having stopped the server. */
  removeFolder?: string;
}

export interface ServerProcess {
  /** The server's own process id, not the supervisor's. */
  pid: number;
  running(): boolean;
  /** Resolves when the server has ended, with a sentence that says how. */
  ended: Promise<string>;
  /** Ends it by its stop signals and waits. Does nothing when it has ended. */
  stop(): Promise<void>;
  /** SIGKILL to the server and its children, as a power cut would end them. */
  kill(): void;
}

/** Starts a server under its supervisor; resolves as soon as the process exists, not when it serves. Throws when it cannot be run. */
export async function startProcess(command: ServerCommand): Promise<ServerProcess> {
  const log = await open(command.logFile, 'a');
  try {
    const supervisor = fork(supervisorFile(), [], {
      detached: true,
      execArgv: [],
      env: withoutNodeSettings(process.env),
      stdio: ['ignore', log.fd, log.fd, 'ipc'],
    });
    return await supervised(supervisor, command);
  } finally {
    await log.close();
  }
}

/** The last lines of a log, for an error message; empty when there is none. */
export async function logTail(file: string, lines = 12): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.trimEnd().split('\n').slice(-lines).join('\n');
}

function supervised(
  supervisor: ChildProcess,
  { name, user, environment, ...command }: ServerCommand,
): Promise<ServerProcess> {
  let running = true;
  let pid = 0;
  let markEnded: (how: string) => void = () => undefined;
  const ended = new Promise<string>((resolve) => (markEnded = resolve));
  const end = (how: string): void => {
    running = false;
    markEnded(how);
  };
  const attach = (attached: boolean): void => {
    if (attached) supervisor.ref();
    else supervisor.unref();
    if (attached) supervisor.channel?.ref();
    else supervisor.channel?.unref();
  };
  return new Promise((resolve, reject) => {
    supervisor.on('message', (message: unknown) => {
      const report = parseReport(message);
      if (report.failed !== undefined) {
        end(`${name} could not be run: ${report.failed}`);
        reject(new Error(`${name} could not be run: ${command.command}: ${report.failed}.`));
      } else if (report.ended !== undefined) {
        end(`${name} ended ${report.ended}`);
      } else if (report.started !== undefined) {
        pid = report.started;
        attach(false);
        resolve({
          pid,
          ended,
          running: () => running,
          async stop() {
            attach(true);
            if (running && supervisor.connected) supervisor.send('stop', () => undefined);
            await ended;
          },
          kill() {
            if (running) killWithChildren(pid);
          },
        });
      }
    });
    supervisor.once('error', (error) => {
      end(`${name}'s supervisor failed: ${error.message}`);
      reject(error);
    });
    supervisor.once('exit', (code, signal) => {
      if (running && pid !== 0) killWithChildren(pid);
      end(`${name}'s supervisor ended by ${signal ?? `exit code ${code}`}`);
      reject(new Error(`${name}'s supervisor ended before the server was started.`));
    });
    const run = { ...command, environment: withoutNodeSettings(environment), uid: user?.uid, gid: user?.gid };
    supervisor.send({ run }, (error) => {
      if (error) reject(error);
    });
  });
}

function parseReport(message: unknown): { started?: number; failed?: string; ended?: string } {
  if (typeof message !== 'object' || message === null) return {};
  if ('started' in message && typeof message.started === 'number') return { started: message.started };
  if ('failed' in message) return { failed: String(message.failed) };
  if ('ended' in message && typeof message.ended === 'object' && message.ended !== null) {
    const { ended } = message;
    if ('signal' in ended && typeof ended.signal === 'string') return { ended: `by ${ended.signal}` };
    return { ended: `with exit code ${'code' in ended ? String(ended.code) : 'unknown'}` };
  }
  return {};
}

/** Stopped first, so that it cannot make a new child between our look at its children and the end. */
function killWithChildren(pid: number): void {
  try {
    process.kill(pid, 'SIGSTOP');
    for (const child of childrenOf(pid)) signalQuietly(child);
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}

function signalQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}

/** Known on Linux only; elsewhere a server's children end by themselves when they notice that it is gone. */
function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** Options meant for our own Node (a debugger's port, loaders) would break or confuse another one. */
function withoutNodeSettings(environment: Record<string, string | undefined>): Record<string, string | undefined> {
  return { ...environment, NODE_OPTIONS: undefined, NODE_CHANNEL_FD: undefined };
}

/** Beside this file in the sources; compiled, this file is in dist/local and the supervisor still in local. */
function supervisorFile(): string {
  const candidates = [join(__dirname, 'supervisor.cjs'), join(__dirname, '..', '..', 'local', 'supervisor.cjs')];
  const found = candidates.find((file) => existsSync(file));
  if (!found)
    throw new Error(`supervisor.cjs not found: looked for ${candidates.join(' and ')}. Run from a whole checkout.`);
  return found;
}
