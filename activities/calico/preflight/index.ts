// Preflight of a Calico migration: everything that can say no says it now, before anything is locked or written.
// A new family of checks is a file beside this one and a line in `families`.
import { describeSource, describeTarget, type CalicoPlan } from '../../../plan/calico';
import { withHeartbeat } from '../../heartbeat';
import { digestOf } from '../../plan-digest';
import { runChecks } from '../../preflight/check';
import type { CalicoDependencies } from '../dependencies';
import { CheckContext, type CalicoCheck } from './context';
import { dataChecks } from './data';
import { factsOf } from './facts';
import { privilegeChecks } from './privileges';
import { reachableChecks } from './reachable';
import { refusalChecks } from './refusals';
import { targetChecks } from './target';
import type { CalicoPreflightInput, CalicoPreflightResult } from './types';
import { versionChecks } from './versions';
import { workloadChecks } from './workloads';

export type * from './types';

const families: CalicoCheck[][] = [
  reachableChecks,
  versionChecks,
  privilegeChecks,
  refusalChecks,
  dataChecks,
  targetChecks,
  workloadChecks,
];

/** Names of all checks, as waivers use them. */
export const calicoCheckNames: readonly string[] = families.flat().map(({ name }) => name);

export function createCalicoPreflightActivities(dependencies: CalicoDependencies) {
  return {
    /** Names both sides without a secret. @throws PreconditionFailed (not retryable) when a reference is not set on this worker */
    async identifyCalicoPlan({
      plan,
    }: {
      plan: CalicoPlan;
    }): Promise<{ digest: string; source: string; target: string }> {
      const { server } = await dependencies.kubernetes.connect(plan.target);
      return {
        digest: digestOf(plan),
        source: describeSource(plan.source),
        target: `${describeTarget(plan.target)} (${server})`,
      };
    },

    /**
     * Reads and translates everything once, looks at the cluster, changes nothing (what is tried there is tried as a dry run).
     * All checks run whatever the others find; what could not be looked at is a failure. Never throws for what it finds; only for cancellation.
     */
    preflightCalico: (input: CalicoPreflightInput): Promise<CalicoPreflightResult> =>
      withHeartbeat<object, CalicoPreflightResult>({}, async ({ signal, report }) => {
        const context = new CheckContext(input, dependencies, signal, (doing) => report({ doing }));
        await context.connect();
        const checks = await runChecks(families.flat(), context, input.plan.waivers);
        return { checks, facts: await factsOf(context) };
      }),
  };
}
