// What every server of the local stack shares: a folder that is kept or temporary, a port that may be lost before it is
// bound, the wait until it really serves, and a handle to stop, kill and restart it.
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, isPortFree } from './ports';
import { logTail, startProcess, type ServerCommand, type ServerProcess } from './processes';

export const host = '127.0.0.1';
const startDeadlineMs = 60_000;

export interface LocalServer {
  readonly folder: string;
  running(): boolean;
  /** Ends it and waits; removes the folder if it was a temporary one. */
  stop(): Promise<void>;
  /** SIGKILL, as a power cut would end it; the folder stays, `restart` brings the server back. */
  kill(): void;
  /** Stops it if it runs and starts it on the same folder and ports; resolves when it serves again. */
  restart(): Promise<void>;
}

export interface ServerFolder {
  path: string;
  /** To be removed at the end. */
  temporary: boolean;
}

/** Opens the folder asked for, or makes a temporary one in `parent`; when `start` throws, a temporary one is gone again. */
export async function inServerFolder<T>(
  asked: string | undefined,
  prefix: string,
  start: (folder: ServerFolder) => Promise<T>,
  parent = tmpdir(),
): Promise<T> {
  const folder = { path: asked ?? (await mkdtemp(join(parent, prefix))), temporary: asked === undefined };
  try {
    await mkdir(folder.path, { recursive: true, mode: 0o700 });
    return await start(folder);
  } catch (error) {
    await removeIfTemporary(folder);
    throw error;
  }
}

/** The part of a handle that is the same for all; `start` starts it again on the same folder and ports. */
export function controls(
  folder: ServerFolder,
  first: ServerProcess,
  start: () => Promise<ServerProcess>,
): Pick<LocalServer, 'running' | 'stop' | 'kill' | 'restart'> {
  let server = first;
  return {
    running: () => server.running(),
    async stop() {
      await server.stop();
      await removeIfTemporary(folder);
    },
    kill() {
      server.kill();
    },
    async restart() {
      await server.stop();
      server = await start();
    },
  };
}

/** Starts on the port given, otherwise on a free one: another when that was lost before the server bound it. */
export async function onPort<T>(
  given: number | undefined,
  start: (port: number) => Promise<T>,
): Promise<{ port: number; first: T }> {
  return unlessTaken(given === undefined, async () => {
    const port = given ?? (await freePort());
    return { port, first: await start(port) };
  });
}

/** Attempts once, or three times as long as the failure is a taken port and others `mayBeChosen`. */
export async function unlessTaken<T>(mayBeChosen: boolean, attempt: (n: number) => Promise<T>): Promise<T> {
  for (let n = 1; ; n += 1) {
    try {
      return await attempt(n);
    } catch (error) {
      if (!mayBeChosen || n === 3 || !/address already in use/i.test(String(error))) throw error;
    }
  }
}

export interface Serving extends Omit<ServerCommand, 'removeFolder'> {
  folder: ServerFolder;
  port: number;
  /** Ports that have to be free; `port` by default. None for a server that notices a taken port before anybody can be misled. */
  ports?: number[];
  /** Resolves when it serves, throws what is missing; called again and again. */
  check: () => Promise<void>;
}

/** Starts a server and resolves when it serves. Throws with the end of its log when it does not within a minute. */
export async function serve({ folder, port, ports = [port], check, ...command }: Serving): Promise<ServerProcess> {
  const { name, logFile } = command;
  // Looked at first: another server on our port would answer in place of ours and be taken for it.
  for (const wanted of ports) {
    if (!(await isPortFree(wanted)))
      throw new Error(`${name} did not start: ${host}:${wanted}: address already in use.`);
  }
  const server = await startProcess({ ...command, removeFolder: folder.temporary ? folder.path : undefined });
  try {
    await untilServing(server, check);
    return server;
  } catch (error) {
    await server.stop();
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`${name} did not start on ${host}:${port}: ${reason}. End of its log:\n${await logTail(logFile)}`);
  }
}

async function untilServing(server: ServerProcess, check: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + startDeadlineMs;
  let missing: string | undefined = 'no answer';
  let ended: string | undefined;
  void server.ended.then((how) => (ended = how));
  // Soon for a server that is quick to start; seldom for one that takes seconds, and takes them from the machine that asks.
  let pauseMs = 30;
  while (Date.now() < deadline) {
    missing = await check().then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
    if (ended !== undefined) throw new Error(ended);
    if (missing === undefined) return;
    await sleep(pauseMs);
    pauseMs = Math.min(250, pauseMs * 1.2);
  }
  throw new Error(`not ready after ${startDeadlineMs / 1_000} s (${missing})`);
}

async function removeIfTemporary({ path, temporary }: ServerFolder): Promise<void> {
  if (temporary) await rm(path, { recursive: true, force: true, maxRetries: 3 });
}
