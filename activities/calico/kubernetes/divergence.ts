// What going back after the unlock would lose: everything that has changed on the Kubernetes side since the import.
import type { ArtifactReference } from '../../artifacts/store';
import type { CheckDependencies } from './checks';
import type { CompareRequest } from './compare';

export interface DivergenceRequest extends CompareRequest {
  /** Of the artifact. */
  name: string;
}

export interface Divergence {
  /** Objects and nodes added, changed or deleted. */
  changes: number;
  /** A line each, addresses first; the first twenty. */
  detail: string[];
  /** The whole Kubernetes side as it is now: an object a line, as JSON. */
  artifact: ArtifactReference;
}

export function createDivergenceActivities(_dependencies: CheckDependencies) {
  return {
    measureDivergence: (_request: DivergenceRequest): Promise<Divergence> => Promise.reject(new Error('not yet')),
  };
}
