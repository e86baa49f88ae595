// Finds the Temporal CLI, which holds the dev server and its Web UI: TEMPORAL_CLI_PATH, PATH, our cache; otherwise fills
// the cache by the SDK's download or by a pinned Go build. Each step says what it does and how long it usually takes.
import { copyFile, chmod, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cacheFolder } from '../../worker/client-tools';
import { logTail, startProcess, type ServerProcess } from '../processes';
import { fillOnce } from './cache';
import { askVersion, pathFolders, Search, type Say } from './search';

/** The CLI that we fetch or build; later ones cannot be built by `go install`, their go.mod holds a `replace`. */
export const temporalCliVersion = '1.5.1';

/** The oldest server inside a CLI that has what we use: updates, user metadata, current details. */
const oldestServer = [1, 27] as const;

export interface TemporalSearch {
  environment?: NodeJS.ProcessEnv;
  say?: Say;
  /** False: only look, fetch and build nothing. */
  mayFetch?: boolean;
  /** How long the download may stay without an answer, and then without progress; milliseconds. */
  downloadPatienceMs?: number;
}

/** Path of a CLI that runs here. Throws with all that was tried. */
export async function findTemporalCli(wanted: TemporalSearch = {}): Promise<string> {
  const { environment = process.env, say = () => undefined, mayFetch = true, downloadPatienceMs = 20_000 } = wanted;
  const search = new Search(
    `The Temporal CLI (${temporalCliVersion}, or another with server ${oldestServer.join('.')} or later)`,
    say,
  );
  const named = environment.TEMPORAL_CLI_PATH;
  if (named) {
    const why = await unfit(named);
    if (!why) return found(resolve(named), 'TEMPORAL_CLI_PATH');
    search.missedNamed(`TEMPORAL_CLI_PATH=${named}`, why);
  }
  for (const folder of pathFolders(environment)) {
    const file = join(folder, 'temporal');
    if (!existsSync(file)) continue;
    const why = await unfit(file);
    if (!why) return found(file, 'PATH');
    search.missed(`${file} (PATH)`, why);
  }
  search.missed('PATH', 'no other temporal there');

  const place = join(cacheFolder(environment), 'temporal', temporalCliVersion);
  const cached = join(place, 'temporal');
  const whyNotCached = await unfit(cached);
  if (!whyNotCached) return found(cached, 'the cache');
  search.missed(cached, whyNotCached);
  const advice =
    'Install the CLI (https://docs.temporal.io/cli#install) and set TEMPORAL_CLI_PATH to it, or install Go and try again.';
  if (!mayFetch) throw search.failed(advice);

  await fillOnce({
    place,
    isReady: async () => !(await unfit(cached)),
    onWait: () =>
      say('Temporal: another process is fetching or building the CLI; waiting for it (3 min at most, usually)'),
    fill: async (aside) => {
      for (const way of [download, build]) {
        const why = await way(aside, { environment, say, patienceMs: downloadPatienceMs });
        if (!why) return;
        search.missed(way === download ? "the SDK's download" : `go install of v${temporalCliVersion}`, why);
      }
      throw search.failed(advice);
    },
  });
  return found(cached, 'the cache, just filled');

  function found(file: string, place: string): string {
    say(`Temporal: ${file} from ${place}`);
    return file;
  }
}

/** Why a CLI does not do; undefined when it does. A build of our own calls itself 0.0.0-DEV, so its server's version is asked. */
async function unfit(file: string): Promise<string | undefined> {
  const answer = await askVersion(file);
  if (answer.why !== undefined) return answer.why === 'ENOENT' ? 'not there' : answer.why;
  const server = /^temporal version .*Server (\d+)\.(\d+)/.exec(answer.text);
  if (!server) return `answers "${answer.text.slice(0, 80)}"`;
  const [major, minor] = [Number(server[1]), Number(server[2])];
  const fits = major > oldestServer[0] || (major === oldestServer[0] && minor >= oldestServer[1]);
  return fits ? undefined : `too old: ${answer.text}`;
}

interface Fetching {
  environment: NodeJS.ProcessEnv;
  say: Say;
  patienceMs: number;
}

/** Undefined when `temporal` is in the folder afterwards, otherwise why not. */
type Way = (folder: string, fetching: Fetching) => Promise<string | undefined>;

const download: Way = async (folder, { environment, say, patienceMs }) => {
  say(
    `Temporal: asking the SDK to download CLI ${temporalCliVersion} (some 20 s; given up after ${patienceMs / 1_000} s without an answer)`,
  );
  const script = [
    join(__dirname, 'temporal-download.cjs'),
    join(__dirname, '../../../local/binaries/temporal-download.cjs'),
  ];
  return inWorkFolder(async (work) => {
    const why = await runToEnd({
      name: 'The download',
      command: process.execPath,
      args: [script.find((file) => existsSync(file)) ?? 'temporal-download.cjs', `v${temporalCliVersion}`, work],
      environment,
      work,
      watch: async (process) => {
        // Without a file growing there is no server either that it could have started, so it may be ended.
        let size = -1;
        let lastProgress = Date.now();
        while (process.running()) {
          const now = await sizeOfDownload(work);
          if (now !== size) [size, lastProgress] = [now, Date.now()];
          if (Date.now() - lastProgress > patienceMs) return `no answer or no progress for ${patienceMs / 1_000} s`;
          await sleep(200);
        }
        return undefined;
      },
    });
    const name = (await readdir(work)).find((file) => file.startsWith('temporal-') && !file.endsWith('.downloading'));
    if (!name) return why ?? 'it left no file';
    return keep(join(work, name), folder);
  });
};

const build: Way = async (folder, { environment, say }) => {
  say(`Temporal: building CLI ${temporalCliVersion} with Go (2 to 3 min, once; 250 MB in the cache)`);
  const go = pathFolders(environment)
    .map((path) => join(path, 'go'))
    .find((file) => existsSync(file));
  if (!go) return 'no go in PATH';
  return inWorkFolder(async (work) => {
    const started = Date.now();
    const why = await runToEnd({
      name: 'go install',
      command: go,
      args: ['install', `github.com/temporalio/cli/cmd/temporal@v${temporalCliVersion}`],
      environment: { ...environment, GOBIN: work, GOFLAGS: '' },
      work,
      watch: async (process) => {
        let next = 30_000;
        while (process.running()) {
          await sleep(200);
          if (Date.now() - started < next) continue;
          say(`Temporal: still building, ${next / 1_000} s so far`);
          next += 30_000;
        }
        return undefined;
      },
    });
    return why ?? (await keep(join(work, 'temporal'), folder));
  });
};

async function keep(file: string, folder: string): Promise<string | undefined> {
  const why = await unfit(file);
  if (why) return `what came out does not do: ${why}`;
  await copyFile(file, join(folder, 'temporal'));
  await chmod(join(folder, 'temporal'), 0o755);
  return undefined;
}

interface Job {
  name: string;
  command: string;
  args: string[];
  environment: NodeJS.ProcessEnv;
  work: string;
  /** Looks on while it runs; a reason ends it. */
  watch: (process: ServerProcess) => Promise<string | undefined>;
}

/** Runs it as a server would run, so that it ends with us; undefined when it ended well. */
async function runToEnd({ name, command, args, environment, work, watch }: Job): Promise<string | undefined> {
  const logFile = join(work, 'log');
  try {
    const stops: { signal: NodeJS.Signals; graceMs: number }[] = [{ signal: 'SIGINT', graceMs: 3_000 }];
    const process = await startProcess({ name, command, args, cwd: work, environment, logFile, stops });
    const why = await watch(process);
    await process.stop();
    if (why) return why;
    const how = await process.ended;
    return how.endsWith('exit code 0') ? undefined : `${how}: ${await logTail(logFile, 4)}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function inWorkFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'cutover-temporal-cli-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function sizeOfDownload(folder: string): Promise<number> {
  const names = (await readdir(folder)).filter((name) => name.startsWith('temporal-'));
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(folder, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
