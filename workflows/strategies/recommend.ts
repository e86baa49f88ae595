// The decision record: which strategy the facts speak for, and why. Thresholds are those of the runbook's strategy table. Pure.
import { formatDurationMs } from '../../plan/duration';

export interface StrategyFacts {
  databaseBytes: number;
  sourceMajor: number;
  targetMajor: number;
  tablesWithoutKey: number;
  logicalReplicationPossible: boolean;
  acceptableDowntimeMs?: number;
  /** The plan names an application, which might be taught to write to both sides. */
  application?: boolean;
}

export interface Recommendation {
  recommended: 'big-bang' | 'incremental' | 'dual-write' | 'cdc';
  reasons: string[];
  /** How long big-bang would keep the application from writing, by a cautious rate. */
  estimatedFreezeMs: number;
}

const gigabyte = 1_000_000_000;
/** "Small datasets (< 100GB)" in the runbook's table. */
const smallBytes = 100 * gigabyte;
/** Copy, indexes, validation and ANALYZE together, on modest hardware: 30 MB/s end to end. A rehearsal replaces this guess. */
const cautiousBytesPerSecond = 30_000_000;
const fixedMs = 30_000;
const withoutSlots =
  'logical replication is not possible on the source: copied live and brought up in passes, only the last of which and the comparison of every row need the freeze';

/** What the facts speak for. Never decides: the plan does. */
export function recommendStrategy(facts: StrategyFacts): Recommendation {
  const estimatedFreezeMs = Math.round(fixedMs + (facts.databaseBytes / cautiousBytesPerSecond) * 1_000);
  const reasons = [
    `the database has ${(facts.databaseBytes / gigabyte).toFixed(2)} GB; the runbook counts less than 100 GB as small`,
    `a big-bang freeze would last about ${formatDurationMs(estimatedFreezeMs)} at a cautious 30 MB/s`,
  ];
  if (facts.sourceMajor !== facts.targetMajor)
    reasons.push(
      `PostgreSQL ${facts.sourceMajor} to ${facts.targetMajor}: copied logically, so any gap of versions will do`,
    );
  const { acceptableDowntimeMs } = facts;
  if (acceptableDowntimeMs === undefined) {
    reasons.push('the plan does not say how much downtime is acceptable');
    if (facts.databaseBytes < smallBytes) return { recommended: 'big-bang', reasons, estimatedFreezeMs };
    if (facts.logicalReplicationPossible) return { recommended: 'cdc', reasons, estimatedFreezeMs };
    reasons.push(withoutSlots);
    return { recommended: 'incremental', reasons, estimatedFreezeMs };
  }
  if (estimatedFreezeMs <= acceptableDowntimeMs) {
    reasons.push(`that is within the acceptable ${formatDurationMs(acceptableDowntimeMs)}`);
    return { recommended: 'big-bang', reasons, estimatedFreezeMs };
  }
  reasons.push(`that is more than the acceptable ${formatDurationMs(acceptableDowntimeMs)}`);
  if (acceptableDowntimeMs === 0 && facts.application && facts.tablesWithoutKey === 0) {
    reasons.push('no downtime at all is acceptable: only an application that writes to both sides has none');
    return { recommended: 'dual-write', reasons, estimatedFreezeMs };
  }
  if (facts.logicalReplicationPossible) {
    if (facts.tablesWithoutKey > 0)
      reasons.push(`${facts.tablesWithoutKey} tables have no key, which streaming needs a decision on`);
    return { recommended: 'cdc', reasons, estimatedFreezeMs };
  }
  reasons.push(withoutSlots);
  return { recommended: 'incremental', reasons, estimatedFreezeMs };
}
