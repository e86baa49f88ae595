// One pass over some tables, both sides each at one moment: sums of buckets, buckets that differ cut finer, and the rows of what is
// left. What comes out are candidates: keys that differ between the two moments, because they are wrong or because they move.
// In memory are at most the sums of one batch, 20 MB of a finer cut, and 100,000 rows' keys and digests, whatever the tables hold.
import type { Client } from 'pg';
import { cut, tidRangeScanVersion } from '../copy/cut';
import { identityOf } from '../digest/relations';
import type { Hash, Pages } from '../digest/row-digest';
import type { WritingSide } from '../stream/names';
import { BucketSums, finerBits, firstBits, type Total } from './bucket-sums';
import type { MovingSessions, Reading } from './sessions';
import { rowsSql, sumsSql, type Narrowed, type Statement } from './sql';
import type { Subject } from './subjects';

const sides: WritingSide[] = ['source', 'target'];
const pieceBytes = 128 * 1_048_576;
const piecesAtMost = 64;
/** Of one table on each side. */
const rowsLookedAt = 50_000;
const candidatesAtMost = 10_000;
const candidateCharacters = 4_000_000;
const finerCutsAtMost = 2;

/** A key (JSON array of text), or without one the digest of a row. */
export interface Candidate {
  id: string;
  /** As people read it. */
  label: string;
}

export interface PassResult {
  totals: Record<WritingSide, Total>;
  candidates: Candidate[];
  /** All that differs is among the candidates. Without it the pass proves nothing about the rest of the table. */
  complete: boolean;
  failure?: { side: WritingSide; reason: string };
}

export interface PassOptions {
  hash: Hash;
  /** `server_version_num` */
  versions: Record<WritingSide, number>;
  onBytes: (bytes: number) => void;
  /** For tests: fewer rows and candidates, smaller pieces. */
  limits?: { rows?: number; candidates?: number; pieceBytes?: number };
}

interface State {
  subject: Subject;
  sums: BucketSums;
  pieces: Record<WritingSide, (Pages & { bytes: number })[]>;
  result: PassResult;
}

/** @throws SourceUnavailable, TargetUnavailable, NotReadyYet (retryable) */
export async function readPass(
  sessions: MovingSessions,
  subjects: Subject[],
  options: PassOptions,
): Promise<Map<Subject, PassResult>> {
  const states = subjects.map((subject) => stateOf(subject, options));
  const inPieces = states.filter(({ pieces }) => sides.some((side) => pieces[side].length > 1));
  const before = await fileNodes(sessions.control, inPieces);
  await sessions.atOneMoment(async () => {
    await sessions.read(
      states.flatMap((state) => sumsOf(state, state.sums, options, true)).sort((one, other) => other.bytes - one.bytes),
    );
    for (const state of states) if (!state.result.failure) await findCandidates(sessions, state, options);
  });
  // A table that was rewritten between two of its pieces (VACUUM FULL, TRUNCATE) may have been read with holes.
  const after = await fileNodes(sessions.control, inPieces);
  for (const { subject, result } of inPieces) {
    if (before.get(subject) !== after.get(subject)) result.complete = false;
  }
  return new Map(states.map(({ subject, result }) => [subject, result]));
}

function stateOf(subject: Subject, { versions, limits }: PassOptions): State {
  const piecesOn = (side: WritingSide): (Pages & { bytes: number })[] => {
    const { relation } = subject[side];
    const size = Math.max(limits?.pieceBytes ?? pieceBytes, relation.bytes / piecesAtMost);
    return cut(relation, size, versions[side] >= tidRangeScanVersion && !relation.condition).map(
      ({ lower, upper, bytes }) => ({ lower: lower?.toString(), upper: upper?.toString(), bytes }),
    );
  };
  const sums = new BucketSums(firstBits(subject.rows));
  return {
    subject,
    sums,
    pieces: { source: piecesOn('source'), target: piecesOn('target') },
    result: { totals: sums.totals, candidates: [], complete: true },
  };
}

function sumsOf(
  state: State,
  sums: BucketSums,
  { hash, onBytes }: PassOptions,
  isFirst: boolean,
  within?: Narrowed,
): (Reading & { bytes: number })[] {
  return readingsOf(
    state,
    (side, pages) => sumsSql(state.subject[side].relation, hash, sums.bits, pages, within),
    (side, [bucket, rows, high, low]) => sums.add(side, Number(bucket), rows ?? '0', high ?? '0', low ?? '0'),
    isFirst ? onBytes : () => undefined,
  );
}

function readingsOf(
  { pieces, result }: State,
  statementOf: (side: WritingSide, pages: Pages) => Statement,
  onRow: (side: WritingSide, row: (string | null)[]) => void,
  onBytes: (bytes: number) => void = () => undefined,
): (Reading & { bytes: number })[] {
  return sides.flatMap((side) =>
    pieces[side].map((piece) => ({
      side,
      bytes: piece.bytes,
      statement: statementOf(side, piece),
      onRow: (row) => onRow(side, row),
      onFailure: (reason) => {
        result.failure ??= { side, reason };
        result.complete = false;
      },
      onDone: () => onBytes(piece.bytes),
    })),
  );
}

async function findCandidates(sessions: MovingSessions, state: State, options: PassOptions): Promise<void> {
  const { result } = state;
  const rowsAtMost = options.limits?.rows ?? rowsLookedAt;
  let { bits } = state.sums;
  let differing = state.sums.differing();
  for (let cuts = 0; cuts < finerCutsAtMost && rowsIn(differing) > rowsAtMost; cuts += 1) {
    const finer = finerBits(bits, differing.length);
    if (finer === undefined) break;
    const within = { bits, buckets: differing.map(({ bucket }) => bucket) };
    const sums = new BucketSums(finer, within);
    await sessions.read(sumsOf(state, sums, options, false, within));
    if (result.failure) return;
    const [coarse, shift] = [differing, finer - bits];
    differing = sums.differing();
    bits = finer;
    const covered = new Set(differing.map(({ bucket }) => bucket >> shift));
    if (!coarse.every(({ bucket }) => covered.has(bucket))) result.complete = false;
    if (rowsIn(differing) > rowsIn(coarse) / 2) break;
  }
  const looked = takeRows(differing, rowsAtMost);
  if (looked.length < differing.length) result.complete = false;
  if (looked.length > 0) await compareRows(sessions, state, { bits, buckets: looked }, options);
}

function rowsIn(buckets: { rows: number }[]): number {
  return buckets.reduce((sum, { rows }) => sum + rows, 0);
}

/** As many buckets as hold so many rows, but one at least. */
function takeRows(differing: { bucket: number; rows: number }[], rowsAtMost: number): number[] {
  const taken: number[] = [];
  let sum = 0;
  for (const { bucket, rows } of differing) {
    sum += rows;
    if (taken.length > 0 && sum > rowsAtMost) break;
    taken.push(bucket);
  }
  return taken;
}

interface Surplus extends Candidate {
  bucket: number;
  /** More on the source than on the target. */
  rows: number;
  /** Where its key could not be found again by its text. */
  lost?: WritingSide;
}

async function compareRows(
  sessions: MovingSessions,
  state: State,
  narrowed: Narrowed,
  { hash, limits }: PassOptions,
): Promise<void> {
  const { subject, result } = state;
  // Rows that are alike on both sides cancel out, and are forgotten as soon as both have come.
  const open = new Map<string, Surplus>();
  const readings = readingsOf(
    state,
    (side, pages) => rowsSql(subject[side], hash, narrowed.bits, pages, narrowed),
    (side, [bucket, id, label, digest, found, rows]) => {
      const place = `${id ?? ''} ${digest ?? ''}`;
      const known = open.get(place) ?? { id: id ?? digest ?? '', label: label ?? '', bucket: Number(bucket), rows: 0 };
      // What is not valid in its encoding does not come back either.
      if (found !== 't' || id?.includes('\ufffd')) known.lost = side;
      known.rows += side === 'source' ? Number(rows) : -Number(rows);
      if (known.rows === 0) open.delete(place);
      else open.set(place, known);
    },
  );
  await sessions.read(readings);
  if (result.failure) return;
  const explained = new Set([...open.values()].map(({ bucket }) => bucket));
  if (!narrowed.buckets.every((bucket) => explained.has(bucket))) result.complete = false;
  const candidates = new Map<string, Candidate>();
  let characters = 0;
  for (const { id, label, lost } of open.values()) {
    if (lost) result.failure = { side: lost, reason: 'its keys cannot be found again by their text' };
    if (candidates.has(id)) continue;
    characters += id.length + label.length;
    if (candidates.size >= (limits?.candidates ?? candidatesAtMost) || characters > candidateCharacters) {
      result.complete = false;
      break;
    }
    candidates.set(id, { id, label });
  }
  result.candidates = [...candidates.values()];
}

async function fileNodes(control: Record<WritingSide, Client>, states: State[]): Promise<Map<Subject, string>> {
  const found = new Map<Subject, string>();
  if (states.length === 0) return found;
  const bySide = await Promise.all(sides.map(async (side) => readFileNodes(control[side])));
  for (const { subject } of states)
    found.set(subject, bySide.map((nodes) => nodes.get(identityOf(subject)) ?? 'gone').join());
  return found;
}

async function readFileNodes(client: Client): Promise<Map<string, string>> {
  const { rows } = await client.query<{ schema: string; name: string; node: string }>(
    `select n.nspname as schema, c.relname as name, c.oid::text || ' ' || c.relfilenode::text as node
     from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r'`,
  );
  return new Map(rows.map((row) => [identityOf(row), row.node]));
}
