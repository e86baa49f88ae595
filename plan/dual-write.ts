// What a plan says of the strategy `dual-write`: how the two sides are brought to agree while the application writes to both.
import { z } from 'zod';
import { durationSchema } from './duration';

export const dualWriteSchema = z.strictObject({
  /** Rows that differ and stand still: shown at the gate `repair` before they are written, or written at once. On the way back they are always written at once. */
  repair: z.enum(['gate', 'auto']).default('gate'),
  /** Rounds of comparison in a row that must find nothing before the switch. */
  parityRounds: z.number().int().min(1).max(100).default(3),
  /** From the end of one round to the beginning of the next. */
  roundInterval: durationSchema.default('10s'),
  /** How long a repeated write may take to arrive on the other side: rows that differ are looked at again after it. */
  settle: durationSchema.default('2s'),
  /** Sequences are carried this many steps ahead: more than are drawn in `application.timeout` and ten seconds more. */
  sequenceMargin: z.number().int().min(0).default(10_000),
  /** More rows than these are not repaired but asked about: something other than a few lost repeats has happened. */
  maxRepairRows: z.number().int().min(1).max(1_000_000).default(100_000),
});
export type DualWriteSettings = z.infer<typeof dualWriteSchema>;
