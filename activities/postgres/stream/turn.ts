// The turn of the streams within a hand-over: the old way stops, the way back is made and seen to stream, all while nobody writes.
// Each statement leaves a state from which the same call, or `turnBack`, goes on.
import type { PostgresDependencies } from '../../dependencies';
import type { Part } from './freeze';
import type { LegInput } from './subscription';

export function createTurnActivities(_dependencies: PostgresDependencies) {
  return {
    /**
     * Before the outage: a small stream of its own in the direction of the next leg, seen to pass a marker and removed again.
     * @throws PreconditionFailed, AuthDenied naming what the way back would fail on; SourceUnavailable, TargetUnavailable, NotReadyYet (retryable)
     */
    async rehearseTurn(_input: LegInput): Promise<{ ms: number; evidence: string[] }> {
      throw new Error('not yet');
    },

    /**
     * Under the fence of both sides: ends the leg's following and has the side that wrote follow the other one by the next leg's stream.
     * @throws SourceUnavailable, TargetUnavailable, NotReadyYet (retryable); PreconditionFailed; AuthDenied
     */
    async turnStreams(_input: LegInput): Promise<{ parts: Part[] }> {
      throw new Error('not yet');
    },

    /** Undoes `turnStreams`, however far it came: slot and subscription of the next leg are gone, the leg streams again. Its publication stays. */
    async turnBack(_input: LegInput): Promise<Record<string, never>> {
      throw new Error('not yet');
    },

    /** After the switch: subscriptions, slots, publications and marker tables of the leg are gone on both sides. Names what was there. */
    async dropLeg(_input: LegInput): Promise<{ dropped: string[] }> {
      throw new Error('not yet');
    },
  };
}
