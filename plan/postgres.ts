// The plan of a PostgreSQL migration: what is asked for, with every default spelled out.
import { z } from 'zod';
import { dualWriteSchema } from './dual-write';
import { durationSchema } from './duration';
import { gatesSchema, ruleOf } from './gates';
import { incrementalSchema } from './incremental';
import {
  connectionReferenceSchema,
  describeReference,
  secretReferenceSchema,
  type ConnectionReference,
} from './reference';
import { rehearsalSchema, rehearsalServers } from './rehearsal';
import { retireSchema } from './retire';
import { decisionSchema, planNameSchema } from './runbook';
import { transformationsSchema } from './transformations';
import { rollbackTriggersSchema } from './triggers';

export type { RollbackTriggers } from './triggers';

/** `schema.table`, each part with `*` and `?` as wildcards; matched against the exact, unquoted names. */
const tablePattern = z
  .string()
  .regex(/^[^.]+\.[^.]+$/, 'expected "schema.table", for instance "public.*" or "sales.orders"');

const tablesSchema = z.strictObject({
  include: z.array(tablePattern).min(1).default(['*.*']),
  exclude: z.array(tablePattern).default([]),
});
export type TableSelection = z.infer<typeof tablesSchema>;

const applicationSchema = z.strictObject({
  /** Base URL of the runbook's admin endpoints. */
  adminUrl: z.url({ protocol: /^https?$/ }),
  /** The names that `POST /admin/switch-datastore` is given for the two sides. */
  switchTarget: z.string().min(1).default('new-database'),
  switchSource: z.string().min(1).default('source-database'),
  /** Bearer token of the admin endpoints. */
  token: secretReferenceSchema.optional(),
  /** For one call, before it is tried again. */
  timeout: durationSchema.default('10s'),
});
export type Application = z.infer<typeof applicationSchema>;

/** Letters, digits and hyphens, as RDS has it. */
const rdsIdentifier = z
  .string()
  .regex(
    /^[A-Za-z](?:-?[A-Za-z0-9])*$/,
    'expected a DB identifier as RDS has it: letters, digits and single hyphens, first a letter',
  )
  .max(63);

const snapshotSchema = z.discriminatedUnion('kind', [
  /** A complete `pg_dump` archive of the source in the artifact store. */
  z.strictObject({ kind: z.literal('pg_dump') }),
  /** A command run on the worker without a shell, for instance `["aws", "rds", "create-db-snapshot", …]`; exit code 0 is success. */
  z.strictObject({
    kind: z.literal('command'),
    command: z.array(z.string()).min(1),
    verify: z.array(z.string()).min(1).optional(),
    timeout: durationSchema.default('2h'),
  }),
  /**
   * A snapshot of Amazon RDS or Aurora, taken by the worker with the credentials of the SDK's own chain (environment, profile, role of the
   * machine), never with any of a plan.
   */
  z
    .strictObject({
      kind: z.literal('rds'),
      /** DB instance identifier; for an Aurora or Multi-AZ cluster `cluster` instead. */
      instance: rdsIdentifier.optional(),
      cluster: rdsIdentifier.optional(),
      /** Without it, the region of the worker's environment (AWS_REGION) or profile. */
      region: z
        .string()
        .regex(/^[a-z]{2}(-[a-z]+)+-\d+$/, 'expected a region, for instance "eu-central-1"')
        .optional(),
      /** Of the API, for implementations other than Amazon's. */
      endpoint: z.url({ protocol: /^https?$/ }).optional(),
      /** From the request until the snapshot is available. */
      timeout: durationSchema.default('2h'),
      /** The snapshot stays after the migration, whatever its end; removing it is for people. */
      keep: z
        .literal(true, { error: 'expected true: a migration never deletes its snapshot; leave the field out' })
        .default(true),
    })
    .superRefine(({ instance, cluster }, context) => {
      if ((instance === undefined) !== (cluster === undefined)) return;
      context.addIssue({
        code: 'custom',
        path: [instance === undefined ? 'instance' : 'cluster'],
        input: cluster,
        message: 'expected exactly one of "instance" (a DB instance) and "cluster" (Aurora, Multi-AZ cluster)',
      });
    }),
  /** Somebody else has taken the backup; who and where is written down. */
  z.strictObject({ kind: z.literal('none'), reason: z.string().min(10) }),
]);
export type Snapshot = z.infer<typeof snapshotSchema>;
export type RdsSnapshot = Extract<Snapshot, { kind: 'rds' }>;

const namedQuerySchema = z.strictObject({ name: z.string().min(1), sql: z.string().min(1) });
export type NamedQuery = z.infer<typeof namedQuerySchema>;

const smokeSchema = z.union([
  z.strictObject({
    name: z.string().min(1),
    url: z.url({ protocol: /^https?$/ }),
    expectStatus: z.number().int().default(200),
    expectBody: z.string().optional(),
  }),
  z.strictObject({ name: z.string().min(1), sql: z.string().min(1), expect: z.string().optional() }),
]);
export type SmokeTest = z.infer<typeof smokeSchema>;

const validationSchema = z.strictObject({
  /** Tables whose every row is compared by digest: `"all"`, or patterns. Counts are always compared for all. */
  checksum: z.union([z.literal('all'), z.array(tablePattern).min(1)]).default('all'),
  /** Columns that must hold no NULL on the target. */
  notNull: z.array(z.strictObject({ table: tablePattern, columns: z.array(z.string().min(1)).min(1) })).default([]),
  /** SQL that gives one value; run on the target and compared, as text, with `expect`; without `expect`, with the source's answer. */
  assertions: z.array(namedQuerySchema.extend({ expect: z.string().optional() })).default([]),
  /** HTTP requests against the application and SQL against the target. A SQL test passes when it runs, and equals `expect` where given. */
  smoke: z.array(smokeSchema).default([]),
  /** Queries timed on the source for the baseline and on the target after the copy. */
  performance: z
    .strictObject({
      queries: z.array(namedQuerySchema).default([]),
      maxRegressionPercent: z.number().nonnegative().default(10),
      /** Below this difference a query counts as equally fast: noise, not a regression. */
      toleranceMilliseconds: z.number().nonnegative().default(5),
    })
    .prefault({}),
  /** Fidelity differences that are known and accepted, by their identity as the report prints it. */
  acceptDifferences: z.array(z.string()).default([]),
});
export type Validation = z.infer<typeof validationSchema>;

const afterwardsSchema = z.strictObject({
  /** A backup of the target once it is accepted, taken and verified as `snapshot` is: restored where `rehearsal.target` names a scratch server. */
  targetBackup: snapshotSchema.optional(),
  /** How often both sides are looked at for leftovers while the source is kept; at most 52 times. */
  lookEvery: durationSchema.default('7d'),
});
export type Afterwards = z.infer<typeof afterwardsSchema>;

const copySchema = z.strictObject({
  /** Tables or parts of tables copied at the same time, over all workers. */
  lanes: z.number().int().min(1).max(64).default(4),
  /** Tables larger than this are cut into chunks of about this size. */
  chunkMegabytes: z.number().positive().max(65_536).default(128),
  /** 0 is without a limit; `tune` changes it live. */
  maxBytesPerSecond: z.number().int().nonnegative().default(0),
});
export type CopySettings = z.infer<typeof copySchema>;

const cdcSchema = z.strictObject({
  /** Tables that are written to but have no key: `refuse` stops in preflight; `full` sets REPLICA IDENTITY FULL on them for the time of the migration. */
  tablesWithoutKey: z.enum(['refuse', 'full']).default('refuse'),
  /** Logical replication never carries large objects: `refuse` stops in preflight; `copy-under-fence` copies them in the freeze, and needs `reverseReplication: false`. */
  largeObjects: z.enum(['refuse', 'copy-under-fence']).default('refuse'),
  /** When materialized views of the target are refreshed: before the gate, or (longer freeze) under the fence. */
  materializedViews: z.enum(['before-cutover', 'under-fence']).default('before-cutover'),
  /** `watch` notices changes of the schema and stops the way to cutover; `refuse` also has an event trigger on the source refuse them. */
  ddl: z.enum(['watch', 'refuse']).default('watch'),
  /** Streams further behind than this keep the outage from beginning. */
  maxLag: durationSchema.default('5s'),
  /** How long the making of a slot may wait for transactions that are open on the source. */
  slotTimeout: durationSchema.default('5m'),
  /** Sequences are carried this many steps ahead. */
  sequenceMargin: z.number().int().min(0).default(1_000),
  /** Of the tables written most, this much is compared once more under the fence. */
  freezeDigestMegabytes: z.number().nonnegative().default(4),
  /** WAL that the slots may hold back on the server that is written to, in megabytes; 0: eight tenths of `max_slot_wal_keep_size` where it is set, otherwise half of the free disk where it can be known, otherwise 16 GB. */
  walBudgetMegabytes: z.number().int().nonnegative().default(0),
  /** How the server of the target reaches the source, where that is not the address that the worker uses; and the other way round. */
  sourceFromTarget: connectionReferenceSchema.optional(),
  targetFromSource: connectionReferenceSchema.optional(),
});
export type CdcSettings = z.infer<typeof cdcSchema>;

const plannedSchema = z
  .strictObject({
    name: planNameSchema,
    strategy: z.enum(['big-bang', 'incremental', 'dual-write', 'cdc']).default('big-bang'),
    source: connectionReferenceSchema,
    target: connectionReferenceSchema,
    tables: tablesSchema.prefault({}),
    decision: decisionSchema.prefault({}),
    /** Without it, gates ask a person for what the endpoints would have done. */
    application: applicationSchema.optional(),
    /** Scratch servers, never production, on which the backup is restored and this migration is carried out first; or `skip` with the reason. */
    rehearsal: rehearsalSchema.optional(),
    snapshot: snapshotSchema.default({ kind: 'pg_dump' }),
    gates: gatesSchema.default({}),
    /** Preflight checks whose failure is known and accepted: check name -> reason. */
    waivers: z.record(z.string(), z.string().min(3)).default({}),
    /** `create`: roles missing on the target are created with their attributes, memberships and, where readable, password hashes. `require`: they must be there. */
    roles: z.enum(['create', 'require']).default('create'),
    copy: copySchema.prefault({}),
    /** Tables whose columns are other ones on the target; for the strategy `big-bang`. */
    transformations: transformationsSchema.default([]),
    validation: validationSchema.prefault({}),
    rollbackTriggers: rollbackTriggersSchema.prefault({}),
    /** How changes are streamed; for the strategy `cdc`. */
    cdc: cdcSchema.prefault({}),
    /** How changes are picked up in passes; for the strategy `incremental`. */
    incremental: incrementalSchema.prefault({}),
    /** How both sides are brought to agree; for the strategy `dual-write`. */
    dualWrite: dualWriteSchema.prefault({}),
    /** After the switch the source follows the target, so that going back loses nothing. On for `cdc` unless said otherwise; no other strategy has it. */
    reverseReplication: z.boolean().optional(),
    /** From the moment that writes are stopped; when it passes before the switch, the source is reopened by itself. One hour; for `cdc` 60 seconds. */
    maxDowntime: durationSchema.optional(),
    monitor: durationSchema.default('24h'),
    retainSource: durationSchema.default('30d'),
    afterwards: afterwardsSchema.prefault({}),
    /** What `retire-source` does with the source: its fence is kept (nobody can write to the old side by mistake) or taken away; or, with the fence kept, it is archived, dropped, stopped, as the parts say. */
    retire: retireSchema.default('keep-fenced'),
  })
  .superRefine((plan, context) => {
    if (plan.transformations.length > 0 && plan.strategy !== 'big-bang') {
      context.addIssue({
        code: 'custom',
        path: ['transformations'],
        input: plan.transformations.map(({ table }) => table),
        message: `expected none together with strategy "${plan.strategy}": ${cannotTransform[plan.strategy]}. Take "big-bang", or change the schema before or after the migration`,
      });
    }
    if (plan.cdc.largeObjects === 'copy-under-fence' && plan.strategy === 'cdc' && plan.reverseReplication !== false) {
      context.addIssue({
        code: 'custom',
        path: ['cdc', 'largeObjects'],
        input: plan.cdc.largeObjects,
        message:
          'expected "refuse" together with reverse replication: large objects written after the switch cannot be streamed back; set reverseReplication to false to accept that',
      });
    }
    if (plan.reverseReplication && plan.strategy !== 'cdc') {
      context.addIssue({
        code: 'custom',
        path: ['reverseReplication'],
        input: true,
        message: `expected false: the strategy ${plan.strategy} has no reverse stream; leave the field out, or take "cdc"`,
      });
    }
    const droppedUnasked =
      typeof plan.retire === 'object' && plan.retire.drop && ruleOf(plan.gates, 'drop-source') === 'auto';
    if (droppedUnasked) {
      context.addIssue({
        code: 'custom',
        path: ['gates'],
        input: plan.gates,
        message:
          'expected gates by name, with drop-source not "auto": a database is dropped only when a person has approved it; or leave out retire.drop',
      });
    }
    if (sameReference(plan.source, plan.target)) {
      context.addIssue({
        code: 'custom',
        path: ['target'],
        input: plan.target,
        message: 'expected a reference other than the one of source: a database is not migrated onto itself',
      });
    }
    const scratch = rehearsalServers(plan.rehearsal);
    for (const side of ['source', 'target'] as const) {
      const others = [plan.source, plan.target, ...(side === 'target' && scratch ? [scratch.source] : [])];
      if (!scratch || !others.some((other) => sameReference(other, scratch[side]))) continue;
      context.addIssue({
        code: 'custom',
        path: ['rehearsal', side],
        input: scratch[side],
        message: 'expected a reference to a scratch database of its own: a rehearsal never runs on production',
      });
    }
  });

export const postgresPlanSchema = plannedSchema
  .superRefine((plan, context) => {
    if (plan.strategy === 'dual-write' && plan.application === undefined) {
      context.addIssue({
        code: 'custom',
        path: ['application'],
        input: undefined,
        message:
          'expected the admin endpoints of the application together with strategy "dual-write": it is the application that writes to both sides',
      });
    }
  })
  .transform(withDefaults);

/** The plan of a rehearsal: as any other, but without an application whatever the strategy, since none writes to scratch servers. */
export const rehearsalPlanSchema = plannedSchema.transform(withDefaults);

/** Those that depend on the strategy. */
function withDefaults<Plan extends z.output<typeof plannedSchema>>(plan: Plan) {
  return {
    ...plan,
    reverseReplication: plan.reverseReplication ?? plan.strategy === 'cdc',
    maxDowntime: plan.maxDowntime ?? (plan.strategy === 'cdc' ? '60s' : '1h'),
  };
}

/** Why only rows that stand still, and are written by us alone, go through expressions. */
const cannotTransform = {
  incremental: 'its passes compare the rows of both sides as they are',
  'dual-write': 'the application writes the same rows to both sides',
  cdc: 'logical replication applies the rows of the source as they are',
} as const;

/** Whatever server each is bound to: one text is behind both. */
function sameReference(left: ConnectionReference, right: ConnectionReference): boolean {
  return describeReference(left) === describeReference(right);
}

/** A plan as the operator writes it: only `name`, `source` and `target` are required. */
export type PostgresPlanInput = z.input<typeof postgresPlanSchema>;
/** A plan with every default filled in. */
export type PostgresPlan = z.output<typeof postgresPlanSchema>;
