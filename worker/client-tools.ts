// Finds pg_dump and pg_restore on this machine: one set of equal version, the newest there is, since pg_dump refuses a
// server newer than itself. Nothing is installed or fetched here.
import { execFile } from 'node:child_process';
import { readdir, realpath } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import type { ClientTools } from '../activities/postgres/client-tools';

const run = promisify(execFile);

/**
 * The set in the folder that `CUTOVER_POSTGRES_BIN` names if there is one, otherwise the newest found in PATH, in the
 * usual folders and in our cache. An empty object when there is none; never throws. `tried` takes a line for each place without a set.
 */
export async function locateClientTools(
  environment: NodeJS.ProcessEnv,
  tried: (line: string) => void = () => undefined,
): Promise<ClientTools> {
  const named = environment.CUTOVER_POSTGRES_BIN;
  const chosen = named ? await toolsIn(named, tried) : undefined;
  if (chosen) return chosen.tools;
  let newest: FoundTools | undefined;
  for (const folder of await usualFolders(environment)) {
    const found = await toolsIn(folder, tried);
    if (found && (!newest || isNewer(found.version, newest.version))) newest = found;
  }
  return newest?.tools ?? {};
}

/** The folder for what this package fetches or builds: `${XDG_CACHE_HOME:-~/.cache}/cutover`. */
export function cacheFolder(environment: NodeJS.ProcessEnv): string {
  return join(environment.XDG_CACHE_HOME || join(environment.HOME || homedir(), '.cache'), 'cutover');
}

/** Where fetched client tools are kept: one folder for each major version, each with a `bin`. */
export function clientToolsCache(environment: NodeJS.ProcessEnv): string {
  return join(cacheFolder(environment), 'postgresql-client');
}

interface FoundTools {
  tools: ClientTools;
  /** Major and minor. */
  version: number[];
}

async function usualFolders(environment: NodeJS.ProcessEnv): Promise<string[]> {
  return [
    ...new Set([
      ...(environment.PATH ?? '').split(delimiter).filter(Boolean),
      ...(await versionFolders('/usr/lib/postgresql')),
      '/usr/local/bin',
      '/opt/homebrew/opt/libpq/bin',
      ...(await versionFolders(clientToolsCache(environment))),
    ]),
  ];
}

async function versionFolders(parent: string): Promise<string[]> {
  const names = await readdir(parent).catch(() => []);
  const majors = names.filter((name) => /^\d+$/.test(name)).sort((a, b) => Number(b) - Number(a));
  return majors.map((major) => join(parent, major, 'bin'));
}

async function toolsIn(folder: string, tried: (line: string) => void): Promise<FoundTools | undefined> {
  const pgDump = join(folder, 'pg_dump');
  const pgRestore = join(folder, 'pg_restore');
  // Debian's wrapper in /usr/bin chooses a version by its own rules at each call; the real ones are in /usr/lib/postgresql.
  if ((await realpath(pgDump).catch(() => '')).endsWith('pg_wrapper')) {
    tried(`${folder}: Debian's pg_wrapper, which stands for the versions in /usr/lib/postgresql`);
    return undefined;
  }
  const [dump, restore] = await Promise.all([versionOf(pgDump), versionOf(pgRestore)]);
  if (!dump.version || !restore.version) {
    tried(`${folder}: ${dump.version ? `pg_restore ${restore.why}` : `pg_dump ${dump.why}`}`);
    return undefined;
  }
  if (dump.version.join('.') !== restore.version.join('.')) {
    tried(`${folder}: pg_dump ${dump.version.join('.')} beside pg_restore ${restore.version.join('.')}`);
    return undefined;
  }
  return { tools: { pgDump, pgRestore, major: dump.version[0] }, version: dump.version };
}

async function versionOf(file: string): Promise<{ version?: number[]; why: string }> {
  try {
    const { stdout } = await run(file, ['--version'], { timeout: 10_000, env: { ...process.env, LC_ALL: 'C' } });
    const numbers = /\(PostgreSQL\) (\d+)(?:\.(\d+))?/.exec(stdout);
    if (!numbers) return { why: `answers "${stdout.trim().slice(0, 80)}"` };
    return { version: [Number(numbers[1]), Number(numbers[2] ?? 0)], why: '' };
  } catch (error) {
    if (typeof error !== 'object' || error === null) return { why: String(error) };
    if ('code' in error && error.code === 'ENOENT') return { why: 'is not there' };
    if ('stderr' in error && typeof error.stderr === 'string' && error.stderr) return { why: error.stderr.trim() };
    return { why: error instanceof Error ? error.message : 'could not be run' };
  }
}

function isNewer(version: number[], other: number[]): boolean {
  const [major = 0, minor = 0] = version;
  const [otherMajor = 0, otherMinor = 0] = other;
  return major > otherMajor || (major === otherMajor && minor > otherMinor);
}
