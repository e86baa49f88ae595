// Unlogged tables leave no WAL, so no stream carries them: they are copied whole while nobody writes, under the fence.
import type { PostgresDependencies } from '../../dependencies';
import type { PostgresConnections } from '../connection';
import type { PostgresScope } from '../scope';
import type { WritingSide } from './names';

export interface UnloggedCopy {
  scope: PostgresScope;
  /** The fenced side that has written so far. */
  from: WritingSide;
  signal?: AbortSignal;
}

/** Empties the unlogged tables of the other side and copies those of `from` into them, in one transaction. */
export async function copyUnloggedTables(
  _connections: PostgresConnections,
  _copy: UnloggedCopy,
): Promise<{ tables: number; rows: string }> {
  throw new Error('not yet');
}

export function createUnloggedActivities({ connections }: PostgresDependencies) {
  return {
    /** As `copyUnloggedTables`. @throws SourceUnavailable, TargetUnavailable (retryable); PreconditionFailed, TargetConflict, AuthDenied (not) */
    async copyUnlogged({
      scope,
      from,
    }: {
      scope: PostgresScope;
      from: WritingSide;
    }): Promise<{ tables: number; rows: string }> {
      return copyUnloggedTables(connections, { scope, from });
    },
  };
}
