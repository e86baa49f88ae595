// Who and what a migration is about, without a secret: the digest of the plan and the addresses behind its references.
import type { PostgresPlan } from '../../plan/postgres';
import type { ConnectionReference } from '../../plan/reference';
import type { PostgresDependencies } from '../dependencies';
import { digestOf } from '../plan-digest';

export interface PlanIdentity {
  /** sha256 of the plan with its defaults, as JSON with sorted keys; hex. */
  digest: string;
  /** `host:port/database`, or the reference where it cannot be resolved. */
  source: string;
  target: string;
}

export function createIdentifyActivities({ connections }: PostgresDependencies) {
  const addressOf = async (reference: ConnectionReference): Promise<string> => {
    const { host, port, database } = await connections.address(reference);
    return `${host}:${port}/${database}`;
  };

  return {
    /** Resolves the references of a plan. @throws PreconditionFailed (not retryable) when one is not set on this worker */
    async identifyPlan({ plan }: { plan: PostgresPlan }): Promise<PlanIdentity> {
      return { digest: digestOf(plan), source: await addressOf(plan.source), target: await addressOf(plan.target) };
    },
  };
}
