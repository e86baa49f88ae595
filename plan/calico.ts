// The plan of a Calico migration from the etcdv3 datastore to the Kubernetes datastore, with every default spelled out.
import { z } from 'zod';
import { durationSchema } from './duration';
import { gatesSchema, ruleOf } from './gates';
import { secretReferenceSchema } from './reference';
import { decisionSchema, planNameSchema } from './runbook';

const sourceSchema = z.strictObject({
  /** Client URLs of the etcd members: `https://10.0.0.1:2379`. */
  endpoints: z.array(z.url({ protocol: /^https?$/ })).min(1),
  /** PEM texts by reference; `cert` and `key` together make a client certificate. */
  tls: z
    .strictObject({
      ca: secretReferenceSchema.optional(),
      cert: secretReferenceSchema.optional(),
      key: secretReferenceSchema.optional(),
    })
    .refine(({ cert, key }) => (cert === undefined) === (key === undefined), {
      message: 'expected cert and key together: one is of no use without the other',
    })
    .optional(),
  /** etcd's own users, where its authentication is on. */
  auth: z.strictObject({ username: z.string().min(1), password: secretReferenceSchema }).optional(),
  /** Everything below it is Calico's; nothing outside of it is ever read or written. */
  prefix: z
    .string()
    .regex(/^\/[^/]+(\/[^/]+)*$/, 'expected a path such as "/calico", without a slash at its end')
    .default('/calico'),
});
export type CalicoSource = z.infer<typeof sourceSchema>;

const targetSchema = z.union(
  [
    z.strictObject({
      /** `env`: a variable that holds paths as KUBECONFIG does, or the text of a kubeconfig. `file`: a kubeconfig. */
      kubeconfig: secretReferenceSchema,
      /** The context in it; its current one by default. */
      context: z.string().min(1).optional(),
    }),
    /** The service account of the pod in which the worker runs. */
    z.strictObject({ inCluster: z.literal(true) }),
  ],
  { error: 'expected where the cluster is: {"kubeconfig": {"env": "KUBECONFIG"}} or {"inCluster": true}' },
);
export type CalicoTarget = z.infer<typeof targetSchema>;

const planSchema = z.strictObject({
  name: planNameSchema,
  source: sourceSchema,
  target: targetSchema,
  /** Files on the worker: what the switch applies, and what its undo applies. Without them people apply them at the gate `apply-manifest`. */
  manifests: z.strictObject({ kubernetes: z.string().min(1), etcd: z.string().min(1) }).optional(),
  /** Version of the Calico that will read the target, such as `v3.30.3`; by default that of the manifest's images, then that of the source. */
  calicoVersion: z
    .string()
    .regex(/^v?3\.\d+(\.\d+)?([-+].*)?$/, 'expected a version such as "v3.30.3"')
    .optional(),
  /** `auto`: by the version: `prefixed` up to 3.31, `bare` from 3.32 on. */
  policyNaming: z.enum(['auto', 'prefixed', 'bare']).default('auto'),
  /** Between the lock and the reading of the source: what was under way when the lock came, ends. */
  drain: durationSchema.default('10s'),
  /** What the target cannot hold (profiles of users, unreadable values, nodes that Kubernetes does not know): refuse to start, or name it in the report. */
  unmigratable: z.enum(['stop', 'report']).default('stop'),
  /** An object that is on the target already with another content: refuse, or replace it (its former content is kept for the way back). */
  existing: z.enum(['stop', 'replace']).default('stop'),
  /** Writes at the same time. */
  writers: z.number().int().min(1).max(64).default(16),
  /** Of all writers together; 0 is without a limit. The apiserver's own "slow down" is obeyed in any case; `tune` does not change it. */
  maxWritesPerSecond: z.number().nonnegative().default(0),
  /** How long the DaemonSets and Deployments of the manifest may take to roll out. */
  rolloutTimeout: durationSchema.default('30m'),
  /** From the lock of the source on; when it passes before the unlock of the target, everything is undone by itself. */
  maxLocked: durationSchema.default('4h'),
  decision: decisionSchema.prefault({}),
  gates: gatesSchema.default({}),
  /** Preflight checks whose failure is known and accepted: check name -> reason. */
  waivers: z.record(z.string(), z.string().min(3)).default({}),
  monitor: durationSchema.default('24h'),
  retainSource: durationSchema.default('30d'),
});

export const calicoPlanSchema = planSchema.superRefine(({ manifests, gates }, context) => {
  if (manifests || ruleOf(gates, 'apply-manifest') !== 'auto') return;
  context.addIssue({
    code: 'custom',
    path: ['gates'],
    input: gates,
    message:
      'expected people at the gate "apply-manifest", or "manifests" in the plan: otherwise nobody configures Calico for the datastore that is then unlocked',
  });
});

/** A plan as the operator writes it: only `name`, `source.endpoints` and `target` are required. */
export type CalicoPlanInput = z.input<typeof calicoPlanSchema>;
/** A plan with every default filled in. */
export type CalicoPlan = z.output<typeof calicoPlanSchema>;

/** "etcd https://10.0.0.1:2379 /calico": names where the source is, without anything secret. */
export function describeSource({ endpoints, prefix }: Pick<CalicoSource, 'endpoints' | 'prefix'>): string {
  return `etcd ${endpoints.join(',')} ${prefix}`;
}

/** "kubernetes by env KUBECONFIG, context prod" or "kubernetes, in cluster". */
export function describeTarget(target: CalicoTarget): string {
  if ('inCluster' in target) return 'kubernetes, in cluster';
  const { kubeconfig, context } = target;
  const where = 'env' in kubeconfig ? `env ${kubeconfig.env}` : `file ${kubeconfig.file}`;
  return `kubernetes by ${where}${context ? `, context ${context}` : ''}`;
}
