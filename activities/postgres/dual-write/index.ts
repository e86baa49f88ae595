// The reconciler of dual writing: compares both sides while the application writes to both, and makes the other side like the judge's.
import type { ArtifactReference } from '../../artifacts/store';
import { failure } from '../../errors';
import type { PostgresDependencies } from '../../dependencies';
import type { WritingSide } from '../../../journal/sides';
import type { PostgresScope } from '../scope';

export interface CompareLiveInput {
  scope: PostgresScope;
  /** The side that is right: the one that the application uses. */
  judge: WritingSide;
  /** Sessions on each side. */
  lanes: number;
  /** How long a repeated write may take to arrive. */
  settleMs: number;
}

/** Rows of one table that differ and stand still, by what makes the other side like the judge's. */
export interface TableDifferences {
  /** `schema.table`. */
  table: string;
  insert: number;
  update: number;
  delete: number;
}

export interface ComparedLive {
  tables: number;
  /** Of the judge. */
  rows: string;
  /** Rows that differ and stand still. */
  differing: number;
  /** Rows that were being written while they were compared. */
  moving: number;
  /** The first hundred. */
  byTable: TableDifferences[];
  /** `schema.table key=(…): missing on the target`, the first twenty and a count. */
  lines: string[];
  /** What could not be compared, at most ten: parity is not proved. */
  problems: string[];
  /** `differences.json`, where something differs: for `repairRows`. */
  differences?: ArtifactReference;
}

export interface RepairedRows {
  inserted: number;
  updated: number;
  deleted: number;
  /** Rows that had changed meanwhile, or were held by somebody: the next round looks at them again. */
  left: number;
}

export function createDualWriteActivities(_: PostgresDependencies) {
  return {
    /**
     * Compares every selected table on both sides while it is written to. What differs, moves or could not be read is in the result.
     * @throws SourceUnavailable, TargetUnavailable (retryable); TargetConflict when the ledger is gone
     */
    async compareLive(input: CompareLiveInput): Promise<ComparedLive> {
      throw failure('PreconditionFailed', `Comparing ${input.scope.migration} live: not there yet.`);
    },

    /**
     * Makes rows of the other side like the judge's, whose rows are locked while they are written. Repeatable.
     * @throws SourceUnavailable, TargetUnavailable (retryable); AuthDenied where triggers cannot be kept from firing
     */
    async repairRows(input: {
      scope: PostgresScope;
      judge: WritingSide;
      differences: ArtifactReference;
    }): Promise<RepairedRows> {
      throw failure('PreconditionFailed', `Repairing rows of ${input.scope.migration}: not there yet.`);
    },

    /** Sets the sequences of the side that is switched to, `margin` steps ahead of those of the other. @throws as `carrySequences` */
    async carryLiveSequences(input: {
      scope: PostgresScope;
      to: WritingSide;
      margin: number;
    }): Promise<{ sequences: number }> {
      throw failure('PreconditionFailed', `Carrying sequences to the ${input.to}: not there yet.`);
    },
  };
}
