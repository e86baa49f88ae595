// Some tables from the first read to a result each: passes, until all that differs between the two sides has been looked at row by
// row, or until it is plain that it moves too much.
import type { Verdict } from '../digest/compare';
import { digestOf } from '../digest/compare';
import { keysShown, shortened } from '../digest/bisect';
import { nameOf } from '../digest/relations';
import { otherSide, type WritingSide } from '../stream/names';
import type { Total } from './bucket-sums';
import { readPass, type PassOptions, type PassResult } from './pass';
import type { MovingSessions } from './sessions';
import { settle, type Settled, type SettleOptions, type Wrong } from './settle';
import type { Subject } from './subjects';

/** What is truncated and filled again faster than it can be read is left to the freeze after so many. */
const passesAtMost = 3;
/** Tables of one pass share its two moments: big ones have a pass of their own. */
const batchBytes = 512 * 1_048_576;
const batchTables = 200;

export interface MovingResult {
  verdict: Verdict;
  /** As the report prints them: at most 20 and a count. */
  lines: string[];
  /** Rows are missing or extra. */
  onOneSideOnly: boolean;
  /** Rows that were being written while they were compared, the undecided among them. */
  moved: number;
  /** Ids of rows that moved all the time. */
  undecided: string[];
  /** So much of the table moved all the time that only all of it can be compared later. */
  whole: boolean;
}

export interface BatchOptions extends PassOptions, SettleOptions {
  /** Told of all rows of a pass that are wrong. */
  onWrong?: (subject: Subject, wrong: Wrong[]) => void;
}

/** Biggest first. */
export function batchesOf(subjects: Subject[]): Subject[][] {
  const batches: Subject[][] = [];
  let bytes = 0;
  for (const subject of [...subjects].sort((one, other) => other.bytes - one.bytes)) {
    const last = batches.at(-1);
    if (last && bytes + subject.bytes <= batchBytes && last.length < batchTables) {
      last.push(subject);
      bytes += subject.bytes;
    } else {
      batches.push([subject]);
      bytes = subject.bytes;
    }
  }
  return batches;
}

/** @throws SourceUnavailable, TargetUnavailable, NotReadyYet (retryable) */
export async function compareBatch(
  sessions: MovingSessions,
  subjects: Subject[],
  options: BatchOptions,
): Promise<Map<Subject, MovingResult>> {
  const results = new Map<Subject, MovingResult>();
  const moved = new Map<Subject, number>();
  let open = subjects;
  for (let pass = 1; open.length > 0; pass += 1) {
    const read = await readPass(sessions, open, pass === 1 ? options : { ...options, onBytes: () => undefined });
    const found = [...read].flatMap(([subject, { candidates, failure }]) =>
      failure || candidates.length === 0 ? [] : [{ subject, candidates }],
    );
    const settled = await settle(sessions, found, options);
    const again: Subject[] = [];
    for (const [subject, result] of read) {
      const outcome = settled.get(subject) ?? { wrong: [], undecided: [] };
      if (outcome.wrong.length > 0) options.onWrong?.(subject, outcome.wrong);
      const count = (moved.get(subject) ?? 0) + result.candidates.length - outcome.wrong.length;
      moved.set(subject, count);
      const concluded = conclude(subject, result, outcome, options.writing, pass === passesAtMost);
      if (concluded) results.set(subject, { ...concluded, moved: count });
      else again.push(subject);
    }
    open = again;
  }
  return results;
}

/** What a pass and the looks after it prove of one table; undefined where another pass is needed. Pure. */
export function conclude(
  subject: Subject,
  read: PassResult,
  { wrong, undecided, failure: later }: Settled,
  writing: WritingSide,
  isLast: boolean,
): Omit<MovingResult, 'moved'> | undefined {
  const failure = read.failure ?? later;
  const { source, target } = read.totals;
  const base = {
    table: nameOf(subject),
    schema: subject.schema,
    name: subject.name,
    digested: subject.mode === 'rows',
    bytes: subject.source.relation.bytes,
    comparable: true,
  };
  const nothing = { lines: [], undecided: [], whole: false, onOneSideOnly: false };
  if (failure) {
    const why = `could not be read on the ${failure.side}: ${failure.reason}`;
    return { ...nothing, verdict: { ...base, outcome: 'unverifiable', why } };
  }
  const known = { ...base, sourceRows: source.rows.toString(), targetRows: target.rows.toString() };
  const whole = undecided.length > 0 && !subject.keyed;
  if (wrong.length > 0) {
    const lines = linesOf(subject, wrong, otherSide(writing), read.complete ? '' : 'at least ');
    return {
      verdict: { ...known, outcome: 'unequal', why: whyOf(subject, wrong, read.complete) },
      lines,
      undecided,
      whole,
      onOneSideOnly: wrong.some(({ kind }) => kind !== 'different'),
    };
  }
  if (read.complete) {
    const digest = (total: Total): string =>
      digestOf({
        header: subject.header,
        rows: total.rows.toString(),
        high: total.high.toString(),
        low: total.low.toString(),
      });
    const digests =
      subject.mode === 'rows' && read.candidates.length === 0
        ? { sourceDigest: digest(source), targetDigest: digest(target) }
        : {};
    return { ...nothing, undecided, whole, verdict: { ...known, ...digests, outcome: 'equal' } };
  }
  if (!isLast) return undefined;
  return { ...nothing, whole: true, verdict: { ...known, outcome: 'equal' } };
}

function whyOf({ keyed }: Subject, wrong: Wrong[], complete: boolean): string {
  const atLeast = complete ? '' : 'at least ';
  if (!keyed) return `has ${atLeast}${sum(wrong)} rows on one side only`;
  const count = (kind: Wrong['kind'], word: string): string[] => {
    const found = wrong.filter((one) => one.kind === kind).length;
    return found > 0 ? [`${found} ${word}`] : [];
  };
  const words = [...count('missing', 'missing'), ...count('extra', 'extra'), ...count('different', 'different')];
  return `has ${atLeast}${words.join(', ')} rows`;
}

/** Of a table with a key its keys; without one only how many, since a row is its content. */
export function linesOf(subject: Subject, wrong: Wrong[], following: WritingSide, atLeast: string): string[] {
  const table = nameOf(subject);
  if (!subject.keyed) {
    const only = (kind: Wrong['kind']): number => sum(wrong.filter((one) => one.kind === kind));
    const [onFollowing, onWriting] = [only('extra'), only('missing')];
    const [source, target] = following === 'target' ? [onWriting, onFollowing] : [onFollowing, onWriting];
    return [
      `${table} (no key): ${atLeast}${source} rows only on the source, ${atLeast}${target} rows only on the target`,
    ];
  }
  const lines = [...wrong]
    .sort((one, other) => (one.label < other.label ? -1 : 1))
    .slice(0, keysShown)
    .map(({ label, kind }) => {
      const how = kind === 'different' ? kind : `${kind} on the ${following}`;
      return `${table} key=${shortened(label)}: ${how}`;
    });
  if (atLeast || wrong.length > keysShown) lines.push(`${table}: ${atLeast}${wrong.length} keys differ`);
  return lines;
}

function sum(wrong: Wrong[]): number {
  return wrong.reduce((total, { rows }) => total + rows, 0);
}
