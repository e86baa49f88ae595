// The session that keeps a group's snapshot alive: it makes the group's slot, which exports the snapshot, and must stay as it is for as
// long as the group is copied. It cannot be handed over: it runs on its own worker's task queue, once, and its end is the snapshot's end.
import type { PostgresDependencies } from '../../dependencies';
import type { GroupInput } from './groups';

export function createHolderActivities({ ownTaskQueue }: PostgresDependencies) {
  return {
    /** The task queue of this worker alone, for what cannot be taken over by another. @throws PreconditionFailed outside of a worker */
    async workerQueue(_input: Record<string, never>): Promise<{ taskQueue: string }> {
      return { taskQueue: ownTaskQueue ?? 'not yet' };
    },

    /**
     * Makes the group's slot, notes its snapshot in the ledger and holds it until cancelled; never comes back otherwise.
     * @throws SnapshotLost for every other end after the slot was begun; PreconditionFailed naming who kept the slot from being made within `slotTimeoutMs`
     */
    async holdSnapshot(_input: GroupInput & { slotTimeoutMs: number }): Promise<{ heldMs: number }> {
      throw new Error('not yet');
    },

    /** Comes back when the group's snapshot is in the ledger. @throws SnapshotLost when the group is not open any more */
    async awaitSnapshot(_input: GroupInput): Promise<Record<string, never>> {
      throw new Error('not yet');
    },
  };
}
