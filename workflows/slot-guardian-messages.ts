// What the slot guardian says and hears. Shared by workflows, client and tests.
import { defineSignal } from '@temporalio/workflow';
import type { Replication } from '../journal/types';

export const slotGuardianType = 'slotGuardian';

export type GuardianLevel = NonNullable<Replication['guardian']>['level'];

/** To the migration, whenever the level changes. */
export interface GuardianWord {
  level: GuardianLevel;
  detail: string;
}
export const slotGuardianSignal = defineSignal<[GuardianWord]>('slot-guardian');

/** To the guardian: everything is cleaned up. */
export const dismissSignal = defineSignal('dismiss');

export function guardianId(migration: string): string {
  return `${migration}-slot-guardian`;
}

/** The migration of a guardian's id; undefined for any other id. */
export function migrationOfGuardian(id: string): string | undefined {
  return /^(.+)-slot-guardian$/s.exec(id)?.[1];
}
