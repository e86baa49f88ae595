// Finds moto, an implementation of the APIs of AWS that runs here: CUTOVER_MOTO, PATH, our cache; otherwise installs it with the Python 3 of
// this machine from PyPI, every package of a pinned version. What needs it is tests alone, and those are not run where it cannot be had.
import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { cacheFolder } from '../../worker/client-tools';
import { fillOnce } from './cache';
import type { BinarySearch } from './find-binary';
import { inWorkFolder, runToEnd } from './job';
import { pathFolders, Search, type Say } from './search';

const run = promisify(execFile);

/** The version that we install; it and all that it needs is pinned in `python/moto.txt`. */
export const motoVersion = '5.2.5';

export interface Moto {
  command: string;
  /** Come before its own options. */
  args: string[];
}

/** Throws with all that was tried. */
export async function findMoto({
  environment = process.env,
  say = () => undefined,
  mayFetch = true,
}: BinarySearch = {}): Promise<Moto> {
  const search = new Search(`moto (${motoVersion}, or another from 5 on)`, say);
  const named = environment.CUTOVER_MOTO;
  for (const file of [
    ...(named ? [resolve(named)] : []),
    ...pathFolders(environment).map((at) => join(at, 'moto_server')),
  ]) {
    if (file !== named && !existsSync(file)) continue;
    const why = await unfit(file);
    if (why === undefined) return told({ command: file, args: [] }, say);
    search.missedNamed(file, why);
  }
  search.missed('CUTOVER_MOTO and PATH', 'no moto_server there');
  const place = cachePlace(environment);
  const python = join(place, 'bin', 'python');
  // By its module: the scripts of a virtual environment do not survive that its folder is renamed.
  const cached = { command: python, args: ['-m', 'moto.server'] };
  if (isWhole(place)) return told(cached, say);
  search.missed(place, 'not there');
  const advice =
    'Install Python 3 with its venv module, or moto by yourself ("pip install moto[server]") and set CUTOVER_MOTO to its moto_server.';
  if (!mayFetch) throw search.failed(advice);
  const unusable = whyNoPython(environment);
  if (unusable) {
    search.missed('installing it from PyPI', unusable);
    throw search.failed(advice);
  }
  await fillOnce({
    place,
    isReady: async () => isWhole(place),
    onWait: () => say('moto: another process is installing it; waiting for that'),
    fill: async (aside) => {
      say(`moto: installing ${motoVersion} from PyPI into the cache (half a minute to two minutes, once; 150 MB)`);
      const why = await install(aside, environment);
      if (why === undefined) return;
      search.missed('installing it from PyPI', why);
      throw search.failed(advice);
    },
  });
  return told(cached, say);
}

/** As `findMoto`, for tests to come: where it cannot be had that is said and remembered, so that they can say it in their names. */
export async function prepareMoto(say: Say, environment: NodeJS.ProcessEnv = process.env): Promise<void> {
  const reason = `${cachePlace(environment)}.why-not`;
  try {
    await findMoto({ say, environment });
    await rm(reason, { force: true });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    say(`moto: cannot be had here, so tests that need it are not run. ${why}`);
    await mkdir(dirname(reason), { recursive: true });
    await writeFile(reason, why);
  }
}

/** Why moto cannot be had here, in a few words; undefined when it is there or can be installed. Fast, and waits for nothing. */
export function whyNoMoto(environment: NodeJS.ProcessEnv = process.env): string | undefined {
  const place = cachePlace(environment);
  if (environment.CUTOVER_MOTO || isWhole(place)) return undefined;
  if (pathFolders(environment).some((folder) => existsSync(join(folder, 'moto_server')))) return undefined;
  if (existsSync(`${place}.why-not`)) return 'moto could not be installed';
  return whyNoPython(environment);
}

/** It does not say its version; that it can say anything means that Flask is there. */
async function unfit(file: string): Promise<string | undefined> {
  return run(file, ['--help'], { cwd: '/', timeout: 30_000 }).then(
    ({ stdout }) => (stdout.includes('usage: moto_server') ? undefined : `answers "${stdout.slice(0, 80)}"`),
    (error: unknown) => (error instanceof Error ? (error.message.split('\n', 2)[0] ?? '') : String(error)),
  );
}

function told(moto: Moto, say: Say): Moto {
  say(`moto: ${[moto.command, ...moto.args].join(' ')}`);
  return moto;
}

function cachePlace(environment: NodeJS.ProcessEnv): string {
  return join(cacheFolder(environment), 'moto', motoVersion);
}

/** The mark is written last. */
function isWhole(place: string): boolean {
  return existsSync(join(place, 'whole'));
}

function whyNoPython(environment: NodeJS.ProcessEnv): string | undefined {
  try {
    const look = 'import sys, venv, ensurepip; sys.exit(0 if sys.version_info >= (3, 10) else 3)';
    execFileSync('python3', ['-c', look], { env: environment, stdio: 'ignore', timeout: 20_000 });
    return undefined;
  } catch (error) {
    if (typeof error === 'object' && error !== null && 'code' in error && error.code === 'ENOENT')
      return 'there is no Python 3';
    return 'the Python 3 here is older than 3.10 or has no venv module';
  }
}

/** @returns why it failed */
async function install(aside: string, environment: NodeJS.ProcessEnv): Promise<string | undefined> {
  return inWorkFolder(async (work) => {
    const step = (command: string, args: string[]): Promise<string | undefined> =>
      runToEnd({
        name: 'python3',
        command,
        args,
        environment: { ...environment, PYTHONHOME: undefined, PYTHONPATH: undefined },
        work,
        watch: async (process) => {
          while (process.running()) await sleep(100);
          return undefined;
        },
      });
    const pip = ['-m', 'pip', 'install', '--disable-pip-version-check', '--no-input', '--quiet', '--only-binary=:all:'];
    const why =
      (await step('python3', ['-m', 'venv', aside])) ??
      (await step(join(aside, 'bin', 'python'), [...pip, '--requirement', pinned()])) ??
      (await step(join(aside, 'bin', 'python'), ['-c', 'import moto.server, moto.rds.models, moto.s3.models']));
    if (why === undefined) await writeFile(join(aside, 'whole'), '');
    return why;
  });
}

/** Beside this file in the sources; compiled, this file is in dist/local/binaries and the list still in local/binaries. */
function pinned(): string {
  const candidates = [join(__dirname, 'python/moto.txt'), join(__dirname, '../../../local/binaries/python/moto.txt')];
  const found = candidates.find((file) => existsSync(file));
  if (!found) throw new Error(`moto.txt not found: looked for ${candidates.join(' and ')}. Run from a whole checkout.`);
  return found;
}
