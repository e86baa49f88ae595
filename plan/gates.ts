// Gates: where a migration waits for people, and what the plan may say about each.
import { z } from 'zod';
import { durationSchema } from './duration';

export const gateNames = [
  'start',
  'go-live',
  'repair',
  'stop-writes',
  'cutover',
  'switch-application',
  'apply-manifest',
  'unlock',
  'continue-after-breach',
  'accept',
  'retire-source',
  'drop-source',
] as const;
export type GateName = (typeof gateNames)[number];

const gateRuleSchema = z.strictObject({
  /** How many different people must approve. One rejection closes the gate. */
  approvers: z.number().int().min(1).max(10).default(1),
  /** How long the gate stays open; without it the gate waits for ever and reminds every 24 hours. */
  timeout: durationSchema.optional(),
  /** What a timeout means. `reject` rolls back; `wait` only records that the time is over. */
  onTimeout: z.enum(['reject', 'wait']).default('reject'),
});

/** `"auto"` passes the gate by itself: for demos, tests and rehearsals. */
const gateSchema = z.union([z.literal('auto'), gateRuleSchema]);
export type GateRule = z.infer<typeof gateRuleSchema>;

export const gatesSchema = z.union([z.literal('auto'), z.partialRecord(z.enum(gateNames), gateSchema)]);
export type Gates = z.infer<typeof gatesSchema>;

/** What the plan says of one gate: `auto`, or its rule with the defaults (one approver, no time limit). */
export function ruleOf(gates: Gates, gate: GateName): 'auto' | GateRule {
  if (gates === 'auto') return 'auto';
  return gates[gate] ?? { approvers: 1, onTimeout: 'reject' };
}
