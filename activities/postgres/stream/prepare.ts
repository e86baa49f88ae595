// What a leg of streaming needs of the side that writes before there is any stream: replica identities, marker tables and, for every
// leg but the first, the publication. All of it is made while the application runs; none of it may be left to the outage.
import type { PostgresDependencies } from '../../dependencies';
import type { PostgresScope } from '../scope';
import type { Leg } from './names';

export function createStreamPreparationActivities(_dependencies: PostgresDependencies) {
  return {
    /**
     * Makes what the leg needs on its writing side. `tables` counts those that the leg publishes, `identitiesChanged` names (`schema.table`)
     * the first twenty whose replica identity is not the one they came with.
     * @throws PreconditionFailed naming tables without a key and without a decision; AuthDenied; SourceUnavailable, TargetUnavailable (retryable)
     */
    async prepareStreaming(_input: {
      scope: PostgresScope;
      leg: Leg;
      tablesWithoutKey: 'refuse' | 'full';
    }): Promise<{ tables: number; identitiesChanged: string[] }> {
      throw new Error('not yet');
    },

    /** Puts back every replica identity that was changed, on whichever side; names (`schema.table`) the first twenty. */
    async restoreIdentities(_input: { scope: PostgresScope }): Promise<{ restored: string[] }> {
      throw new Error('not yet');
    },
  };
}
