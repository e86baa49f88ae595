// From candidates to certainty: looks at single rows, with a marker between the writing side and the following one and a pause between
// rounds, until each row is proved fine or wrong, or has moved all the time.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import type { Hash } from '../digest/row-digest';
import { otherSide, type WritingSide } from '../stream/names';
import { absent, afterFollowing, afterWriting, type Judgement, type Seen } from './judgement';
import type { Candidate } from './pass';
import type { MovingSessions, Reading } from './sessions';
import { lookSql } from './sql';
import type { Subject } from './subjects';

const roundsAtMost = 6;
/** Each look at a table without a key reads all of it. */
const keylessRoundsAtMost = 4;
/**
 * Between a look at the follower and the next at the writing side. A transaction reaches the stream a moment before it can be seen on
 * the side where it was made; what it changed must not look wrong for that moment.
 */
const pauseMs = 1_000;
const keysInOneStatement = 1_000;

export interface Wrong {
  /** Of its candidate. */
  id: string;
  label: string;
  /** As seen from the follower. */
  kind: 'missing' | 'extra' | 'different';
  /** Rows, where there is no key. */
  rows: number;
}

export interface Settled {
  wrong: Wrong[];
  /** Ids that moved all the time. */
  undecided: string[];
  failure?: { side: WritingSide; reason: string };
}

export interface SettleOptions {
  hash: Hash;
  writing: WritingSide;
  signal: AbortSignal;
  /** How many rows are being looked at. */
  onOpen: (rows: number) => void;
}

interface Case {
  subject: Subject;
  candidate: Candidate;
  judgement: Judgement;
  /** The last looks; `former` those one round earlier. */
  writing: Seen;
  following: Seen;
  former?: { writing: Seen; following: Seen };
}

/** @throws SourceUnavailable, TargetUnavailable, NotReadyYet (retryable) */
export async function settle(
  sessions: MovingSessions,
  found: { subject: Subject; candidates: Candidate[] }[],
  options: SettleOptions,
): Promise<Map<Subject, Settled>> {
  const settled = new Map<Subject, Settled>(found.map(({ subject }) => [subject, { wrong: [], undecided: [] }]));
  const cases = found.flatMap(({ subject, candidates }) =>
    candidates.map((candidate): Case => ({
      subject,
      candidate,
      judgement: 'open',
      writing: absent,
      following: absent,
    })),
  );
  const { writing } = options;
  const isOpen = (one: Case): boolean => one.judgement === 'open' && !settled.get(one.subject)?.failure;
  const look = (side: WritingSide, open: Case[]): Promise<Map<Case, Seen>> =>
    lookAt(sessions, side, open, options.hash, (subject, reason) => {
      const one = settled.get(subject);
      if (one) one.failure ??= { side, reason };
    });

  let held: ReadonlySet<string> = new Set();
  for (let round = 0; round <= roundsAtMost; round += 1) {
    let open = cases.filter((one) => isOpen(one) && (one.subject.keyed || round <= keylessRoundsAtMost));
    if (open.length === 0) break;
    options.onOpen(open.length);
    if (round > 0) await sleep(pauseMs, undefined, { signal: options.signal });
    const here = await look(writing, open);
    const isHeld = intersects(held, round > 0 ? await heldCommits(sessions.control[writing]) : held);
    for (const one of open.filter(isOpen)) {
      const now = here.get(one) ?? absent;
      if (round > 0) {
        one.former = { writing: one.writing, following: one.following };
        one.judgement = cautious(afterWriting(one.subject.keyed, one.writing, one.following, now), isHeld);
      }
      one.writing = now;
    }
    open = open.filter(isOpen);
    if (open.length === 0 || round === roundsAtMost) break;
    await sessions.passMarker();
    const there = await look(otherSide(writing), open);
    for (const one of open.filter(isOpen)) {
      one.following = there.get(one) ?? absent;
      const judged = afterFollowing(one.subject.keyed, one.former, one.writing, one.following);
      one.judgement = cautious(judged, isHeld);
    }
    if (open.some(isOpen)) held = await heldCommits(sessions.control[writing]);
  }

  for (const { subject, candidate, judgement, writing: here, following } of cases) {
    const one = settled.get(subject);
    if (!one || judgement === 'fine') continue;
    if (judgement === 'open') one.undecided.push(candidate.id);
    else
      one.wrong.push({
        id: candidate.id,
        label: candidate.label,
        kind: judgement,
        rows: Math.abs(here.rows - following.rows),
      });
  }
  options.onOpen(0);
  return settled;
}

function cautious(judgement: Judgement, isHeld: boolean): Judgement {
  return isHeld && judgement !== 'fine' ? 'open' : judgement;
}

async function lookAt(
  sessions: MovingSessions,
  side: WritingSide,
  cases: Case[],
  hash: Hash,
  onFailure: (subject: Subject, reason: string) => void,
): Promise<Map<Case, Seen>> {
  const bySubject = new Map<Subject, Map<string, Case>>();
  for (const one of cases) {
    const known = bySubject.get(one.subject) ?? new Map<string, Case>();
    bySubject.set(one.subject, known.set(one.candidate.id, one));
  }
  const seen = new Map<Case, Seen>();
  const readings: Reading[] = [];
  for (const [subject, wanted] of bySubject) {
    for (const ids of portionsOf([...wanted.keys()], subject.keyed ? keysInOneStatement : wanted.size)) {
      readings.push({
        side,
        statement: lookSql(subject[side], hash, ids),
        onRow: ([id, content, version, rows]) => {
          const one = wanted.get(id ?? '');
          if (!one) return;
          const other = seen.get(one) ?? absent;
          seen.set(one, {
            rows: other.rows + Number(rows),
            content: [other.content, content].filter(Boolean).sort().join(' '),
            version: [other.version, version].filter(Boolean).sort().join(' '),
          });
        },
        onFailure: (reason) => onFailure(subject, reason),
      });
    }
  }
  await sessions.read(readings);
  return seen;
}

export function portionsOf<Item>(items: Item[], size: number): Item[][] {
  const portions: Item[][] = [];
  for (let at = 0; at < items.length; at += size) portions.push(items.slice(at, at + size));
  return portions;
}

/**
 * Transactions that wait for a synchronous standby: in the stream already, and not yet to be seen on their own side. While one of
 * them lasts from look to look, nothing is called wrong.
 */
async function heldCommits(client: Client): Promise<Set<string>> {
  const { rows } = await client.query<{ held: string }>(
    `select pid::text || ' ' || coalesce(query_start::text, '') as held from pg_stat_activity where wait_event = 'SyncRep'`,
  );
  return new Set(rows.map(({ held }) => held));
}

function intersects(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  return [...one].some((item) => other.has(item));
}
