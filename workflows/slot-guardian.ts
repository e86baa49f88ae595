// Watches over the WAL that a migration's slots hold back, for as long as there are any: also when the migration is blocked, terminated or
// its workers are gone. A workflow of its own, so that nothing that happens to the migration ends it.
import type { PostgresScope } from '../activities/postgres/scope';
import type { GuardianLevel } from './slot-guardian-messages';

export interface SlotGuardianInput {
  scope: PostgresScope;
  settings: { walBudgetMegabytes: number };
  /** Workflow id. */
  migration: string;
  /** Of the run before this one. */
  carried?: { level: GuardianLevel; slotsSeenIso?: string; goneSinceIso?: string };
}

/** Ends when dismissed, or when no slot has been there for ten minutes after there was one and the migration runs no more. Never fails by itself. */
export async function slotGuardian(input: SlotGuardianInput): Promise<{ why: string }> {
  return Promise.reject(new Error(`not yet: ${input.migration}`));
}
