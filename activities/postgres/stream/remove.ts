// Removes what streaming made on the two servers, whatever half of it is there and whether or not the other side can be reached.
import type { PostgresDependencies } from '../../dependencies';
import { withHeartbeat } from '../../heartbeat';
import type { PostgresScope } from '../scope';
import { allObjects, dropMarkerSchema, dropObjects, type RemovedObjects, type WhichObjects } from './objects';
import { createStreamPreparationActivities } from './prepare';
import { endFormerAttempts, openSide, sidedFailure, type Sides } from './sides';

export function createRemovalActivities(dependencies: PostgresDependencies) {
  const { connections } = dependencies;
  const preparation = createStreamPreparationActivities(dependencies);

  return {
    /**
     * Removes every stream of the migration on both sides, its event trigger and its marker tables, and puts replica identities back.
     * `left` names what could not be removed, and why.
     * @throws SourceUnavailable, TargetUnavailable (retryable), after the other side has been cleaned
     */
    removeStreams: ({ scope }: { scope: PostgresScope }): Promise<RemovedObjects> =>
      withHeartbeat('removing the streams', async ({ signal }) => {
        const [source, target] = await Promise.allSettled([
          openSide(connections, scope, 'source', 'removal of streams', signal),
          openSide(connections, scope, 'target', 'removal of streams', signal),
        ]);
        const sides: Partial<Sides> = {
          ...(source.status === 'fulfilled' && { source: source.value }),
          ...(target.status === 'fulfilled' && { target: target.value }),
        };
        let gone: RemovedObjects;
        try {
          gone = await removeStreamObjects(sides, allObjects(scope.migration), signal);
        } catch (error) {
          signal.throwIfAborted();
          throw sidedFailure(error, 'removal of streams');
        } finally {
          await Promise.allSettled([sides.source?.end(), sides.target?.end()]);
        }
        if (source.status === 'rejected') throw source.reason;
        if (target.status === 'rejected') throw target.reason;
        // A table that is still published needs the identity that it was given: the application's updates would fail.
        if (gone.left.length > 0) return gone;
        const { restored } = await preparation.restoreIdentities({ scope });
        return { ...gone, removed: [...gone.removed, ...restored.map((table) => `replica identity of ${table}`)] };
      }),
  };
}

/**
 * Everything of one migration's key on the sides there are sessions for, the schema on the source included. For sessions of `openSide`.
 * Nothing of it needs the migration's ledger, or the other side.
 */
export async function removeStreamObjects(
  sides: Partial<Sides>,
  which: WhichObjects,
  signal?: AbortSignal,
): Promise<RemovedObjects> {
  const { source, target } = sides;
  if (source) await endFormerAttempts(source, 'source', which.key, [], signal);
  if (target) await endFormerAttempts(target, 'target', which.key, [], signal);
  const { removed, left } = await dropObjects(sides, which, signal);
  const schema = source !== undefined && (await dropMarkerSchema(source));
  return { removed: [...removed, ...(schema ? ['schema cutover of the source'] : [])], left };
}
