// Removes what streaming makes on the two servers, whatever half of it is there and whether or not the other side can be reached.
import type { PostgresDependencies } from '../../dependencies';
import type { PostgresScope } from '../scope';

export function createRemovalActivities(_dependencies: PostgresDependencies) {
  return {
    /**
     * Removes every stream of the migration on both sides, its event trigger and its marker tables, and puts replica identities back.
     * `left` names what could not be removed, and why.
     * @throws SourceUnavailable, TargetUnavailable (retryable), after the other side has been cleaned
     */
    async removeStreams(_input: { scope: PostgresScope }): Promise<{ removed: string[]; left: string[] }> {
      throw new Error('not yet');
    },
  };
}
