// The way a side follows: a subscription that starts from a slot which is there already and copies nothing. Made disabled, all of a leg,
// then enabled at once, then seen to hold their slots on the other side.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, ClientBase } from 'pg';
import type { PostgresDependencies } from '../../dependencies';
import { failure } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import type { PostgresConnections } from '../connection';
import type { PostgresScope } from '../scope';
import { linkOf } from './connection-string';
import { bringConnection, keepQuiet, makeSubscription, reconnectSubscription } from './create-subscription';
import { ensureMarker } from './marker';
import type { Leg, Stream } from './names';
import { withSides, type Sides } from './sides';
import { readSlots, slotLoss } from './slot';
import { streamsOf } from './streams-of';
import { dropSubscription, enableSubscriptions, readSubscriptions } from './subscription-state';

export interface LegInput {
  scope: PostgresScope;
  leg: Leg;
}

const startsWithinMs = 20_000;

export function createSubscriptionActivities({ connections }: PostgresDependencies) {
  return {
    /**
     * Subscribes the following side to every stream of the leg whose slot is there; enabled, and seen to stream.
     * Subscriptions that are there already are enabled. Gives the names of the streams.
     * @throws StreamLost when a slot is gone or invalid; AuthDenied; PreconditionFailed; SourceUnavailable, TargetUnavailable, NotReadyYet (retryable)
     */
    subscribe: ({ scope, leg }: LegInput): Promise<{ streams: string[] }> =>
      withHeartbeat('subscribing', ({ signal }) =>
        withSides(connections, scope, 'subscribe', signal, async (sides) => {
          const streams = await streamsOf(sides.target, scope, leg);
          await requireSlots(sides, streams);
          for (const stream of streams) {
            await ensureMarker(sides[stream.to], stream);
            await subscribeTo(connections, scope, sides[stream.to], stream, leg);
          }
          await startSubscriptions(sides, streams, signal);
          return { streams: streams.map(({ name }) => name) };
        }),
      ),
  };
}

/** @throws StreamLost when the slot of any stream is gone or invalid */
export async function requireSlots(sides: Sides, streams: Stream[]): Promise<void> {
  const [first] = streams;
  if (!first) return;
  const slots = await readSlots(
    sides[first.from],
    streams.map(({ name }) => name),
  );
  for (const { name, from } of streams) {
    const loss = slotLoss(slots.get(name), name, from);
    if (loss !== undefined) {
      throw failure(
        'StreamLost',
        `Nothing can follow the stream ${name} any more: ${loss}. Roll the migration back and start it again; what was written since is not lost on the ${from}.`,
      );
    }
  }
}

/** Makes the subscription of one stream, not enabled, or gives the one that is there its connection anew. */
export async function subscribeTo(
  connections: PostgresConnections,
  scope: PostgresScope,
  following: Client,
  stream: Stream,
  leg: Leg,
): Promise<void> {
  const link = await linkOf(connections, scope, stream);
  const subscriber = await keepQuiet(following);
  await bringConnection(following, link);
  const there = (await readSubscriptions(following, [stream.name])).get(stream.name);
  if (there && there.slot === stream.name) return reconnectSubscription(following, stream, link);
  // Left by a removal that was interrupted.
  if (there) await dropSubscription(following, stream.name, stream.to);
  return makeSubscription(following, stream, subscriber, originOf(leg), link);
}

/**
 * On the first leg nothing leads back, so nothing can go round; a source that itself follows somebody must not lose those changes.
 * Later legs take only what was written on the writing side itself.
 */
function originOf(leg: Leg): 'any' | 'none' {
  return leg === 0 ? 'any' : 'none';
}

/** Enables the subscriptions and waits until each holds its slot. @throws NotReadyYet (retryable) with what to look at */
export async function startSubscriptions(sides: Sides, streams: Stream[], signal?: AbortSignal): Promise<void> {
  const [first] = streams;
  if (!first) return;
  const names = streams.map(({ name }) => name);
  const [following, writing] = [sides[first.to], sides[first.from]];
  const there = await readSubscriptions(following, names);
  await enableSubscriptions(
    following,
    names.filter((name) => there.get(name)?.enabled === false),
  );
  const deadline = Date.now() + startsWithinMs;
  for (;;) {
    const slots = await readSlots(writing, names);
    const waiting = names.filter((name) => slots.get(name)?.activePid === undefined);
    if (waiting.length === 0) return;
    signal?.throwIfAborted();
    if (Date.now() > deadline) {
      throw failure(
        'NotReadyYet',
        `The ${first.to} does not stream ${waiting.join(', ')} after ${startsWithinMs / 1_000} s: ${await whyNotStarted(following, waiting, first)}. It is tried again by itself.`,
      );
    }
    await sleep(20, undefined, { signal });
  }
}

/** The best guess from outside: only the server's log tells for certain. */
export async function whyNotStarted(following: ClientBase, names: string[], { from, to }: Stream): Promise<string> {
  const there = await readSubscriptions(following, names);
  const { rows } = await following.query<{ limit: string; used: string }>(
    `select current_setting('max_logical_replication_workers') as "limit", (select count(*) from pg_stat_subscription where pid is not null) as used`,
  );
  const { limit = '0', used = '0' } = rows[0] ?? {};
  if (Number(used) >= Number(limit)) {
    return `all ${limit} logical replication workers of the ${to} are taken; raise max_logical_replication_workers (and max_worker_processes) there`;
  }
  const failing = names.filter((name) => there.get(name)?.workerPid === undefined);
  return failing.length > 0
    ? `no worker stays up for ${failing.join(', ')}; the log of the ${to} says why (it may not reach the ${from}, or be refused there)`
    : `its workers run but have not taken their slots; look at the logs of both servers (the ${from} may be out of WAL senders: max_wal_senders)`;
}
