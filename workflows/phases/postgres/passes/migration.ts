// What the phases of a migration in passes share on top of every PostgreSQL migration.
import type { FormerAccess } from '../../../../activities/postgres/fence';
import type { PostgresMigration } from '../migration';

export interface PassMigration extends PostgresMigration {
  /** The pass last begun, from 1; 0 for none. */
  pass: number;
  /** How long passes took, in milliseconds, one after the other without anything long between them: the newest tells of the next. */
  series: number[];
  /** When the last finished pass began: what was written before it is on the target. */
  caughtUpAt?: Date;
  /** What the freeze needs besides a pass, as measured before it. */
  besides?: { compareMs: number; restMs: number };
  /** How the target was entered before its fence. */
  targetAccess?: FormerAccess;
  /** People were shown that it does not fit, and wanted it all the same. */
  misfitAccepted: boolean;
  /** Rows that differed under the fence were brought over again, once for each freeze. */
  repaired: boolean;
}

export function newPassMigration(migration: PostgresMigration): PassMigration {
  return Object.assign(migration, { pass: 0, series: [], misfitAccepted: false, repaired: false });
}
