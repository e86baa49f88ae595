// The proof that the data is equal while changes stream: every table is read on both sides at two moments that lie close together in
// the stream; what differs then is looked at again, key by key, with a marker passed in between. A row that is wrong and stands still
// is named; a row that merely moves is never called different, and one that never stops moving is left to the freeze.
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import type { ComparedTables } from '../digest';
import type { PostgresScope } from '../scope';
import type { Leg } from '../stream/names';

export interface CompareMovingInput {
  scope: PostgresScope;
  leg: Leg;
  /** Tables whose every column is compared; of the others only the keys. */
  checksum: 'all' | string[];
  /** Sessions on each side. */
  lanes: number;
  /** One validation: the same attempt goes on with the tables not yet done, another one reads everything anew. */
  attempt: string;
}

export interface ComparedMoving extends ComparedTables {
  /** Keys (and tables without a key) that moved all the time: neither equal nor different, to be compared under the fence. */
  undecided: number;
  /** `pending.json`, where something is undecided: for `readPending` and `comparePending`. */
  pending?: ArtifactReference;
  /** Tables that were written to while they were compared, most of it first, at most 20. */
  hot: string[];
}

export function createMovingActivities(_dependencies: PostgresDependencies) {
  return {
    async compareMoving(_input: CompareMovingInput): Promise<ComparedMoving> {
      return Promise.reject(new Error('not yet'));
    },
  };
}
