// A pinned build with the Go of this machine, for servers that nobody offers as a package for every system. Go verifies
// what it fetches: by go.sum beside our go.mod where we keep one, otherwise by its checksum database.
import { existsSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Way } from './find-binary';
import { runToEnd } from './job';
import { pathFolders } from './search';

const progressEveryMs = 30_000;

export interface GoBuild {
  /** For what is said: `Temporal: building CLI 1.5.1`. */
  title: string;
  /** `2 to 3 min, once; 250 MB in the cache`. */
  usual: string;
  /** For the error: `go install of v1.5.1`. */
  step: string;
  /** What comes out, by name. */
  command: string;
  /** Import path; with `@version` when there is no module of ours. */
  package: string;
  /** Folder below `local/binaries/go` with go.mod and go.sum that pin everything. Without it: `go install package@version`. */
  module?: string;
  /** `-X` settings for the linker: variables that say the version. */
  set?: Record<string, string>;
}

/** A way to build it; needs `go` in PATH and a module proxy within reach. */
export function goBuild(build: GoBuild): Way {
  return {
    title: build.step,
    get: async ({ folder, environment, say }) => {
      const go = pathFolders(environment)
        .map((path) => join(path, 'go'))
        .find((file) => existsSync(file));
      if (!go) return { why: 'no go in PATH' };
      say(`${build.title} with Go (${build.usual})`);
      const started = Date.now();
      if (build.module) await cp(moduleFolder(build.module), folder, { recursive: true });
      const file = join(folder, build.command);
      const why = await runToEnd({
        name: build.module ? 'go build' : 'go install',
        command: go,
        args: build.module ? ['build', ...flags(build), '-o', file, build.package] : ['install', build.package],
        // Somebody's own settings (a vendor folder, a workspace around the temporary folder) are not meant for this build.
        environment: { ...environment, GOBIN: folder, GOFLAGS: '', GOWORK: 'off' },
        work: folder,
        watch: async (process) => {
          let next = progressEveryMs;
          while (process.running()) {
            await sleep(200);
            if (Date.now() - started < next) continue;
            say(`${build.title}: still at it, ${next / 1_000} s so far`);
            next += progressEveryMs;
          }
          return undefined;
        },
      });
      return why ? { why } : { file };
    },
  };
}

function flags({ set = {} }: GoBuild): string[] {
  const variables = Object.entries(set).map(([name, value]) => `-X ${name}=${value}`);
  return ['-mod=readonly', '-trimpath', '-ldflags', ['-s', '-w', ...variables].join(' ')];
}

/** Beside this file in the sources; compiled, this file is in dist/local/binaries and the module still in local/binaries. */
function moduleFolder(name: string): string {
  const candidates = [join(__dirname, 'go', name), join(__dirname, '../../../local/binaries/go', name)];
  return candidates.find((folder) => existsSync(folder)) ?? join(__dirname, 'go', name);
}
