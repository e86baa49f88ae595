// A PostgreSQL cluster's folder: made by initdb once, configured at each start, freed of what a crash left behind.
// Layout: `data` (the cluster), `password` (of the superuser `postgres`), `postgres.log`.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFile, chmod, chown, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { PostgresBinaries } from './binaries/postgres';
import { canReach, type ServerUser } from './server-user';

const run = promisify(execFile);

export interface Cluster {
  folder: string;
  dataFolder: string;
  logFile: string;
  /** Of the superuser `postgres`. */
  password: string;
}

/** What a local source or target needs; a test's own settings come on top. */
const settings: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  wal_level: 'logical',
  max_connections: '100',
  shared_buffers: '128MB',
  max_wal_size: '2GB',
  // A killed server loses nothing by this: what it wrote is in the system's page cache. Only a dead machine would lose it.
  fsync: 'off',
  // In the cluster's folder, which goes with the server; in /dev/shm a killed server that is not started again would leave a segment.
  dynamic_shared_memory_type: 'mmap',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_line_prefix: '%m [%p] %q%u@%d ',
};

/** Opens the cluster in `folder`, or makes one where there is none. Throws when it is of another major version or unreachable. */
export async function openCluster(folder: string, binaries: PostgresBinaries, user?: ServerUser): Promise<Cluster> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if (user) {
    await chown(folder, user.uid, user.gid);
    if (!(await canReach(folder, user))) {
      throw new Error(
        `${folder} is out of reach for user ${user.name}, who runs PostgreSQL for root. Choose one below /var/tmp.`,
      );
    }
  }
  const dataFolder = join(folder, 'data');
  const major = await readFile(join(dataFolder, 'PG_VERSION'), 'utf8').catch(() => undefined);
  if (major === undefined) await makeCluster(folder, dataFolder, binaries, user);
  else if (major.trim() !== String(Number.parseInt(binaries.version, 10))) {
    throw new Error(
      `${dataFolder} is of PostgreSQL ${major.trim()}, the server found is ${binaries.version}. Choose another folder.`,
    );
  }
  const password = (await readFile(join(folder, 'password'), 'utf8')).trim();
  return { folder, dataFolder, logFile: join(folder, 'postgres.log'), password };
}

/** Writes the settings for the coming start. They stand below `ALTER SYSTEM`, so a session may change them. */
export async function configure(cluster: Cluster, port: number, extra: Record<string, string> = {}): Promise<void> {
  const lines = Object.entries({ ...settings, port: String(port), ...extra }).map(
    ([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`,
  );
  await writeFile(join(cluster.dataFolder, 'cutover.conf'), lines.join(''), { mode: 0o644 });
}

/**
 * Removes a crashed server's postmaster.pid when its process id belongs to another program by now, which PostgreSQL
 * would take for itself. Throws when a server really runs on the cluster.
 */
export async function clearStalePid(cluster: Cluster): Promise<void> {
  const file = join(cluster.dataFolder, 'postmaster.pid');
  const pid = Number.parseInt(await readFile(file, 'utf8').catch(() => ''), 10);
  if (!Number.isInteger(pid)) return;
  const command = await run('ps', ['-o', 'args=', '-p', String(pid)]).then(
    ({ stdout }) => stdout,
    () => '',
  );
  if (command.includes(cluster.dataFolder)) {
    throw new Error(
      `A server runs on ${cluster.dataFolder} already (process ${pid}). Stop it or choose another folder.`,
    );
  }
  await rm(file, { force: true });
}

async function makeCluster(
  folder: string,
  dataFolder: string,
  binaries: PostgresBinaries,
  user?: ServerUser,
): Promise<void> {
  const passwordFile = join(folder, 'password');
  await writeFile(passwordFile, `${randomBytes(18).toString('base64url')}\n`, { mode: 0o600 });
  if (user) await chown(passwordFile, user.uid, user.gid);
  const unfinished = join(folder, 'data.new');
  const initdb = async (locale: string): Promise<void> => {
    await rm(unfinished, { recursive: true, force: true });
    const args = ['-D', unfinished, '-U', 'postgres', '--auth=scram-sha-256', `--pwfile=${passwordFile}`];
    await run(join(binaries.folder, 'initdb'), [...args, '--encoding=UTF8', `--locale=${locale}`, '--no-sync'], {
      uid: user?.uid,
      gid: user?.gid,
      cwd: folder,
      env: { PATH: process.env.PATH, HOME: folder, LC_ALL: 'C', LC_MESSAGES: 'C' },
    });
  };
  await initdb('C.UTF-8').catch(async (error: unknown) => {
    if (!String(error).includes('invalid locale name')) throw error;
    await initdb('C');
  });
  await appendFile(join(unfinished, 'postgresql.conf'), "\ninclude_if_exists = 'cutover.conf'\n");
  await chmod(unfinished, 0o700);
  await rename(unfinished, dataFolder);
}
