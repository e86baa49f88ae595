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

/** Plans of this strategy without one are refused. */
export function applicationOf({ plan }: DualWriteMigration): Application {
  return needed(plan.application, 'application');
}
