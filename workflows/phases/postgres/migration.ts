// What the phases of one PostgreSQL migration share: the plan, the runbook, and what earlier phases found.
import type { ArtifactReference } from '../../../activities/artifacts/store';
import type { ComparedTables } from '../../../activities/postgres/digest';
import type { PostgresScope } from '../../../activities/postgres/scope';
import type { FenceRaised, FormerAccess } from '../../../activities/postgres/fence';
import type { MigrationFacts } from '../../../activities/postgres/preflight';
import type { WriteMark } from '../../../activities/postgres/loss';
import type { PostgresPlan } from '../../../plan/postgres';
import type { Migration } from '../migration';

export interface PostgresMigration extends Migration {
  plan: PostgresPlan;
  scope: PostgresScope;
  facts?: MigrationFacts;
  /** Medians of the plan's queries on the source. */
  performance: { name: string; medianMs: number }[];
  /** The target before we touched it. */
  inventory?: ArtifactReference;
  /** The schema of the source: pg_dump archive and normal form. */
  archive?: ArtifactReference;
  catalog?: ArtifactReference;
  /** Access to the source before the fence. */
  sourceAccess?: FormerAccess;
  /** How and when the source's fence went up. */
  fence?: FenceRaised;
  /** The target's write counters at the switch. */
  writeMark?: WriteMark;
  /** Asked for by `tune` and not yet handed to the ledger. */
  tuning?: { copyLanes?: number; maxBytesPerSecond?: number };
  lanes: number;
  maxBytesPerSecond: number;
  /** Every row is on the target. */
  copied?: boolean;
  /** Brings over rows that differ under the fence; says whether it did, so that everything is compared again. */
  repairRows?: (compared: ComparedTables) => Promise<boolean>;
}
