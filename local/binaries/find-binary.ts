// The search that every single-file server binary goes through: named by a variable, PATH, our cache; otherwise the cache
// is filled by the first way that works. Each step says what it does, and the last error lists all that was tried.
import { existsSync } from 'node:fs';
import { chmod, copyFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { cacheFolder } from '../../worker/client-tools';
import { fillOnce } from './cache';
import { inWorkFolder } from './job';
import { pathFolders, Search, type Say } from './search';

export interface BinarySearch {
  environment?: NodeJS.ProcessEnv;
  say?: Say;
  /** False: only look, fetch and build nothing. */
  mayFetch?: boolean;
}

export interface Wanted {
  /** For what is said: `Temporal`. */
  name: string;
  /** What is looked for and in which versions, as the beginning of an error. */
  description: string;
  /** Name of the file: `temporal`. */
  command: string;
  /** Variables that name a file, or a folder that should hold `command`; looked at in this order. */
  variables: { variable: string; holds: 'file' | 'folder' }[];
  /** The cache keeps one folder for each version that is fetched. */
  version: string;
  /** Why a file does not do; undefined when it does. */
  unfit: (file: string) => Promise<string | undefined>;
  /** Tried in this order when nothing was found. */
  ways: Way[];
  /** What a person can do. */
  advice: string;
}

/** One way to get the binary. */
export interface Way {
  /** For the error: `go install of v1.5.1`. */
  title: string;
  /** Resolves to a file in the folder given or below it, or to why there is none. Throws nothing. */
  get: (work: Work) => Promise<{ file: string } | { why: string }>;
}

export interface Work {
  /** Empty at first, removed afterwards. */
  folder: string;
  environment: NodeJS.ProcessEnv;
  say: Say;
}

/** Path of a binary that runs here. Throws with all that was tried. */
export async function findBinary(wanted: Wanted, options: BinarySearch = {}): Promise<string> {
  const { environment = process.env, say = () => undefined, mayFetch = true } = options;
  const { name, command, unfit } = wanted;
  const search = new Search(wanted.description, say);
  const found = (file: string, place: string): string => {
    say(`${name}: ${file} from ${place}`);
    return file;
  };

  for (const { variable, holds } of wanted.variables) {
    const value = environment[variable];
    if (!value) continue;
    const file = resolve(holds === 'file' ? value : join(value, command));
    const why = await unfit(file);
    if (!why) return found(file, variable);
    search.missedNamed(`${variable}=${value}`, holds === 'file' ? why : `${command}: ${why}`);
  }
  for (const folder of pathFolders(environment)) {
    const file = join(folder, command);
    if (!existsSync(file)) continue;
    const why = await unfit(file);
    if (!why) return found(file, 'PATH');
    search.missed(`${file} (PATH)`, why);
  }
  search.missed('PATH', `no other ${command} there`);

  const place = join(cacheFolder(environment), command, wanted.version);
  const cached = join(place, command);
  const whyNotCached = await unfit(cached);
  if (!whyNotCached) return found(cached, 'the cache');
  search.missed(cached, whyNotCached);
  if (!mayFetch) throw search.failed(wanted.advice);

  await fillOnce({
    place,
    isReady: async () => !(await unfit(cached)),
    onWait: () => say(`${name}: another process is fetching or building it; waiting for that (some minutes at most)`),
    fill: async (aside) => {
      for (const [n, way] of wanted.ways.entries()) {
        const why = await keepFrom(way);
        if (!why) return;
        search.missed(way.title, why);
        if (n < wanted.ways.length - 1) say(`${name}: ${way.title} gave nothing (${why.split('\n', 1)[0]}); going on`);
      }
      throw search.failed(wanted.advice);

      async function keepFrom(way: Way): Promise<string | undefined> {
        return inWorkFolder(async (folder) => {
          const got = await way.get({ folder, environment, say });
          if ('why' in got) return got.why;
          const why = await unfit(got.file);
          if (why) return `what came out does not do: ${why}`;
          await copyFile(got.file, join(aside, command));
          await chmod(join(aside, command), 0o755);
          return undefined;
        });
      }
    },
  });
  return found(cached, 'the cache, just filled');
}
