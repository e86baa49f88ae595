// The lock on the schema of the source: an event trigger that refuses DDL of everybody but us while rows stream.
import type { PostgresDependencies } from '../../dependencies';
import type { PostgresScope } from '../scope';
import { streamPrefix } from '../stream/names';

/** Name of the event trigger, and of its function in the schema `cutover`: `cutover_1f3a5c7e90_ddl`. */
export function guardName(migration: string): string {
  return `${streamPrefix(migration)}ddl`;
}

export function createGuardActivities(_dependencies: PostgresDependencies) {
  return {
    /**
     * Puts the guard up, or takes it away. Idempotent.
     * @returns whether it is up
     * @throws PreconditionFailed when the role may not make event triggers; SourceUnavailable (retryable)
     */
    async guardDdl(_request: { scope: PostgresScope; on: boolean }): Promise<{ on: boolean }> {
      throw new Error('not yet');
    },
  };
}
