// Silence as a freeze needs it: no fixed waits, one round trip a look. Everything that could still write is read in one transaction, in
// an order that leaves no gap: who is on the way in, then who is in, then what is prepared. Only when all that is nobody is the position taken.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { z } from 'zod';
import { failure } from '../../errors';
import type { Side } from '../errors';
import {
  endingSql,
  enteringSql,
  foreignSql,
  mayNotEnd,
  namesOf,
  preparedSql,
  stillPrepared,
  writersSql,
} from './sessions';
import {
  countersSql,
  describe,
  difference,
  silenceBroken,
  statisticsDelayMs,
  type Presence,
  type WriteCounters,
} from './silence';

/** From here on nothing can be written by anybody who was there before. */
export interface Quiet {
  endedSessions: number;
  /** Among them were some that no fence keeps out: whoever had them may be back in a moment. */
  mayComeBack: boolean;
  /** Of the WAL, read when the last session and the last open transaction were gone. */
  lsn: string;
  /** Of the same moment; undefined on servers whose statistics come too late to be of use. */
  counters?: WriteCounters;
}

const pollMs = 2;
const sessionsWaitMs = 5_000;
/** What stays that long is not on its way out. */
const stuckAfterMs = 1_000;
/** For what cannot be ended from outside: prepared transactions, programs inside the server. */
const othersWaitMs = 2_000;

const sessionSchema = z.object({
  pid: z.string(),
  description: z.string(),
  superuser: z.enum(['true', 'false']).optional(),
});
const lookSchema = z.tuple([
  z.object({ rows: z.array(z.object({ key: z.string() })) }),
  z.object({ rows: z.array(sessionSchema) }),
  z.object({ rows: z.array(sessionSchema) }),
  z.object({ rows: z.array(z.object({ gid: z.string(), owner: z.string(), since: z.string() })) }),
]);
const positionSchema = z.tuple([
  z.object({ rows: z.tuple([z.object({ rows: z.string(), definitions: z.string() })]) }),
  z.object({ rows: z.tuple([z.object({ lsn: z.string(), version: z.string() })]) }),
]);

/** Several statements in one round trip and one transaction; PostgreSQL runs them in their order. */
async function inOneTrip<Schema extends z.ZodType>(
  session: Client,
  schema: Schema,
  statements: string[],
): Promise<z.output<Schema>> {
  const results: unknown = await session.query(statements.join(';\n'));
  return schema.parse(results);
}

/**
 * Ends everybody else's sessions and waits until nobody is in, on the way in, or has anything open or prepared; then takes the position.
 * For a door that is closed already.
 * @throws NotReadyYet (retryable) for sessions that do not end; PreconditionFailed for prepared transactions; VerificationMismatch for who comes back or writes from inside the server; AuthDenied
 */
export async function makeQuiet(
  session: Client,
  { side, database, signal }: { side: Side; database: string; signal: AbortSignal },
): Promise<Quiet> {
  const started = performance.now();
  const seenAt = new Map<string, number>();
  let mayComeBack = false;
  let entering: Set<string> | undefined;
  for (;;) {
    const [onTheWay, { rows: sessions }, { rows: writers }, { rows: prepared }] = await inOneTrip(session, lookSchema, [
      enteringSql,
      endingSql,
      writersSql,
      preparedSql,
    ]).catch((error: unknown) => mayNotEnd(error, side));
    const keys = onTheWay.rows.map(({ key }) => key);
    // Who begins to come in after the first look meets a closed door.
    entering = new Set(entering === undefined ? keys : keys.filter((key) => entering?.has(key)));
    const now = performance.now();
    for (const { pid } of sessions) if (!seenAt.has(pid)) seenAt.set(pid, now);
    mayComeBack ||= sessions.some(({ superuser }) => superuser === 'true');
    if (entering.size + sessions.length + writers.length + prepared.length === 0) break;
    const ms = now - started;
    if (ms > othersWaitMs && sessions.length + entering.size === 0) {
      if (prepared.length > 0) throw stillPrepared(prepared, side);
      throw silenceBroken(database, side, describe({ sessions, writers, prepared: [] }));
    }
    if (ms > sessionsWaitMs) {
      const stuck = sessions.filter(({ pid }) => now - (seenAt.get(pid) ?? now) > stuckAfterMs);
      if (stuck.length === 0 && sessions.length > 0) {
        throw silenceBroken(database, side, describe({ sessions, writers, prepared: [] }));
      }
      throw failure(
        'NotReadyYet',
        `${stuck.length + entering.size} sessions on the ${side} have not ended after ${sessionsWaitMs} ms: ${namesOf(stuck) || 'still starting, see pg_locks'}. It is tried again by itself; end them by hand when that lasts.`,
      );
    }
    signal.throwIfAborted();
    await sleep(pollMs, undefined, { signal });
  }
  const [{ rows: counted }, { rows: position }] = await inOneTrip(session, positionSchema, [
    countersSql,
    `select pg_current_wal_insert_lsn()::text as lsn, current_setting('server_version_num') as version`,
  ]);
  const [{ lsn, version }] = position;
  return {
    endedSessions: seenAt.size,
    mayComeBack,
    lsn,
    ...(statisticsDelayMs(Number(version)) === 0 && {
      counters: { ...counted[0], measuredAt: new Date().toISOString() },
    }),
  };
}

/**
 * The second look, after the other side has everything: who has come in, and whether anything was written since the first.
 * @returns one line for each breach; empty when it was silent all the while
 */
export async function breachesSince(session: Client, { counters }: Quiet): Promise<string[]> {
  const [, { rows: sessions }, { rows: writers }, { rows: prepared }] = await inOneTrip(session, lookSchema, [
    enteringSql,
    foreignSql,
    writersSql,
    preparedSql,
  ]);
  const presence: Presence = { sessions, writers, prepared: prepared.map(({ gid }) => gid) };
  if (!counters) return describe(presence);
  const { rows } = await session.query<Pick<WriteCounters, 'rows' | 'definitions'>>(countersSql);
  const changed = difference(counters, { ...counters, ...rows[0] });
  if (changed.rows === 0n && changed.definitions === 0n) return describe(presence);
  return [
    ...describe(presence),
    `${changed.rows} rows and ${changed.definitions} catalogue rows changed since ${counters.measuredAt}`,
  ];
}
