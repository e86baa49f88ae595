// Copy groups: tables that are copied under one exported snapshot and then follow through one stream of their own. When the snapshot
// is lost, finished tables keep their group and their stream; unfinished ones are emptied and join the next group. Each step looks
// before it acts and may be run again at any point.
import type { PostgresDependencies } from '../../dependencies';
import type { PostgresScope } from '../scope';

/** One group of tables, as the workflow names it. */
export interface GroupInput {
  scope: PostgresScope;
  /** From 1. */
  group: number;
}

export function createGroupActivities(_dependencies: PostgresDependencies) {
  return {
    /**
     * Takes every table that has still to be copied into the group, and makes the group's marker tables and its publication on the source.
     * Bytes are those of the source's disk. Run again for a group that is open: gives what it has.
     * @throws PreconditionFailed, AuthDenied, TargetConflict (not retryable); SourceUnavailable, TargetUnavailable (retryable)
     */
    async openGroup(_input: GroupInput): Promise<{ tables: number; bytes: number }> {
      throw new Error('not yet');
    },

    /** Notes that all of the group's tables are copied; its snapshot is forgotten and its stream may be subscribed to. @throws NotReadyYet (retryable) when a chunk is still to be done */
    async closeGroup(_input: GroupInput): Promise<Record<string, never>> {
      throw new Error('not yet');
    },

    /**
     * For a group whose snapshot is lost, after its lanes have stopped: finished tables stay, unfinished ones are emptied and wait for the
     * next group. A group without any finished table loses slot and publication. Gives how many tables are which.
     */
    async closeLostGroup(_input: GroupInput): Promise<{ finished: number; unfinished: number }> {
      throw new Error('not yet');
    },

    /** Takes tables (`schema.table`, unquoted) out of their groups, empties them and has the next group copy them anew. Gives how many it were. */
    async recopyTables(_input: { scope: PostgresScope; tables: string[] }): Promise<{ tables: number }> {
      throw new Error('not yet');
    },
  };
}
