// Both servers at once, for work that an application waits for: opening a session takes longer than most of what is done in it.
// Unlike `withSides`, each session has the name and the settings that its work needs, and one is known as the writing side's.
import type { Client } from 'pg';
import type { PostgresConnections, SessionOptions } from '../connection';
import type { PostgresScope } from '../scope';
import { otherSide, writingSide, type Leg, type WritingSide } from './names';
import type { Parts } from './parts';
import { rememberSide, sidedFailure } from './sides';

/** A session on each side, the one that writes in a leg and the one that follows. */
export interface BothSides {
  writing: Client;
  following: Client;
}

export interface BothSidesOptions extends Omit<SessionOptions, 'side' | 'purpose'> {
  /** What is done, for people who read why it failed: "Carrying sequences". */
  doing: string;
  /** Names of the sessions; one for both, or one each. */
  purpose: string | { writing: string; following: string };
  /** Told how long opening took. */
  parts: Parts;
}

/** The sessions are opened at the same time and ended together. Driver errors come out as failures of the closed set, told of their side. */
export async function withBothSides<Result>(
  connections: PostgresConnections,
  { scope, leg }: { scope: PostgresScope; leg: Leg },
  options: BothSidesOptions,
  work: (sides: BothSides) => Promise<Result>,
): Promise<Result> {
  const { doing, purpose, parts, ...rest } = options;
  const open = async (side: WritingSide, name: string): Promise<Client> => {
    const client = await connections.open(scope[side], { ...rest, side, purpose: name, ahead: true });
    rememberSide(client, side);
    return client;
  };
  const names = typeof purpose === 'string' ? { writing: purpose, following: purpose } : purpose;
  const from = writingSide(leg);
  const [writing, following] = await parts.time('connect', () =>
    Promise.allSettled([open(from, names.writing), open(otherSide(from), names.following)]),
  );
  try {
    if (writing.status === 'rejected') throw writing.reason;
    if (following.status === 'rejected') throw following.reason;
    return await work({ writing: writing.value, following: following.value });
  } catch (error) {
    options.signal?.throwIfAborted();
    throw sidedFailure(error, doing);
  } finally {
    await Promise.all([ended(writing), ended(following)]);
  }
}

async function ended(opened: PromiseSettledResult<Client>): Promise<void> {
  if (opened.status === 'fulfilled') await opened.value.end().catch(() => undefined);
}
