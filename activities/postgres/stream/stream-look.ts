// One look at the streams of a leg from both servers: slots on the writing side, subscriptions on the following one, put together.
import type { StreamRecord } from '../../../journal/types';
import type { Stream } from './names';
import type { Sides } from './sides';
import { readSlots, slotLoss, type Slot } from './slot';
import { readSubscriptions, type Subscription } from './subscription-state';

export interface StreamHealth {
  streams: StreamRecord[];
  /** From the commit of a marker until it was seen on the other side. */
  lagMs: number;
  /** Of the stream that is furthest behind. */
  lagBytes: number;
  /** WAL that our slots hold back on the writing server. */
  retainedWalBytes: number;
}

/** A stream as both servers show it. */
export interface StreamLook {
  stream: Stream;
  slot?: Slot;
  subscription?: Subscription;
}

/** Behind this a stream is said to catch up; for people. */
const behindBytes = 16 * 1024 * 1024;

export async function lookAtStreams(sides: Sides, streams: Stream[]): Promise<StreamLook[]> {
  const [first] = streams;
  if (!first) return [];
  const names = streams.map(({ name }) => name);
  const [slots, subscriptions] = await Promise.all([
    readSlots(sides[first.from], names),
    readSubscriptions(sides[first.to], names),
  ]);
  return streams.map((stream) => ({
    stream,
    slot: slots.get(stream.name),
    subscription: subscriptions.get(stream.name),
  }));
}

/** Why a stream cannot go on by itself; undefined when it can. */
export function lossOf({ stream: { name, from }, slot }: StreamLook): string | undefined {
  return slotLoss(slot, name, from);
}

export function recordOf(look: StreamLook): StreamRecord {
  const { stream, slot, subscription } = look;
  return {
    name: stream.name,
    from: stream.from,
    // The marker is none of the user's.
    tables: Math.max(0, (subscription?.tables ?? 0) - 1),
    state: stateOf(look),
    errors: subscription?.errors ?? 0,
    ...(slot && { lagBytes: slot.lagBytes }),
  };
}

function stateOf(look: StreamLook): StreamRecord['state'] {
  const { slot, subscription } = look;
  if (!slot || lossOf(look) !== undefined) return 'broken';
  if (!subscription) return 'preparing';
  if (!subscription.enabled) return 'stopped';
  if (slot.activePid === undefined) return 'broken';
  return slot.lagBytes > behindBytes ? 'catching-up' : 'streaming';
}

export function furthestBehind(looks: StreamLook[]): number {
  return Math.max(0, ...looks.map(({ slot }) => slot?.lagBytes ?? 0));
}

export function retainedBy(looks: StreamLook[]): number {
  return Math.max(0, ...looks.map(({ slot }) => slot?.retainedBytes ?? 0));
}
