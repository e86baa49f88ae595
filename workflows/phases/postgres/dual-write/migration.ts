// What the phases of a migration by dual writing share on top of every PostgreSQL migration.
import type { WritingSide } from '../../../../journal/sides';
import type { Application } from '../../../../plan/postgres';
import { needed } from '../../migration';
import type { PostgresMigration } from '../migration';

export interface DualWriteMigration extends PostgresMigration {
  /** The side that the application uses, and that is right where the two differ. */
  judge: WritingSide;
  /** The application repeats every write on the other side. */
  repeating: boolean;
  /** Repeats that had failed before the comparison that a switch relies on. */
  failedRepeats?: number;
  /** When the sequences of the side to go over to were last set; milliseconds since the epoch. */
  sequencesCarriedAt?: number;
  /** A way back was asked for and is under way. */
  turning: boolean;
}

export function newDualWriteMigration(migration: PostgresMigration): DualWriteMigration {
  return Object.assign(migration, { judge: 'source' as const, repeating: false, turning: false });
}

/** The target is in use. */
export function switched({ judge }: DualWriteMigration): boolean {
  return judge === 'target';
}

/** Nobody writes to scratch servers, so a rehearsal goes the way of the data alone: other plans of this strategy without an application are refused. */
export function isRehearsed({ plan }: DualWriteMigration): boolean {
  return plan.application === undefined;
}

/** To be asked for only where it is not a rehearsal. */
export function applicationOf({ plan }: DualWriteMigration): Application {
  return needed(plan.application, 'application');
}
