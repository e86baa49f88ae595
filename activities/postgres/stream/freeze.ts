// The freeze of one hand-over: fence on the writing side, proof that nobody writes, then a marker through every stream.
// Order is the promise: nothing is open and nobody can come in before the position is taken and the marker is written.
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import type { FormerAccess } from '../fence';
import type { PostgresScope } from '../scope';
import type { Leg } from './names';

/** Where the time of an activity in the outage went, in order; milliseconds. */
export interface Part {
  name: string;
  ms: number;
}

export interface FrozenAndDrained {
  /** From here on nobody new comes in; ISO 8601. */
  raisedAt: string;
  /** The other side has everything; ISO 8601. */
  drainedAt: string;
  endedSessions: number;
  /** Ways in that stay open: superusers, programs inside the server. One line each. */
  holes: string[];
  evidence: string[];
  parts: Part[];
}

export function createFreezeActivities(dependencies: PostgresDependencies) {
  void dependencies;
  return {
    freezeAndDrain: async (request: {
      scope: PostgresScope;
      leg: Leg;
      former: FormerAccess;
      fingerprints?: { source: ArtifactReference; target: ArtifactReference };
    }): Promise<FrozenAndDrained> => {
      void request;
      return Promise.reject(new Error('not yet'));
    },
    prepareFreeze: async (request: { scope: PostgresScope; leg: Leg }): Promise<Record<string, never>> => {
      void request;
      return Promise.reject(new Error('not yet'));
    },
  };
}

export type FreezeActivities = ReturnType<typeof createFreezeActivities>;
