// The freeze of one hand-over: fence on the writing side, proof that nobody writes, then a marker through every stream.
// Order is the promise: nothing is open and nobody can come in before the position is taken and the marker is written; and a second look
// after the other side has everything sees who came in all the same. A second call finds the fence up and proves it all again.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import { failure } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import { fingerprintLines, schemaChanges } from '../ddl/fingerprint';
import type { FormerAccess } from '../fence';
import { closeDoor, requireOurs, type FenceOwner } from '../fence/door';
import { barrierStands, readAccess } from '../fence/former';
import { breachesSince, makeQuiet, type Quiet } from '../fence/quiet';
import { findHoles, raisingPurpose } from '../fence/sessions';
import { doorText, silenceBroken } from '../fence/silence';
import type { PostgresScope } from '../scope';
import { withBothSides } from './both-sides';
import { passMarker } from './marker';
import { otherSide, writingSide, type Leg, type Stream } from './names';
import { Parts, type Part } from './parts';
import { requireReadyToFreeze } from './ready-to-freeze';
import { streamsOf } from './streams-of';

export type { Part } from './parts';

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

export interface FreezeInput {
  scope: PostgresScope;
  leg: Leg;
  /** How the writing side was entered before its fence, from `inspectAccess`. */
  former: FormerAccess;
  fingerprints?: { source: ArtifactReference; target: ArtifactReference };
}

/** As long as the fence may be waited for; the marker may take what is left of the outage. */
const settings = { statement_timeout: '30s', lock_timeout: '5s' };
const drainTimeoutMs = 50_000;
/** One for the fence; three for what is carried, compared and turned at once; on the following side one more to open it. */
const sessionsOfAHandOver = { writing: 4, following: 5 };
/** A program whose session was ended connects again within this, if it does at all. */
const backWithinMs = 300;

export function createFreezeActivities({ connections, artifacts }: PostgresDependencies) {
  return {
    /**
     * Fences the writing side of a leg, ends every session of others, proves that nothing can be written any more, and waits until the other
     * side has everything that was. Prepared transactions refuse before the fence closes.
     * @throws PreconditionFailed for prepared transactions and for a fence that somebody has taken away; VerificationMismatch with who writes
     * past the fence; SchemaChanged; AuthDenied; TargetConflict for another migration's fence; NotReadyYet, SourceUnavailable,
     * TargetUnavailable (retryable)
     */
    async freezeAndDrain({ scope, leg, former, fingerprints }: FreezeInput): Promise<FrozenAndDrained> {
      const startedAt = Date.now();
      const side = writingSide(leg);
      const owner: FenceOwner = { migration: scope.migration, side };
      const parts = new Parts();
      return withHeartbeat({ fencing: side }, async ({ signal }) => {
        const reference = fingerprints?.[side];
        const schema = reference && artifacts.read(reference).then(fingerprintLines);
        // Awaited below; until then nobody listens.
        schema?.catch(() => undefined);
        const purpose = { writing: raisingPurpose, following: 'drain' };
        const options = { doing: 'The freeze', purpose, signal, settings, parts };
        return withBothSides(connections, { scope, leg }, options, async (sides) => {
          const { writing, following } = sides;
          const streams = streamsOf(side === 'target' ? writing : following, scope, leg);
          streams.catch(() => undefined);
          const { raisedAt } = await parts.time('fence', () =>
            closeDoor(writing, owner, { former, startedAt, signal }),
          );
          const quiet = await parts.time('silence', () =>
            makeQuiet(writing, { side, database: former.database, signal }),
          );
          const quietAt = performance.now();
          const through = await streams;
          const [marked, looked] = await Promise.all([
            parts.time('marker', () => passMarker(writing, following, through, { signal, timeoutMs: drainTimeoutMs })),
            // Waits in the session behind the writing of the marker, and is read while the marker is under way.
            parts.time('schema', async () => ({
              holes: await findHoles(writing, former),
              door: await doorText(writing, former),
              changes: schema ? await schemaChanges(writing, await schema) : undefined,
            })),
          ]);
          if (looked.changes && looked.changes.length > 0) throw schemaChanged(side, looked.changes);
          const drainedAt = new Date().toISOString();
          if (quiet.mayComeBack) {
            await parts.time('wait for superusers', () =>
              sleep(Math.max(0, backWithinMs - (performance.now() - quietAt)), undefined, { signal }),
            );
          }
          await parts.time('second look', () => secondLook(writing, owner, { former, quiet, holes: looked.holes }));
          return {
            raisedAt,
            drainedAt,
            endedSessions: quiet.endedSessions,
            holes: looked.holes,
            evidence: evidenceOf({
              former,
              quiet,
              apartMs: Math.round(performance.now() - quietAt),
              door: looked.door,
              streams: through,
              markerMs: marked.ms,
              schemaLooked: looked.changes !== undefined,
            }),
            parts: parts.all,
          };
        });
      });
    },

    /**
     * Looks, while the application still writes, for what would make the freeze or the carrying of sequences fail; then has sessions wait for
     * it on this worker. Changes nothing.
     * @throws PreconditionFailed for prepared transactions that stay, other subscriptions and missing sequences; AuthDenied for sessions
     * that may not be ended; SourceUnavailable, TargetUnavailable (retryable)
     */
    async prepareFreeze({ scope, leg }: { scope: PostgresScope; leg: Leg }): Promise<Record<string, never>> {
      return withHeartbeat({}, ({ signal }) => {
        const options = { doing: 'Preparing the freeze', purpose: 'prepare the freeze', signal, parts: new Parts() };
        return withBothSides(connections, { scope, leg }, options, async (sides) => {
          await requireReadyToFreeze(sides, { scope, leg }, signal);
          const from = writingSide(leg);
          await Promise.all([
            connections.openAhead(scope[from], from, sessionsOfAHandOver.writing),
            connections.openAhead(scope[otherSide(from)], otherSide(from), sessionsOfAHandOver.following),
          ]);
          return {};
        });
      });
    },
  };
}

export type FreezeActivities = ReturnType<typeof createFreezeActivities>;

/** @throws PreconditionFailed when the fence is no longer up; VerificationMismatch with who came in or what was written */
async function secondLook(
  session: Client,
  owner: FenceOwner,
  { former, quiet, holes }: { former: FormerAccess; quiet: Quiet; holes: string[] },
): Promise<void> {
  const broken = [
    ...(await breachesSince(session, quiet)),
    ...holes.filter((hole) => hole.startsWith('subscription ')),
  ];
  const { now, mark } = await readAccess(session, owner.side);
  if (!requireOurs(mark, owner) || !barrierStands(now, former)) {
    throw failure(
      'PreconditionFailed',
      `The fence on ${former.database} of the ${owner.side} is not up any more: somebody has taken it away while it was proved. Start the cutover again.`,
    );
  }
  if (broken.length > 0) throw silenceBroken(former.database, owner.side, broken);
}

function schemaChanged(side: string, changes: string[]): Error {
  return failure(
    'SchemaChanged',
    `The schema of the ${side} is not the one that the other side was made from, and streams carry no change of it: ${changes.join('; ')}. Take it back and retry; if it has to stay, roll back and begin anew with it on both sides.`,
  );
}

function evidenceOf(seen: {
  former: FormerAccess;
  quiet: Quiet;
  apartMs: number;
  door: string;
  streams: Stream[];
  markerMs: number;
  schemaLooked: boolean;
}): string[] {
  const { former, quiet, apartMs, door, streams, markerMs, schemaLooked } = seen;
  return [
    `no session of anybody else on ${former.database}, no open writing transaction and no prepared one, in two looks ${apartMs} ms apart`,
    quiet.counters
      ? 'no row and no definition changed between the looks'
      : 'rows changed between the looks: not looked at, this version shows its statistics too late',
    door,
    ...(quiet.mayComeBack
      ? [`sessions of superusers were ended, whom no fence keeps out: none was back after ${backWithinMs} ms`]
      : []),
    `position ${quiet.lsn} when the last session was gone; a marker written after it was seen on the other side through ${streams.length} streams in ${markerMs} ms`,
    ...(schemaLooked ? ['the schema is the one that was noted when streaming began'] : []),
  ];
}
