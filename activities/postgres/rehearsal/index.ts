// The scratch servers of a rehearsal: told apart from production, filled with the backup, emptied again.
import type { RehearsalServers } from '../../../plan/rehearsal';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import { failure } from '../../errors';
import type { PostgresScope } from '../scope';

/** `scope` is production's, `rehearsal` the scratch servers. */
export interface RehearsalRequest {
  scope: PostgresScope;
  rehearsal: RehearsalServers;
}

/** What the scratch databases were like before we touched them: empty, but for what every new database has. */
export interface ScratchInventories {
  /** Missing where somebody else has filled it: then it is not ours to empty. */
  source?: ArtifactReference;
  target: ArtifactReference;
}

export function createRehearsalActivities(_dependencies: PostgresDependencies) {
  return {
    /** Refuses scratch servers that are production in any way. @throws PreconditionFailed naming which and why */
    guardRehearsal: (_request: RehearsalRequest): Promise<{ evidence: string[] }> =>
      Promise.reject(failure('PreconditionFailed', 'not there yet')),

    /** Guards, requires that both scratch databases are empty, and records how they are. */
    prepareScratch: (
      _request: RehearsalRequest & { filledByHand: boolean },
    ): Promise<{ inventories: ScratchInventories; evidence: string[] }> =>
      Promise.reject(failure('PreconditionFailed', 'not there yet')),

    /** Guards, and puts both scratch databases back to how they were found. */
    emptyScratch: (
      _request: RehearsalRequest & { inventories: ScratchInventories },
    ): Promise<{ dropped: number; left: string[] }> => Promise.reject(failure('PreconditionFailed', 'not there yet')),
  };
}
