// The session that keeps a group's snapshot alive: it makes the group's slot, which exports the snapshot, and must stay as it is for as
// long as the group is copied. It cannot be handed over: it runs on its own worker's task queue, once, and its end is the snapshot's end.
import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresDependencies } from '../../dependencies';
import { failure } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import { requireLedger } from '../ledger';
import { readGroup } from './group-ledger';
import type { GroupInput } from './groups';
import { groupStream } from './names';
import { snapshotLost, SnapshotHolder, type HolderProgress } from './snapshot-holder';

const pollMs = 100;

export function createHolderActivities({ connections, ownTaskQueue }: PostgresDependencies) {
  const workerQueue: (input: Record<string, never>) => Promise<{ taskQueue: string }> = () => {
    if (ownTaskQueue !== undefined) return Promise.resolve({ taskQueue: ownTaskQueue });
    const refused = failure(
      'PreconditionFailed',
      'This worker serves no task queue of its own, so it cannot hold a snapshot. Run the worker of this package.',
    );
    return Promise.reject(refused);
  };

  return {
    /** The task queue of this worker alone, for what cannot be taken over by another. @throws PreconditionFailed outside of a worker */
    workerQueue,

    /**
     * Makes the group's slot, notes its snapshot in the ledger and holds it; comes back only when it is cancelled. For one attempt alone.
     * @throws SnapshotLost for every other end once the slot was begun; PreconditionFailed, naming who kept the slot from being made within
     *   `slotTimeoutMs`, with no slot left behind; AuthDenied
     */
    async holdSnapshot({ scope, group, slotTimeoutMs }: GroupInput & { slotTimeoutMs: number }): Promise<{
      heldMs: number;
    }> {
      return withHeartbeat<HolderProgress, { heldMs: number }>({ state: 'making the slot', waitingFor: [] }, (beat) =>
        new SnapshotHolder(connections, { scope, group, slotTimeoutMs }, beat).run(),
      );
    },

    /** Comes back when the group's snapshot is in the ledger. @throws SnapshotLost when the group is not open any more */
    async awaitSnapshot({ scope, group }: GroupInput): Promise<Record<string, never>> {
      return withHeartbeat({}, ({ signal }) =>
        connections.withSession(scope.target, { side: 'target', purpose: 'await snapshot', signal }, async (target) => {
          await requireLedger(target, scope.migration);
          for (;;) {
            const found = await readGroup(target, group);
            if (found?.state !== 'open')
              throw snapshotLost(groupStream(scope.migration, group).name, 'the group was given up');
            if (found.snapshot !== undefined) return {};
            await sleep(pollMs, undefined, { signal });
          }
        }),
      );
    },
  };
}
