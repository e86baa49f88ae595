// When a migration goes back: what is looked at while the target is watched, how often, and what is too much.
import { z } from 'zod';
import { durationSchema } from './duration';
import { secretReferenceSchema } from './reference';

const prometheusSchema = z.strictObject({
  /** Base address of the server, for instance `http://prometheus:9090`; asked by its instant query API. */
  url: z.url({ protocol: /^https?$/ }),
  /** Must give a scalar, or a vector of one sample. Anything else, NaN too, could not be looked at and counts as an error. */
  query: z.string().min(1).max(4_000),
  /** Bearer token. */
  token: secretReferenceSchema.optional(),
  /** A value above it is a bad look. */
  maxValue: z.number(),
});
export type PrometheusTrigger = z.infer<typeof prometheusSchema>;

const integrityCheckSchema = z.strictObject({ name: z.string().min(1), sql: z.string().min(1), expect: z.string() });
export type IntegrityCheck = z.infer<typeof integrityCheckSchema>;

export const rollbackTriggersSchema = z.strictObject({
  /** Share of failed probes in the window, in percent. */
  errorRatePercent: z.number().nonnegative().default(1),
  /** Slowdown of the named queries against the baseline, in percent. */
  slowdownPercent: z.number().nonnegative().default(50),
  /** HTTP probes of customer-facing features; a status of 400 and above, or no answer, is an error. */
  probes: z.array(z.strictObject({ name: z.string().min(1), url: z.url({ protocol: /^https?$/ }) })).default([]),
  interval: durationSchema.default('30s'),
  window: durationSchema.default('5m'),
  /** So many bad looks in a row are a breach: of the query times, of Prometheus, of the integrity checks, of the smoke tests; of the error rate as many errors in the window. After a bad one the next look comes with the next round. */
  breachesNeeded: z.number().int().min(1).max(100).default(2),
  /** The error rate as your monitoring knows it. */
  prometheus: prometheusSchema.optional(),
  /** SQL that gives one value, run on the target while it is in use, and compared as text with `expect`. */
  integrity: z.array(integrityCheckSchema).default([]),
  /** Whether the plan's `validation.notNull`, and its assertions with an `expect`, are integrity checks as well. */
  declaredChecks: z.boolean().default(true),
  /** Between two looks at the integrity; one that takes long is followed by a pause nine times as long. */
  integrityInterval: durationSchema.default('5m'),
  /** Whether the smoke tests of `validation.smoke` are repeated. */
  smoke: z.boolean().default(true),
  smokeInterval: durationSchema.default('5m'),
});
export type RollbackTriggers = z.infer<typeof rollbackTriggersSchema>;
