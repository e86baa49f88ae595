// What every search for a server binary shares: each place that was looked at is remembered with what was found there, so
// that the last error can list them all.
import { execFile } from 'node:child_process';
import { delimiter } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Takes one line for the person who waits. */
export type Say = (line: string) => void;

export class Search {
  private readonly tried: string[] = [];

  constructor(
    private readonly wanted: string,
    private readonly say: Say = () => undefined,
  ) {}

  /** Remembers a place and why it did not do. */
  missed(place: string, why: string): void {
    this.tried.push(`${place}: ${why}`);
  }

  /** A place that a person named by a variable: going on without it is said at once. */
  missedNamed(place: string, why: string): void {
    this.say(`${place} does not do (${why}); looking further`);
    this.missed(place, why);
  }

  /** The error that ends a search in vain; `advice` says what a person can do. */
  failed(advice: string): Error {
    return new Error(
      `${this.wanted} was not found. Tried:\n${this.tried.map((line) => `  - ${line}`).join('\n')}\n${advice}`,
    );
  }
}

/** The folders of PATH, in order. */
export function pathFolders(environment: NodeJS.ProcessEnv): string[] {
  return (environment.PATH ?? '').split(delimiter).filter(Boolean);
}

/** What `file --version` prints, run as `user` if given; the system's error code (`ENOENT`, `EACCES`) or the complaint in `why` otherwise. */
export async function askVersion(
  file: string,
  user?: { uid: number; gid: number },
): Promise<{ text: string; why?: undefined } | { text?: undefined; why: string }> {
  try {
    const { stdout } = await run(file, ['--version'], { uid: user?.uid, gid: user?.gid, cwd: '/', timeout: 20_000 });
    return { text: stdout.trim() };
  } catch (error) {
    if (typeof error !== 'object' || error === null) return { why: String(error) };
    if ('stderr' in error && typeof error.stderr === 'string' && error.stderr) return { why: error.stderr.trim() };
    if ('code' in error && typeof error.code === 'string') return { why: error.code };
    return { why: error instanceof Error ? error.message : 'it could not be run' };
  }
}

/** Why a server binary does not do: what `--version` says does not match, or is below `oldest` (major, minor: the pattern's groups). Undefined when it does. */
export async function unfitBelow(
  oldest: readonly [number, number],
  pattern: RegExp,
  file: string,
): Promise<string | undefined> {
  const answer = await askVersion(file);
  if (answer.why !== undefined) return answer.why === 'ENOENT' ? 'not there' : answer.why;
  const version = pattern.exec(answer.text);
  if (!version) return `answers "${answer.text.slice(0, 80)}"`;
  const [major, minor] = [Number(version[1]), Number(version[2])];
  const fits = major > oldest[0] || (major === oldest[0] && minor >= oldest[1]);
  return fits ? undefined : `too old: ${answer.text.split('\n', 1)[0]}`;
}
