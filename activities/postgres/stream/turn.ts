// The turn of the streams within a hand-over: the old way stops, the way back is made and seen to stream, all while nobody writes.
// The order keeps changes from going round in a circle on every version: the leg is stopped before the next leg's slot is made, and
// going back drops that slot before the leg streams again. Each statement leaves a state from which the same call, or `turnBack`, goes on.
import type { Client } from 'pg';
import type { PostgresDependencies } from '../../dependencies';
import { failure, failureType } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import type { PostgresConnections } from '../connection';
import { requireFence } from '../fence/door';
import type { PostgresScope } from '../scope';
import { passMarker } from './marker';
import { legStream, migrationKey, otherSide, writingSide, type Leg, type Stream } from './names';
import { dropObjects, legObjects } from './objects';
import { Parts, type Part } from './parts';
import { rehearse } from './rehearsal';
import { endFormerAttempts, withSides, type Sides } from './sides';
import { dropSlot, freeSlots, makeSlot, readSlots, slotLoss } from './slot';
import { streamsOf } from './streams-of';
import { subscribeTo, whyNotStarted, type LegInput } from './subscription';
import { dropSubscription, enableSubscriptions, readSubscriptions, stopSubscriptions } from './subscription-state';

const streamsWithinMs = 20_000;
const turning = 'turn of the streams';
const turningBack = 'turn back';

export function createTurnActivities({ connections }: PostgresDependencies) {
  return {
    /**
     * Before the outage: a small stream of its own in the direction of the next leg, seen to pass a marker and removed again.
     * @throws PreconditionFailed, AuthDenied naming what the way back would fail on; SourceUnavailable, TargetUnavailable, NotReadyYet (retryable)
     */
    rehearseTurn: ({ scope, leg }: LegInput): Promise<{ ms: number; evidence: string[] }> =>
      withHeartbeat('rehearsing the turn', ({ signal }) =>
        withSides(connections, scope, 'rehearsal of the turn', signal, (sides) =>
          rehearse(connections, scope, leg, sides, signal),
        ),
      ),

    /**
     * Under the fence of both sides: ends the leg's following and has the side that wrote follow the other one by the next leg's stream.
     * @throws PreconditionFailed when a side is not fenced; SourceUnavailable, TargetUnavailable, NotReadyYet (retryable); PreconditionFailed; AuthDenied
     */
    turnStreams: ({ scope, leg }: LegInput): Promise<{ parts: Part[] }> =>
      withHeartbeat('turning the streams', async ({ signal }) => {
        const parts = new Parts();
        await withSides(
          connections,
          scope,
          turning,
          signal,
          (sides) => turn(connections, scope, leg, sides, parts, signal),
          parts,
        );
        return { parts: parts.all };
      }),

    /** Undoes `turnStreams`, however far it came: slot and subscription of the next leg are gone, the leg streams again. Its publication stays. */
    turnBack: ({ scope, leg }: LegInput): Promise<Record<string, never>> =>
      withHeartbeat('turning the streams back', ({ signal }) =>
        withSides(connections, scope, turningBack, signal, async (sides) => {
          await endTurns(sides, scope, signal);
          const next = legStream(scope.migration, leg + 1);
          // Open, it was handed over to since: what leads back from it is in use.
          await requireFence(sides[next.from], { migration: scope.migration, side: next.from });
          await dropSubscription(sides[next.to], next.name, next.to, signal);
          await dropSlot(sides[next.from], next.name, next.from, signal);
          const streams = namesOf(await streamsOf(sides.target, scope, leg));
          const following = sides[otherSide(writingSide(leg))];
          const there = [...(await readSubscriptions(following, streams)).values()];
          const stopped = there.filter(({ enabled }) => !enabled).map(({ name }) => name);
          // A walsender that has not noticed yet would cost its worker five seconds until the next try.
          if (stopped.length > 0) await freeSlots(sides[writingSide(leg)], stopped, signal);
          // That it streams is seen when people look for the next chance; here the application waits.
          await enableSubscriptions(following, stopped);
          return {};
        }),
      ),

    /** After the switch: subscriptions, slots, publications and marker tables of the leg are gone on both sides. Names what was there. */
    dropLeg: ({ scope, leg }: LegInput): Promise<{ dropped: string[] }> =>
      withHeartbeat(`dropping leg ${leg}`, ({ signal }) =>
        withSides(connections, scope, 'removal of a leg', signal, async (sides) => {
          const { removed, left } = await dropObjects(sides, legObjects(scope.migration, leg), signal);
          if (left.length === 0) return { dropped: removed };
          throw failure(
            'NotReadyYet',
            `Of leg ${leg} there is still ${left.join('; ')}. It is tried again by itself; remove it by hand when that lasts.`,
          );
        }),
      ),
  };
}

/** What a killed attempt had begun on a server must not come true after this one has looked. */
async function endTurns({ source, target }: Sides, { migration }: PostgresScope, signal: AbortSignal): Promise<void> {
  const key = migrationKey(migration);
  await Promise.all([
    endFormerAttempts(source, 'source', key, [turning, turningBack], signal),
    endFormerAttempts(target, 'target', key, [turning, turningBack], signal),
  ]);
}

async function turn(
  connections: PostgresConnections,
  scope: PostgresScope,
  leg: Leg,
  sides: Sides,
  parts: Parts,
  signal: AbortSignal,
): Promise<void> {
  const next = legStream(scope.migration, leg + 1);
  const [gains, loses] = [sides[next.from], sides[next.to]];
  await endTurns(sides, scope, signal);
  // An attempt that was given up and wakes when somebody writes again must not stop what they follow by.
  await Promise.all([
    requireFence(gains, { migration: scope.migration, side: next.from }),
    requireFence(loses, { migration: scope.migration, side: next.to }),
  ]);
  const [streams] = await Promise.all([streamsOf(sides.target, scope, leg), requirePublication(gains, next)]);
  await forgetUnsafe(sides, next, namesOf(streams), signal);
  // Not enabled, it takes nothing; so it is made while the other server makes its slot.
  const subscribing = subscribeTo(connections, scope, loses, next, leg + 1);
  // Awaited below; until then nobody listens.
  subscribing.catch(() => undefined);
  try {
    await parts.time('former stream stopped', () => stopSubscriptions(gains, namesOf(streams), next.from, signal));
    await parts.time('slot of the way back', () => makeSlot(gains, next, signal));
  } finally {
    // Whoever undoes this must not find it still being made.
    await parts.time('subscription of the way back', () => subscribing.catch(() => undefined));
  }
  await subscribing;
  await parts.time('way back seen to stream', async () => {
    await enableSubscriptions(loses, [next.name]);
    // The marker commits durably, and with it all that workers have applied before: they commit without waiting for the disk.
    await passMarker(gains, loses, [next], { signal, timeoutMs: streamsWithinMs }).catch(async (error: unknown) => {
      if (failureType(error) !== 'NotReadyYet') throw error;
      throw failure(
        'NotReadyYet',
        `The way back does not stream after ${streamsWithinMs / 1_000} s: ${await whyNotStarted(loses, [next.name], next)}. It is tried again by itself.`,
      );
    });
  });
}

async function requirePublication(gains: Client, { name, from }: Stream): Promise<void> {
  const { rowCount } = await gains.query('select from pg_publication where pubname = $1', [name]);
  if (rowCount !== 0) return;
  throw failure(
    'PreconditionFailed',
    `The publication ${name} is not there on the ${from}: the way back was not prepared, or somebody has dropped it. Let the cutover be given up, and retry.`,
  );
}

/**
 * A slot that was made while the leg still streamed would send the leg's own changes back; one that is lost sends nothing. Left by an
 * attempt that was given up half-way, and removed with its subscription.
 */
async function forgetUnsafe(sides: Sides, next: Stream, following: string[], signal: AbortSignal): Promise<void> {
  const gains = sides[next.from];
  const slot = (await readSlots(gains, [next.name])).get(next.name);
  if (!slot) return;
  const streaming = [...(await readSubscriptions(gains, following)).values()].some(({ enabled }) => enabled);
  if (!streaming && slotLoss(slot, next.name, next.from) === undefined) return;
  await dropSubscription(sides[next.to], next.name, next.to, signal);
  await dropSlot(gains, next.name, next.from, signal);
}

const namesOf = (streams: Stream[]): string[] => streams.map(({ name }) => name);
