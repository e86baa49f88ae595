// Dual writing as the databases see it: both sides compared live, the other side repaired after the judge's, sequences carried. The backfill is
// the copy's own lane (`merge`).
import type { PostgresDependencies } from '../../dependencies';
import { createCompareLiveActivities } from './compare-live';
import { createRepairActivities } from './repair';
import { createLiveSequenceActivities } from './sequences';

export type { ComparedLive, TableDifferences } from './compare-live';
export type { RepairedRows } from './repair';

export function createDualWriteActivities(dependencies: PostgresDependencies) {
  return {
    ...createCompareLiveActivities(dependencies),
    ...createRepairActivities(dependencies),
    ...createLiveSequenceActivities(dependencies),
  };
}
