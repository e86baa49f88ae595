// How a migration without logical decoding picks up changes: passes over the tables, each closer to the source than the one before.
import { z } from 'zod';
import { durationSchema } from './duration';

/** `schema.table`, exact and unquoted: a column belongs to one table, so there are no wildcards. */
const tableName = z.string().regex(/^[^.]+\.[^.]+$/, 'expected "schema.table", for instance "sales.orders"');

const pressureSchema = z.strictObject({
  /** Of the source's `max_connections`, in use by clients; above it the passes wait. */
  maxConnectionsPercent: z.number().positive().max(100).default(90),
  /** Of the slowest standby that streams from the source. Left out: replication is not looked at. */
  maxReplicationLag: durationSchema.optional(),
  /** SQL on the source that gives one number; above `max` the passes wait. */
  probe: z.strictObject({ sql: z.string().min(1), max: z.number() }).optional(),
  /** Between two looks, also while waiting. */
  interval: durationSchema.default('5s'),
});

export const incrementalSchema = z.strictObject({
  /** `row-version`: rows whose version is younger than the pass before. `digest`: every row is read on both sides and compared. Tables without a key are always compared. */
  changes: z.enum(['row-version', 'digest']).default('row-version'),
  /** Tables whose changes are told by a column that every writer advances. An update that leaves the column alone is only found by the digests; by row version, which asks nothing of the writers, it is always found. */
  updateColumns: z.array(z.strictObject({ table: tableName, column: z.string().min(1) })).default([]),
  /** How far below the oldest transaction open at the pass before an update column is read again: the skew between the clocks that write it. */
  overlap: durationSchema.default('5m'),
  /** Passes before the fence; when the last one still does not fit `maxDowntime`, a person is asked. */
  maxPasses: z.number().int().min(1).max(200).default(20),
  /** Each part of a table is read in about this time; its size adapts. */
  chunkTarget: durationSchema.default('5s'),
  /** A source under pressure makes the passes wait. */
  pressure: pressureSchema.prefault({}),
});
export type IncrementalSettings = z.infer<typeof incrementalSchema>;
