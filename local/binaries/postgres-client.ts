// pg_dump and pg_restore for the local stack: those of this machine, otherwise (Debian and its kin) the distribution's
// own packages, unpacked into our cache without installing anything, which needs no root.
import { execFile } from 'node:child_process';
import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ClientTools } from '../../activities/postgres/client-tools';
import { clientToolsCache, locateClientTools } from '../../worker/client-tools';
import { fillOnce } from './cache';
import { askVersion, Search, type Say } from './search';

const run = promisify(execFile);
const tools = ['pg_dump', 'pg_restore', 'psql'] as const;

/** The tools that the worker finds too (same search, same cache), fetched first if there are none. Throws with all that was tried. */
export async function ensureClientTools(
  say: Say = () => undefined,
  environment: NodeJS.ProcessEnv = process.env,
  locate: typeof locateClientTools = locateClientTools,
): Promise<ClientTools> {
  const search = new Search('A set of pg_dump and pg_restore of one version');
  const found = await locate(environment, (line) => search.missed(line, 'no set'));
  if (found.pgDump) return told(found, say);
  try {
    await fetchClientTools(say, environment);
    const fetched = await locate(environment);
    if (fetched.pgDump) return told(fetched, say);
    search.missed('the packages fetched by apt-get', 'they do not run here');
  } catch (error) {
    search.missed('apt-get download of postgresql-client', error instanceof Error ? error.message : String(error));
  }
  throw search.failed(
    'Install the client tools ("apt-get install postgresql-client", "brew install libpq", "dnf install postgresql"), not older than ' +
      'the source server, and set CUTOVER_POSTGRES_BIN to their folder if they are in none of those above.',
  );
}

/** Fills the cache with the newest client that apt offers and resolves to its major version. */
export async function fetchClientTools(say: Say, environment: NodeJS.ProcessEnv): Promise<number> {
  const options = { env: { ...environment, LC_ALL: 'C' }, timeout: 180_000 };
  const major = await newestOffered(say, options);
  const place = join(clientToolsCache(environment), String(major));
  await fillOnce({
    place,
    isReady: async () => (await askVersion(join(place, 'bin', 'pg_dump'))).why === undefined,
    onWait: () => say('PostgreSQL client tools: another process is fetching them; waiting for it'),
    fill: async (aside) => {
      say(`PostgreSQL client tools: fetching postgresql-client-${major} by apt-get into the cache (some 5 s)`);
      const archives = join(aside, 'archives');
      await mkdir(archives);
      await run('apt-get', ['download', `postgresql-client-${major}`, 'libpq5'], { ...options, cwd: archives });
      for (const archive of await readdir(archives)) {
        await run('dpkg-deb', ['-x', join(archives, archive), join(aside, 'root')], options);
      }
      await rm(archives, { recursive: true });
      await writeCommands(aside, major);
      const answer = await askVersion(join(aside, 'bin', 'pg_dump'));
      if (answer.why !== undefined) throw new Error(`pg_dump from the package does not run: ${answer.why}`);
      await chmod(aside, 0o755);
    },
  });
  return major;
}

type RunOptions = { env: NodeJS.ProcessEnv; timeout: number };

async function newestOffered(say: Say, options: RunOptions): Promise<number> {
  let offered = await offeredMajors(options);
  if (offered.length === 0 && process.getuid?.() === 0) {
    say('PostgreSQL client tools: apt knows of none; asking for its lists with apt-get update (some 10 s)');
    await run('apt-get', ['update', '-qq'], options);
    offered = await offeredMajors(options);
  }
  if (offered.length === 0) throw new Error('apt offers no postgresql-client; "apt-get update" as root may help');
  return Math.max(...offered);
}

async function offeredMajors(options: RunOptions): Promise<number[]> {
  const { stdout } = await run('apt-cache', ['search', '--names-only', '^postgresql-client-[0-9]+$'], options);
  return [...stdout.matchAll(/^postgresql-client-(\d+) /gm)].map((line) => Number(line[1]));
}

/** Commands that find the unpacked libpq, wherever the folder is moved to. */
async function writeCommands(aside: string, major: number): Promise<void> {
  const libraries = join(aside, 'root', 'usr', 'lib');
  const systems = (await readdir(libraries)).filter((name) => name.includes('-linux-'));
  await mkdir(join(aside, 'bin'));
  for (const tool of tools) {
    const script = [
      '#!/bin/sh',
      'root=$(dirname "$(readlink -f "$0")")/../root',
      `LD_LIBRARY_PATH="${systems.map((name) => `$root/usr/lib/${name}`).join(':')}" \\`,
      `  exec "$root/usr/lib/postgresql/${major}/bin/${tool}" "$@"`,
    ];
    await writeFile(join(aside, 'bin', tool), `${script.join('\n')}\n`, { mode: 0o755 });
  }
}

function told(found: ClientTools, say: Say): ClientTools {
  say(`PostgreSQL client tools: ${found.major} (${found.pgDump})`);
  return found;
}
