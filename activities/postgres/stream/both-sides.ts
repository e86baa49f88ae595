// Both servers at once, for work that an application waits for: opening a session takes longer than most of what is done in it.
import type { Client } from 'pg';
import type { PostgresConnections, SessionOptions } from '../connection';
import { postgresFailure } from '../errors';
import type { PostgresScope } from '../scope';
import type { Parts } from './parts';
import { otherSide, writingSide, type Leg, type WritingSide } from './names';

/** A session on each side, the one that writes in a leg and the one that follows. */
export interface BothSides {
  writing: Client;
  following: Client;
}

interface Purposes {
  writing: string;
  following: string;
}

/** The sessions are opened at the same time and ended together. `on` says which side a failure is of. */
export async function withBothSides<Result>(
  connections: PostgresConnections,
  { scope, leg }: { scope: PostgresScope; leg: Leg },
  options: Omit<SessionOptions, 'side' | 'purpose'> & { purposes: Purposes; parts: Parts },
  work: (sides: BothSides) => Promise<Result>,
): Promise<Result> {
  const { purposes, parts, ...rest } = options;
  const open = (side: WritingSide, purpose: string): Promise<Client> =>
    connections.open(scope[side], { ...rest, side, purpose });
  const [writing, following] = await parts.time('connect', () =>
    Promise.allSettled([
      open(writingSide(leg), purposes.writing),
      open(otherSide(writingSide(leg)), purposes.following),
    ]),
  );
  try {
    if (writing.status === 'rejected') throw writing.reason;
    if (following.status === 'rejected') throw following.reason;
    return await work({ writing: writing.value, following: following.value });
  } catch (error) {
    options.signal?.throwIfAborted();
    throw error;
  } finally {
    await Promise.all([ended(writing), ended(following)]);
  }
}

async function ended(opened: PromiseSettledResult<Client>): Promise<void> {
  if (opened.status === 'fulfilled') await opened.value.end().catch(() => undefined);
}

/** Failures of `work` as those of one side: "`doing` failed on the target". */
export async function on<Result>(side: WritingSide, doing: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw postgresFailure(error, side, doing);
  }
}
