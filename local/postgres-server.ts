// A real PostgreSQL server on 127.0.0.1 for demo, tests and benchmarks: made, waited for, stopped, killed, restarted.
// It ends with this process, whatever ends it, and a folder that was not asked for is gone with it.
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { findPostgres } from './binaries/postgres';
import type { Say } from './binaries/search';
import { freePort } from './ports';
import { clearStalePid, configure, openCluster, type Cluster } from './postgres-cluster';
import { logTail, startProcess, type ServerProcess } from './processes';
import { serverUser, temporaryFolderFor, type ServerUser } from './server-user';

export interface PostgresOptions {
  major: 15 | 18;
  /** Kept and used again. Without it a temporary folder is made, and removed at the end. */
  folder?: string;
  /** A free one by default. */
  port?: number;
  /** Settings of postgresql.conf, on top of our own. */
  settings?: Record<string, string>;
  say?: Say;
}

export interface PostgresServer {
  readonly major: 15 | 18;
  readonly host: string;
  readonly port: number;
  readonly folder: string;
  /** Of the superuser `postgres`, and what `url` puts in for any other user: give test roles this password. */
  readonly password: string;
  /** Connection URL with password; database and user are `postgres` by default. */
  url(database?: string, user?: string): string;
  /** Makes an empty database and resolves to its URL. */
  createDatabase(name: string): Promise<string>;
  /** Fast shutdown; removes the folder if it was a temporary one. */
  stop(): Promise<void>;
  /** SIGKILL to the server and its sessions; the folder stays, `restart` brings it back. */
  kill(): void;
  /** Fast shutdown if it runs, then a start on the same folder and port; resolves when it serves again. */
  restart(): Promise<void>;
}

const host = '127.0.0.1';
const startDeadlineMs = 60_000;

/** Starts a server and resolves when it takes connections. Throws with the end of its log when it does not. */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const { major, say = () => undefined } = options;
  const user = await serverUser();
  const binaries = await findPostgres({ major, user, say });
  const temporary = options.folder === undefined;
  const folder = options.folder ?? (await mkdtemp(join(await temporaryFolderFor(user), `cutover-pg${major}-`)));
  const removeIfTemporary = async (): Promise<void> => {
    if (temporary) await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    const cluster = await openCluster(folder, binaries, user);
    const start = (port: number): Promise<ServerProcess> =>
      serve({
        cluster,
        port,
        settings: options.settings,
        command: join(binaries.folder, 'postgres'),
        user,
        temporary,
        major,
      });
    const first =
      options.port === undefined ? await onFreePort(start) : { port: options.port, server: await start(options.port) };
    const { port } = first;
    say(`PostgreSQL ${major}: serving on ${host}:${port}`);

    let server = first.server;
    const url = (database = 'postgres', role = 'postgres'): string => connectionUrl(cluster, port, database, role);
    return {
      major,
      host,
      port,
      folder,
      password: cluster.password,
      url,
      async createDatabase(name) {
        await withClient(url(), (client) => client.query(`create database ${client.escapeIdentifier(name)}`));
        return url(name);
      },
      async stop() {
        await server.stop();
        await removeIfTemporary();
      },
      kill() {
        server.kill();
      },
      async restart() {
        await server.stop();
        server = await start(port);
      },
    };
  } catch (error) {
    await removeIfTemporary();
    throw error;
  }
}

interface Serving {
  cluster: Cluster;
  port: number;
  settings?: Record<string, string>;
  command: string;
  user?: ServerUser;
  temporary: boolean;
  major: number;
}

async function serve({ cluster, port, settings, command, user, temporary, major }: Serving): Promise<ServerProcess> {
  await clearStalePid(cluster);
  await configure(cluster, port, settings);
  const name = `PostgreSQL ${major}`;
  const server = await startProcess({
    name,
    command,
    args: ['-D', cluster.dataFolder],
    cwd: cluster.dataFolder,
    environment: { PATH: process.env.PATH, HOME: cluster.folder, LC_MESSAGES: 'C' },
    user,
    logFile: cluster.logFile,
    // Fast shutdown; immediate when a session or a stalled replica holds it up.
    stops: [
      { signal: 'SIGINT', graceMs: 8_000 },
      { signal: 'SIGQUIT', graceMs: 6_000 },
    ],
    removeFolder: temporary ? cluster.folder : undefined,
  });
  try {
    await untilServing(server, connectionUrl(cluster, port, 'postgres', 'postgres'));
    return server;
  } catch (error) {
    await server.stop();
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      `${name} did not start on ${host}:${port}: ${reason}. End of its log:\n${await logTail(cluster.logFile)}`,
    );
  }
}

/** A port found free may be taken by the time the server binds it; then another is tried. */
async function onFreePort(
  start: (port: number) => Promise<ServerProcess>,
): Promise<{ port: number; server: ServerProcess }> {
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    try {
      return { port, server: await start(port) };
    } catch (error) {
      if (attempt === 3 || !String(error).includes('Address already in use')) throw error;
    }
  }
}

async function untilServing(server: ServerProcess, url: string): Promise<void> {
  const deadline = Date.now() + startDeadlineMs;
  let last = 'no answer';
  let ended: string | undefined;
  void server.ended.then((how) => (ended = how));
  while (Date.now() < deadline) {
    try {
      await withClient(url, (client) => client.query('select 1'));
      return;
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
    if (ended !== undefined) throw new Error(ended);
    await sleep(30);
  }
  throw new Error(`not ready after ${startDeadlineMs / 1_000} s (${last})`);
}

function connectionUrl(cluster: Cluster, port: number, database: string, user: string): string {
  const part = encodeURIComponent;
  return `postgresql://${part(user)}:${part(cluster.password)}@${host}:${port}/${part(database)}`;
}

async function withClient(url: string, work: (client: Client) => Promise<unknown>): Promise<void> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
