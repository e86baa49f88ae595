// What differs between strategies: how data moves before the fence, and what is left to move under it.
import type { PostgresMigration } from '../phases/postgres/migration';

export interface Strategy {
  /** While the source still takes writes. */
  beforeFence(migration: PostgresMigration): Promise<void>;
  /** Under the fence, with nothing writing to the source. Every step counts as downtime. */
  underFence(migration: PostgresMigration): Promise<void>;
}
