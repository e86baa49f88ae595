// A real Temporal dev server with its Web UI on 127.0.0.1, its state in a database file that outlives a kill.
// It ends with this process, whatever ends it; a folder that was not asked for is gone with it.
import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import type { Say } from './binaries/search';
import { findTemporalCli } from './binaries/temporal';
import {
  controls,
  host,
  inServerFolder,
  serve,
  unlessTaken,
  type LocalServer,
  type ServerFolder,
} from './local-server';
import { freePort, isPortFree } from './ports';
import type { ServerProcess } from './processes';

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

export interface TemporalServer extends LocalServer {
  /** `127.0.0.1:7233`, as clients and workers take it. */
  readonly address: string;
  readonly port: number;
  readonly uiUrl: string;
  /** The CLI that was found: it is the server and the operator's command in one. */
  readonly cliPath: string;
}

/** Registered at start: what a migration shows about itself while no worker is up. */
export const searchAttributes = ['MigrationKind', 'MigrationPhase', 'MigrationGate'] as const;

/** Starts a server and resolves when the namespace `default` and the search attributes are there. Throws with the end of its log. */
export async function startTemporal(options: TemporalOptions = {}): Promise<TemporalServer> {
  const { say = () => undefined, headless } = options;
  const cliPath = await findTemporalCli({ say });
  return inServerFolder(options.folder, 'cutover-temporal-', async (folder) => {
    const start = (ports: Ports): Promise<ServerProcess> => serveTemporal({ cliPath, folder, headless, ...ports });
    const { ports, first } = await onChosenPorts(options, start);
    const address = `${host}:${ports.port}`;
    const uiUrl = `http://${host}:${ports.uiPort}`;
    say(`Temporal: serving on ${address}${headless ? '' : `, Web UI ${uiUrl}`}`);
    return {
      address,
      port: ports.port,
      uiUrl,
      cliPath,
      folder: folder.path,
      ...controls(folder, first, () => start(ports)),
    };
  });
}

interface Ports {
  port: number;
  uiPort: number;
}

/** Ports that were asked for are never exchanged. */
async function onChosenPorts(
  options: TemporalOptions,
  start: (ports: Ports) => Promise<ServerProcess>,
): Promise<{ ports: Ports; first: ServerProcess }> {
  const given = options.port !== undefined && options.uiPort !== undefined;
  return unlessTaken(!given, async (attempt) => {
    const prefer = options.preferDefaults === true && attempt === 1;
    const port = options.port ?? (await choosePort(prefer ? 7233 : undefined));
    const uiPort = options.uiPort ?? (await choosePort(prefer ? 8233 : undefined, [port]));
    return { ports: { port, uiPort }, first: await start({ port, uiPort }) };
  });
}

async function choosePort(preferred?: number, except: number[] = []): Promise<number> {
  if (preferred !== undefined && !except.includes(preferred) && (await isPortFree(preferred))) return preferred;
  return freePort(except);
}

interface TemporalRun extends Ports {
  cliPath: string;
  folder: ServerFolder;
  headless?: boolean;
}

function serveTemporal({ cliPath, folder, headless, port, uiPort }: TemporalRun): Promise<ServerProcess> {
  return serve({
    name: 'Temporal',
    command: cliPath,
    args: [
      ...['server', 'start-dev', '--ip', host, '--port', String(port)],
      ...(headless ? ['--headless'] : ['--ui-port', String(uiPort)]),
      ...['--db-filename', join(folder.path, 'temporal.db'), '--log-level', 'warn'],
      ...searchAttributes.flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
    ],
    cwd: folder.path,
    // No TEMPORAL_…: those are an operator's settings for clients, and the CLI would read them here too.
    environment: { PATH: process.env.PATH, HOME: process.env.HOME },
    logFile: join(folder.path, 'temporal.log'),
    stops: [{ signal: 'SIGINT', graceMs: 8_000 }],
    folder,
    port,
    ports: headless ? [port] : [port, uiPort],
    check: () => isServing(`${host}:${port}`),
  });
}

async function isServing(address: string): Promise<void> {
  let connection: Connection | undefined;
  try {
    connection = await Connection.connect({ address, connectTimeout: 2_000 });
    await connection.workflowService.describeNamespace({ namespace: 'default' });
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace: 'default' });
    const missing = searchAttributes.filter((name) => customAttributes[name] === undefined);
    if (missing.length > 0) throw new Error(`search attributes ${missing.join(', ')} are not there yet`);
  } finally {
    await connection?.close();
  }
}
