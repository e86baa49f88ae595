// Finds the Temporal CLI, which holds the dev server and its Web UI: TEMPORAL_CLI_PATH, PATH, our cache; otherwise fills
// the cache by the SDK's download or by a pinned Go build. Each step says what it does and how long it usually takes.
import { existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findBinary, type BinarySearch, type Way } from './find-binary';
import { goBuild } from './go-build';
import { runToEnd } from './job';
import { unfitBelow } from './search';

/** The CLI that we fetch or build; later ones cannot be built by `go install`, their go.mod holds a `replace`. */
export const temporalCliVersion = '1.5.1';

/** The oldest server inside a CLI that has what we use: updates, user metadata, current details. */
const oldestServer = [1, 27] as const;

export interface TemporalSearch extends BinarySearch {
  /** How long the download may stay without an answer, and then without progress; milliseconds. */
  downloadPatienceMs?: number;
}

/** Path of a CLI that runs here. Throws with all that was tried. */
export async function findTemporalCli(options: TemporalSearch = {}): Promise<string> {
  return findBinary(
    {
      name: 'Temporal',
      description: `The Temporal CLI (${temporalCliVersion}, or another with server ${oldestServer.join('.')} or later)`,
      command: 'temporal',
      variables: [{ variable: 'TEMPORAL_CLI_PATH', holds: 'file' }],
      version: temporalCliVersion,
      unfit,
      ways: [
        sdkDownload(options.downloadPatienceMs ?? 20_000),
        goBuild({
          title: `Temporal: building CLI ${temporalCliVersion}`,
          usual: '2 to 3 min, once; 250 MB in the cache',
          step: `go install of v${temporalCliVersion}`,
          command: 'temporal',
          package: `github.com/temporalio/cli/cmd/temporal@v${temporalCliVersion}`,
        }),
      ],
      advice:
        'Install the CLI (https://docs.temporal.io/cli#install) and set TEMPORAL_CLI_PATH to it, or install Go and try again.',
    },
    options,
  );
}

/** A build of our own calls itself 0.0.0-DEV, so its server's version is asked. */
function unfit(file: string): Promise<string | undefined> {
  return unfitBelow(oldestServer, /^temporal version .*Server (\d+)\.(\d+)/, file);
}

function sdkDownload(patienceMs: number): Way {
  return {
    title: "the SDK's download",
    get: async ({ folder, environment, say }) => {
      say(
        `Temporal: asking the SDK to download CLI ${temporalCliVersion} (some 20 s; given up after ${patienceMs / 1_000} s without an answer)`,
      );
      const script = [
        join(__dirname, 'temporal-download.cjs'),
        join(__dirname, '../../../local/binaries/temporal-download.cjs'),
      ];
      const why = await runToEnd({
        name: 'The download',
        command: process.execPath,
        args: [script.find((file) => existsSync(file)) ?? 'temporal-download.cjs', `v${temporalCliVersion}`, folder],
        environment,
        work: folder,
        watch: async (process) => {
          // Without a file growing there is no server either that it could have started, so it may be ended.
          let size = -1;
          let lastProgress = Date.now();
          while (process.running()) {
            const now = await sizeOfDownload(folder);
            if (now !== size) [size, lastProgress] = [now, Date.now()];
            if (Date.now() - lastProgress > patienceMs) return `no answer or no progress for ${patienceMs / 1_000} s`;
            await sleep(200);
          }
          return undefined;
        },
      });
      const names = await readdir(folder);
      const name = names.find((file) => file.startsWith('temporal-') && !file.endsWith('.downloading'));
      return name ? { file: join(folder, name) } : { why: why ?? 'it left no file' };
    },
  };
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
