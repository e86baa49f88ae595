// The door of one database: mark, barrier and belt go up in one transaction, so that a worker killed half-way leaves either no fence
// or one that says what it is. Three round trips, since an application may be waiting.
import type { Client } from 'pg';
import { failure } from '../../errors';
import type { Side } from '../errors';
import { requireNotGivenUp } from '../given-up';
import { awaitNoPrepared } from './sessions';
import {
  barrierStands,
  loweringSql,
  raisingSql,
  readAccess,
  readMark,
  type FenceMark,
  type FormerAccess,
} from './former';

/** Whose fence, on which side. */
export interface FenceOwner {
  migration: string;
  side: Side;
}

/** Before a closing is committed: below the heartbeat timeout of its activity (10 s), before which nobody gives an attempt up and undoes its fence. */
const closeWithinMs = 9_000;
const preparedWaitMs = 2_000;

/**
 * Closes the door unless it is closed already.
 * @param startedAt of the attempt, milliseconds of the epoch: one that may have been given up since closes nothing
 * @throws PreconditionFailed for prepared transactions that stay, with nothing changed; TargetConflict for another migration's fence; NotReadyYet
 */
export async function closeDoor(
  session: Client,
  owner: FenceOwner,
  { former, startedAt, signal }: { former: FormerAccess; startedAt: number; signal: AbortSignal },
): Promise<FenceMark> {
  const there = requireOurs((await readAccess(session, owner.side)).mark, owner);
  if (there) return there;
  await awaitNoPrepared(session, owner.side, preparedWaitMs, signal);
  return serialized(session, async () => {
    const { now, mark: found } = await readAccess(session, owner.side);
    const existing = requireOurs(found, owner);
    if (existing) return existing;
    // As it is now, since the memory may be days old; shut without a mark of ours, it was taken away by halves, and the memory is right.
    const mark = {
      migration: owner.migration,
      raisedAt: await serverTime(session),
      former: barrierStands(now, former) ? former : now,
    };
    await session.query(raisingSql(mark).join(';\n'));
    // Up to the commit this session is there for `lowerFence` to end; one that begins after it is too late here.
    signal.throwIfAborted();
    requireNotGivenUp(startedAt, closeWithinMs, `The fence on the ${owner.side} was not raised`, owner.side);
    return mark;
  });
}

/** One transaction, one at a time with all others that raise or lower a fence on this database. */
export async function serialized<Result>(session: Client, work: () => Promise<Result>): Promise<Result> {
  try {
    await session.query(`begin; select pg_advisory_xact_lock(hashtextextended('cutover fence', 0))`);
    const result = await work();
    await session.query('commit');
    return result;
  } catch (error) {
    await session.query('rollback').catch(() => undefined);
    throw error;
  }
}

/** By the clock of the server, `agoMs` ago: ISO 8601. Workers' clocks may differ. */
export async function serverTime(session: Client, agoMs = 0): Promise<string> {
  const { rows } = await session.query<{ at: string }>(
    `select to_char((clock_timestamp() - $1 * interval '1 ms') at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at`,
    [agoMs],
  );
  return rows[0]?.at ?? '';
}

/** @throws TargetConflict when the mark is another migration's */
export function requireOurs(mark: FenceMark | undefined, { migration, side }: FenceOwner): FenceMark | undefined {
  if (mark && mark.migration !== migration) {
    throw failure(
      'TargetConflict',
      `The database ${mark.former.database} of the ${side} is fenced by the migration "${mark.migration}" since ${mark.raisedAt}. Let that one end, or lower its fence by hand: ${loweringSql(mark.former).join('; ')}.`,
    );
  }
  return mark;
}

/**
 * For work that is only right while a side is shut.
 * @returns since when it is
 * @throws PreconditionFailed
 */
export async function requireFence(session: Client, { migration, side }: FenceOwner): Promise<string> {
  const mark = await readMark(session);
  if (mark?.migration === migration) return mark.raisedAt;
  throw failure(
    'PreconditionFailed',
    `Nothing was carried to or from the ${side}, and no stream was turned: its fence is not up, so it may be in use. Start the cutover again.`,
  );
}
