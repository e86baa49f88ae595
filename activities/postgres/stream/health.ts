// How the streams of a leg do: lag, errors, and whatever would keep a cutover from beginning. The proof of following is a marker that
// passes; distances in bytes are for people.
import type { Replication, StreamRecord } from '../../../journal/types';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import type { LegInput } from './subscription';

export interface StreamHealth {
  streams: StreamRecord[];
  /** From the commit of a marker until it was seen on the other side. */
  lagMs: number;
  /** Of the stream that is furthest behind. */
  lagBytes: number;
  /** WAL that our slots hold back on the writing server. */
  retainedWalBytes: number;
}

/** What heartbeats of `awaitCaughtUp` show. */
export interface CatchUpProgress {
  lagBytes: number;
  bytesPerSecond?: number;
  etaMs?: number;
}

/** What the guardian says is added by the workflow. */
export type Observation = Omit<Replication, 'guardian'>;

export function createHealthActivities(_dependencies: PostgresDependencies) {
  return {
    /**
     * Waits until a marker passes every stream of the leg within `maxLagMs`; long, shows lag, rate and what is left in heartbeats.
     * @throws StreamLost when a slot is gone or invalid; TargetConflict when changes cannot be applied, again and again;
     *   SourceUnavailable, TargetUnavailable (retryable)
     */
    async awaitCaughtUp(_input: LegInput & { maxLagMs: number }): Promise<StreamHealth> {
      throw new Error('not yet');
    },

    /**
     * One look at everything a cutover needs of the streams; `problems` is empty exactly when one may begin. Changes nothing but markers.
     * With `fingerprints` both schemas are compared with them; with `until` a lag above it is a problem.
     */
    async observeStreams(
      _input: LegInput & {
        fingerprints?: { source: ArtifactReference; target: ArtifactReference };
        until?: { maxLagMs: number };
      },
    ): Promise<Observation> {
      throw new Error('not yet');
    },
  };
}
