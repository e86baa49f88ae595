// Keeps watch over the WAL that a migration's slots hold back, so that we act before the disk or max_slot_wal_keep_size does.
import type { PostgresDependencies } from '../../dependencies';
import type { PostgresScope } from '../scope';

/** How near the budget is, and what is done: shown, copy slowed, copy paused, slots dropped. */
export type GuardLevel = 'fine' | 'alert' | 'slow' | 'pause' | 'drop';

export interface GuardRequest {
  scope: PostgresScope;
  /** 0: chosen by the server's own limits, see `CdcSettings`. */
  walBudgetMegabytes: number;
  /** As last reported: the watch returns when it is another one. */
  level: GuardLevel;
  /** The watch returns at this time at the latest; ISO 8601. */
  untilIso: string;
  /** As the watch before this one returned it. */
  slotsSeenIso?: string;
  /** As the watch before this one returned it. */
  goneSinceIso?: string;
}

export interface GuardReport {
  level: GuardLevel;
  /** For people: how much of which budget, how fast, until when, and what is done about it. */
  detail: string;
  /** Of the migration, on both servers. */
  slots: number;
  /** By the slot that holds back most. */
  retainedBytes: number;
  /** Of the server where the most of it is used. */
  budgetBytes: number;
  dropped: string[];
  /** When a slot of the migration was last seen, by this watch or one before it. */
  slotsSeenIso?: string;
  /** Since when both servers, asked all the time, have had no slot of the migration although there was one. */
  goneSinceIso?: string;
}

export function createSlotGuardActivities({ connections }: PostgresDependencies) {
  return {
    /**
     * Looks at the slots of the migration on both servers every few seconds, keeps their positions moving on idle servers, and returns
     * when the level changes or the time is over. Drops slots itself. A server that cannot be asked is asked again; it ends nothing.
     */
    guardSlots: async ({ scope }: GuardRequest): Promise<GuardReport> => {
      throw new Error(`not yet: ${scope.migration} ${String(connections)}`);
    },
  };
}
