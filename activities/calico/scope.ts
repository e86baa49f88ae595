// What every Calico activity is told: which migration, and where both datastores are. References only; secrets are resolved on the worker.
import type { CalicoSource, CalicoTarget } from '../../plan/calico';

export interface CalicoScope {
  /** Workflow ID. */
  migration: string;
  source: CalicoSource;
  target: CalicoTarget;
}

/** How objects are named and written for the Calico that will read them. */
export interface Encoding {
  /** Stored names of policies of the default tier: `default.foo` (up to 3.31) or `foo` (from 3.32 on). */
  policyNaming: 'prefixed' | 'bare';
  /** From 3.31 on block affinities carry labels that calico-node selects by. */
  affinityLabels: boolean;
}
