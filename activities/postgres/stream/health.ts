// How the streams of a leg do: lag, errors, and whatever would keep a cutover from beginning. The proof of following is a marker that
// passes; distances in bytes are for people.
import type { Replication } from '../../../journal/types';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import { withHeartbeat } from '../../heartbeat';
import { fingerprintLines } from '../ddl/fingerprint';
import { catchUp, type CatchUpProgress } from './catch-up';
import { legStream, otherSide, writingSide } from './names';
import { followerProblems, hindrances, schemaProblems, seeStreams } from './observe';
import { withSides } from './sides';
import { recordOf, retainedBy, type StreamHealth } from './stream-look';
import { streamsOf } from './streams-of';
import type { LegInput } from './subscription';

export type { CatchUpProgress } from './catch-up';
export type { StreamHealth } from './stream-look';

/** What the guardian says is added by the workflow. */
export type Observation = Omit<Replication, 'guardian'>;

/** For a marker, where nothing else is asked for. */
const markerTimeoutMs = 10_000;
const streamsListed = 20;

export function createHealthActivities({ connections, artifacts }: PostgresDependencies) {
  return {
    /**
     * Waits until a marker passes every stream of the leg within `maxLagMs`; long, shows lag, rate and what is left in heartbeats.
     * @throws StreamLost when a slot is gone or invalid; TargetConflict when a change cannot be applied, again and again;
     *   PreconditionFailed for a subscription that is stopped or does not stream; SourceUnavailable, TargetUnavailable (retryable)
     */
    awaitCaughtUp: ({ scope, leg, maxLagMs }: LegInput & { maxLagMs: number }): Promise<StreamHealth> =>
      withHeartbeat<CatchUpProgress, StreamHealth>({ lagBytes: 0 }, (beat) =>
        withSides(connections, scope, 'catching up', beat.signal, async (sides) =>
          catchUp(sides, await streamsOf(sides.target, scope, leg), maxLagMs, beat),
        ),
      ),

    /**
     * One look at everything a cutover needs of the streams; `problems` is empty exactly when one may begin. Changes nothing but markers.
     * With `fingerprints` both schemas are compared with them; with `until` a marker that takes longer is a problem.
     * @throws SourceUnavailable, TargetUnavailable (retryable)
     */
    observeStreams: ({
      scope,
      leg,
      fingerprints,
      until,
    }: LegInput & {
      fingerprints?: { source: ArtifactReference; target: ArtifactReference };
      until?: { maxLagMs: number };
    }): Promise<Observation> =>
      withHeartbeat('looking at the streams', ({ signal }) =>
        withSides(connections, scope, 'look at the streams', signal, async (sides) => {
          const from = writingSide(leg);
          const to = otherSide(from);
          const streams = await streamsOf(sides.target, scope, leg);
          const { looks, lagMs, problems } = await seeStreams(
            sides,
            streams,
            until?.maxLagMs ?? markerTimeoutMs,
            signal,
          );
          problems.push(...(await followerProblems(sides[to], scope, to)));
          problems.push(...(await hindrances(sides, legStream(scope.migration, leg))));
          for (const side of ['source', 'target'] as const) {
            const reference = fingerprints?.[side];
            if (reference)
              problems.push(
                ...(await schemaProblems(sides[side], fingerprintLines(await artifacts.read(reference)), side)),
              );
          }
          return {
            direction: from === 'source' ? 'forward' : 'backward',
            leg,
            streams: looks.slice(0, streamsListed).map(recordOf),
            retainedWalBytes: retainedBy(looks),
            problems,
            measuredAt: new Date().toISOString(),
            ...(lagMs === undefined ? {} : { lagMs }),
          };
        }),
      ),
  };
}
