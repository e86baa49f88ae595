// Bringing the target up to the source in passes, without a slot. The first copy is fuzzy: each chunk is read at its own moment. A
// delta pass then makes every table of the target equal to the source as of one snapshot of that table, in one transaction on the
// target that also writes the table's new mark; killed anywhere, a table is done or not begun.
import type { PostgresDependencies } from '../../dependencies';
import { failure } from '../../errors';
import type { IncrementalSettings } from '../../../plan/incremental';
import type { PostgresScope } from '../scope';

export interface BeginPassInput {
  scope: PostgresScope;
  /** From 1; the same number again finds the pass that is there. */
  pass: number;
  settings: IncrementalSettings;
  /** Every table of this pass is compared by digest, whatever the settings say: for a repair, or a delta that must miss nothing. */
  changes?: 'digest';
  /** Only these, as `schema.table`; left out, all that were copied. */
  tables?: string[];
}

export interface PassLaneInput {
  scope: PostgresScope;
  pass: number;
  /** From 0. */
  lane: number;
  settings: IncrementalSettings;
}

/** What one lane brought, by this attempt; all committed. */
export interface PassLaneResult {
  tables: number;
  /** Inserted or replaced. */
  rows: string;
  /** Rows that the source no longer has. */
  deleted: string;
  /** Of the COPY streams. */
  bytes: number;
}

/** What a lane of a pass shows while it runs. */
export interface PassLaneProgress extends PassLaneResult {
  lane: number;
  /** `schema.table` under way. */
  table?: string;
  bytesPerSecond: number;
  /** Why nothing is read at the moment: the source is under pressure. */
  waiting?: string;
}

export interface PassSummary {
  tables: number;
  /** Tables of which a row was written or deleted. */
  tablesChanged: number;
  rows: string;
  deleted: string;
  bytes: number;
  /** From the begin of the pass to the end of its last table (or now). */
  durationMs: number;
  startedAt: string;
  /** Left out while tables are left. */
  endedAt?: string;
  /** At most 5, slowest first. */
  slowest: { table: string; ms: number }[];
  /** Every table of the pass is done. */
  done: boolean;
}

export function createIncrementalActivities(_dependencies: PostgresDependencies) {
  return {
    /**
     * Notes the mark of the source before the first row is copied: what is not committed by then is read again by the first delta pass.
     * Called again it keeps the first mark. Needs the ledger; call it before the first `copyLane`.
     * @throws SourceUnavailable, TargetUnavailable (retryable); TargetConflict when the ledger is gone
     */
    async beginIncremental(_input: { scope: PostgresScope }): Promise<{ tables: number }> {
      return Promise.reject(failure('PreconditionFailed', 'not there yet'));
    },

    /**
     * Opens a pass over the copied tables, or finds it by its number. Needs the finished first copy.
     * @throws SourceUnavailable, TargetUnavailable (retryable); PreconditionFailed when a table or an update column is not there, TargetConflict
     *   when the ledger is gone
     */
    async beginPass(_input: BeginPassInput): Promise<{ tables: number }> {
      return Promise.reject(failure('PreconditionFailed', 'not there yet'));
    },

    /**
     * Brings tables of the pass up to the source until none is left or the lane is tuned away. Cancelled, it comes back only when its
     * backends are gone and its unfinished table is rolled back.
     * @throws SourceUnavailable, TargetUnavailable (retryable); TargetConflict, VerificationMismatch, PreconditionFailed, AuthDenied (not)
     */
    async passLane(_input: PassLaneInput): Promise<PassLaneResult> {
      return Promise.reject(failure('PreconditionFailed', 'not there yet'));
    },

    /** What a pass has brought so far. @throws TargetUnavailable (retryable); TargetConflict when the ledger is gone, PreconditionFailed when the pass was not begun */
    async summarizePass(_input: { scope: PostgresScope; pass: number }): Promise<PassSummary> {
      return Promise.reject(failure('PreconditionFailed', 'not there yet'));
    },
  };
}
