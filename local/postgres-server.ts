// A real PostgreSQL server on 127.0.0.1 for demo, tests and benchmarks: made, waited for, stopped, killed, restarted.
// It ends with this process, whatever ends it, and a folder that was not asked for is gone with it.
import { join } from 'node:path';
import { Client } from 'pg';
import { findPostgres } from './binaries/postgres';
import type { Say } from './binaries/search';
import { controls, host, inServerFolder, onPort, serve, type LocalServer, type ServerFolder } from './local-server';
import { clearStalePid, configure, openCluster, type Cluster } from './postgres-cluster';
import type { ServerProcess } from './processes';
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

export interface PostgresServer extends LocalServer {
  readonly major: 15 | 18;
  readonly host: string;
  readonly port: number;
  /** Of the superuser `postgres`, and what `url` puts in for any other user: give test roles this password. */
  readonly password: string;
  /** Connection URL with password; database and user are `postgres` by default. */
  url(database?: string, user?: string): string;
  /** Makes an empty database and resolves to its URL. */
  createDatabase(name: string): Promise<string>;
}

/** Starts a server and resolves when it takes connections. Throws with the end of its log when it does not. */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const { major, say = () => undefined } = options;
  const user = await serverUser();
  const binaries = await findPostgres({ major, user, say });
  const begin = async (folder: ServerFolder): Promise<PostgresServer> => {
    const cluster = await openCluster(folder.path, binaries, user);
    const command = join(binaries.folder, 'postgres');
    const start = (port: number): Promise<ServerProcess> =>
      servePostgres({ cluster, port, settings: options.settings, command, user, folder, major });
    const { port, first } = await onPort(options.port, start);
    say(`PostgreSQL ${major}: serving on ${host}:${port}`);
    const url = (database = 'postgres', role = 'postgres'): string => connectionUrl(cluster, port, database, role);
    return {
      major,
      host,
      port,
      folder: folder.path,
      password: cluster.password,
      url,
      async createDatabase(name) {
        await withClient(url(), (client) => client.query(`create database ${client.escapeIdentifier(name)}`));
        return url(name);
      },
      ...controls(folder, first, () => start(port)),
    };
  };
  const parent = options.folder === undefined ? await temporaryFolderFor(user) : undefined;
  return inServerFolder(options.folder, `cutover-pg${major}-`, begin, parent);
}

interface PostgresRun {
  cluster: Cluster;
  port: number;
  settings?: Record<string, string>;
  command: string;
  user?: ServerUser;
  folder: ServerFolder;
  major: number;
}

async function servePostgres(run: PostgresRun): Promise<ServerProcess> {
  const { cluster, port, settings, command, user, folder, major } = run;
  await clearStalePid(cluster);
  await configure(cluster, port, settings);
  return serve({
    name: `PostgreSQL ${major}`,
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
    folder,
    port,
    check: () => withClient(connectionUrl(cluster, port, 'postgres', 'postgres'), (client) => client.query('select 1')),
  });
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
