// Preflight of a Calico migration: everything that can say no says it now, before anything is locked or written.
import type { CalicoPlan } from '../../../plan/calico';
import type { CalicoDependencies } from '../dependencies';
import type { CalicoPreflightInput, CalicoPreflightResult } from './types';

export type * from './types';

export function createCalicoPreflightActivities(_dependencies: CalicoDependencies) {
  return {
    identifyCalicoPlan: (_request: { plan: CalicoPlan }): Promise<{ digest: string; source: string; target: string }> =>
      Promise.reject(new Error('not yet')),
    preflightCalico: (_input: CalicoPreflightInput): Promise<CalicoPreflightResult> =>
      Promise.reject(new Error('not yet')),
  };
}
