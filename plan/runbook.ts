// What plans of every kind say: their name, and the decision that they carry out.
import { z } from 'zod';

export const planNameSchema = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9-]{0,40}$/,
    'expected lower-case letters, digits and dashes, at most 41 characters, for instance "orders-to-18"',
  );

export const decisionSchema = z.strictObject({
  estimatedDurationMinutes: z.number().positive().optional(),
  acceptableDowntimeMinutes: z.number().nonnegative().optional(),
  rationale: z.string().default(''),
});
