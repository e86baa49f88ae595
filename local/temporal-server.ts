// A real Temporal dev server with its Web UI on 127.0.0.1, its state in a database file that outlives a kill.
// It ends with this process, whatever ends it; a folder that was not asked for is gone with it.
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import type { Say } from './binaries/search';
import { findTemporalCli } from './binaries/temporal';
import { freePort, isPortFree } from './ports';
import { logTail, startProcess, type ServerProcess } from './processes';

export interface TemporalOptions {
  /** Holds `temporal.db` and `temporal.log`; kept and used again. Without it a temporary folder, removed at the end. */
  folder?: string;
  /** Of the gRPC front end; a free one by default. */
  port?: number;
  /** Of the Web UI; a free one by default. */
  uiPort?: number;
  /** Take 7233 and 8233, each unless it is taken, where no port is given. */
  preferDefaults?: boolean;
  /** No Web UI; `uiUrl` then leads nowhere. */
  headless?: boolean;
  say?: Say;
}

export interface TemporalServer {
  /** `127.0.0.1:7233`, as clients and workers take it. */
  readonly address: string;
  readonly port: number;
  readonly uiUrl: string;
  /** The CLI that was found: it is the server and the operator's command in one. */
  readonly cliPath: string;
  readonly folder: string;
  stop(): Promise<void>;
  /** SIGKILL; the database file stays, `restart` brings the server back. */
  kill(): void;
  /** Stops it if it runs and starts it on the same ports and database; resolves when it serves again. */
  restart(): Promise<void>;
}

/** Registered at start: what a migration shows about itself while no worker is up. */
export const searchAttributes = ['MigrationKind', 'MigrationPhase', 'MigrationGate'] as const;

const host = '127.0.0.1';
const startDeadlineMs = 60_000;

/** Starts a server and resolves when the namespace `default` and the search attributes are there. Throws with the end of its log. */
export async function startTemporal(options: TemporalOptions = {}): Promise<TemporalServer> {
  const { say = () => undefined } = options;
  const cliPath = await findTemporalCli({ say });
  const temporary = options.folder === undefined;
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'cutover-temporal-')));
  const removeIfTemporary = async (): Promise<void> => {
    if (temporary) await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    await mkdir(folder, { recursive: true });
    const start = (ports: Ports): Promise<ServerProcess> =>
      serve({ cliPath, folder, temporary, headless: options.headless, ...ports });
    const first = await onChosenPorts(options, start);
    const { port, uiPort } = first.ports;
    const address = `${host}:${port}`;
    const uiUrl = `http://${host}:${uiPort}`;
    say(`Temporal: serving on ${address}${options.headless ? '' : `, Web UI ${uiUrl}`}`);

    let server = first.server;
    return {
      address,
      port,
      uiUrl,
      cliPath,
      folder,
      async stop() {
        await server.stop();
        await removeIfTemporary();
      },
      kill() {
        server.kill();
      },
      async restart() {
        await server.stop();
        server = await start(first.ports);
      },
    };
  } catch (error) {
    await removeIfTemporary();
    throw error;
  }
}

interface Ports {
  port: number;
  uiPort: number;
}

/** A free port may be lost before the server binds it; ports that were asked for are never exchanged. */
async function onChosenPorts(
  options: TemporalOptions,
  start: (ports: Ports) => Promise<ServerProcess>,
): Promise<{ ports: Ports; server: ServerProcess }> {
  for (let attempt = 1; ; attempt += 1) {
    const prefer = options.preferDefaults === true && attempt === 1;
    const port = options.port ?? (await choosePort(prefer ? 7233 : undefined));
    const uiPort = options.uiPort ?? (await choosePort(prefer ? 8233 : undefined, [port]));
    try {
      return { ports: { port, uiPort }, server: await start({ port, uiPort }) };
    } catch (error) {
      const given = options.port !== undefined && options.uiPort !== undefined;
      if (given || attempt === 3 || !/address already in use/i.test(String(error))) throw error;
    }
  }
}

async function choosePort(preferred?: number, except: number[] = []): Promise<number> {
  if (preferred !== undefined && !except.includes(preferred) && (await isPortFree(preferred))) return preferred;
  return freePort(except);
}

interface Serving extends Ports {
  cliPath: string;
  folder: string;
  temporary: boolean;
  headless?: boolean;
}

async function serve({ cliPath, folder, temporary, headless, port, uiPort }: Serving): Promise<ServerProcess> {
  const logFile = join(folder, 'temporal.log');
  // Looked at first: another server on our port would answer in place of ours and be taken for it.
  for (const wanted of headless ? [port] : [port, uiPort]) {
    if (!(await isPortFree(wanted)))
      throw new Error(`Temporal did not start: ${host}:${wanted}: address already in use.`);
  }
  const server = await startProcess({
    name: 'Temporal',
    command: cliPath,
    args: [
      ...['server', 'start-dev', '--ip', host, '--port', String(port)],
      ...(headless ? ['--headless'] : ['--ui-port', String(uiPort)]),
      ...['--db-filename', join(folder, 'temporal.db'), '--log-level', 'warn'],
      ...searchAttributes.flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
    ],
    cwd: folder,
    // No TEMPORAL_…: those are an operator's settings for clients, and the CLI would read them here too.
    environment: { PATH: process.env.PATH, HOME: process.env.HOME },
    logFile,
    stops: [{ signal: 'SIGINT', graceMs: 8_000 }],
    removeFolder: temporary ? folder : undefined,
  });
  try {
    await untilServing(server, `${host}:${port}`);
    return server;
  } catch (error) {
    await server.stop();
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`Temporal did not start on ${host}:${port}: ${reason}. End of its log:\n${await logTail(logFile)}`);
  }
}

async function untilServing(server: ServerProcess, address: string): Promise<void> {
  const deadline = Date.now() + startDeadlineMs;
  let last = 'no answer';
  let ended: string | undefined;
  void server.ended.then((how) => (ended = how));
  while (Date.now() < deadline) {
    const missing = await whatIsMissing(address);
    if (ended !== undefined) throw new Error(ended);
    if (missing === undefined) return;
    last = missing;
    await sleep(50);
  }
  throw new Error(`not ready after ${startDeadlineMs / 1_000} s (${last})`);
}

async function whatIsMissing(address: string): Promise<string | undefined> {
  let connection: Connection | undefined;
  try {
    connection = await Connection.connect({ address, connectTimeout: 2_000 });
    await connection.workflowService.describeNamespace({ namespace: 'default' });
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace: 'default' });
    const missing = searchAttributes.filter((name) => customAttributes[name] === undefined);
    return missing.length === 0 ? undefined : `search attributes ${missing.join(', ')} are not there yet`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    await connection?.close();
  }
}
