// What no stream carries, carried under the fence: sequences, unlogged tables, large objects, materialized views. All of it may be done
// again after an attempt that was killed: nobody writes meanwhile on either side. And none of it is done where the fence is down: an attempt
// that wakes up after the switch must not put back what the application has written since.
import type { PostgresDependencies } from '../../dependencies';
import { withHeartbeat } from '../../heartbeat';
import { valueSettings } from '../copy/copy-format';
import { requireFence } from '../fence/door';
import { createLargeObjectActivities, forgetLargeObjects } from '../large-objects';
import type { PostgresScope } from '../scope';
import { carryStates } from '../sequences';
import { withBothSides } from './both-sides';
import { migrationKey, otherSide, writingSide, type Leg } from './names';
import { Parts, type Part } from './parts';
import { endFormerAttempts } from './sides';
import { copyUnloggedTables } from './unlogged';
import { refreshViews } from './views';

export interface CarryInput {
  scope: PostgresScope;
  leg: Leg;
  /** Steps that sequences are set ahead, in their own direction. */
  margin: number;
  /** Forward only: those of the source to the target. */
  largeObjects: boolean;
  refreshViews: boolean;
}

export interface CarriedUnderFence {
  sequences: number;
  /** Tables. */
  unlogged: number;
  largeObjects: number;
  parts: Part[];
}

const settings = { ...valueSettings, lock_timeout: '5s' };
const carrying = 'carry';

export function createCarryActivities(dependencies: PostgresDependencies) {
  const { connections } = dependencies;
  const largeObjects = createLargeObjectActivities(dependencies);
  return {
    /**
     * Carries, from the side that writes in this leg to the one that follows, what its streams do not: sequences, unlogged tables and what
     * the input asks for. Both sides must be fenced.
     * @throws PreconditionFailed when a fence is down, or a sequence or a table is missing; VerificationMismatch when one was not taken;
     * TargetConflict for large objects that are not ours; AuthDenied; SourceUnavailable, TargetUnavailable (retryable)
     */
    async carryUnderFence(input: CarryInput): Promise<CarriedUnderFence> {
      const { scope, leg } = input;
      const from = writingSide(leg);
      const to = otherSide(from);
      const key = migrationKey(scope.migration);
      const parts = new Parts();
      return withHeartbeat({ carrying: `${from} to ${to}` }, async ({ signal }) => {
        const options = {
          doing: 'Carrying what streams do not',
          purpose: `${carrying} ${key}`,
          signal,
          settings,
          parts,
        };
        const objects =
          input.largeObjects && from === 'source'
            ? parts.time('large objects', () => carryLargeObjects(scope, signal))
            : Promise.resolve({ objects: 0 });
        const others = withBothSides(connections, input, options, async ({ writing, following }) => {
          await endFormerAttempts(following, to, key, [carrying], signal);
          await requireFence(following, { migration: scope.migration, side: to });
          const states = await parts.time('sequences', () =>
            carryStates({ scope, side: to, from: writing, to: following, margin: BigInt(input.margin), fenced: true }),
          );
          const unlogged = await parts.time('unlogged', () =>
            copyUnloggedTables(writing, following, { scope, from, fenced: true }),
          );
          // Last: a view may be made of an unlogged table.
          if (input.refreshViews) await parts.time('views', () => refreshViews(writing, following, scope));
          return { sequences: states.length, unlogged: unlogged.tables };
        });
        await Promise.allSettled([objects, others]);
        const { sequences, unlogged } = await others;
        return { sequences, unlogged, largeObjects: (await objects).objects, parts: parts.all };
      });
    },

    /** Makes the materialized views of the following side anew from what has arrived there; for before the outage. Names the first twenty. */
    async refreshFollowingViews({ scope, leg }: { scope: PostgresScope; leg: Leg }): Promise<{
      views: number;
      refreshed: string[];
    }> {
      const doing = 'Refreshing materialized views';
      return withHeartbeat({}, ({ signal }) =>
        withBothSides(
          connections,
          { scope, leg },
          { doing, purpose: 'refresh views', signal, parts: new Parts() },
          async ({ writing, following }) => {
            const refreshed = await refreshViews(writing, following, scope);
            return { views: refreshed.length, refreshed: refreshed.slice(0, 20) };
          },
        ),
      );
    },
  };

  /** What an earlier freeze brought may have changed since its fence came down again: only what this fence guards counts as done. */
  async function carryLargeObjects(scope: PostgresScope, signal: AbortSignal): Promise<{ objects: number }> {
    const session = { purpose: 'carry large objects', signal };
    const raisedAt = await connections.withSession(scope.source, { ...session, side: 'source' }, (source) =>
      requireFence(source, { migration: scope.migration, side: 'source' }),
    );
    await connections.withSession(scope.target, { ...session, side: 'target' }, async (target) => {
      await requireFence(target, { migration: scope.migration, side: 'target' });
      await forgetLargeObjects(target, raisedAt);
    });
    return largeObjects.copyLargeObjects({ scope });
  }
}

export type CarryActivities = ReturnType<typeof createCarryActivities>;
