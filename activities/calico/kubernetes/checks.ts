// What looks at the Kubernetes side after the import, and what takes the import back: composed.
import type { ArtifactStore } from '../../artifacts/store';
import { createCompareActivities } from './compare';
import type { KubernetesConnections } from './connection';
import { createDivergenceActivities } from './divergence';
import { createEachKindActivities } from './each-kind';
import { createIpamActivities } from './ipam';
import { createKubernetesLeftoverActivities } from './leftovers';
import { createRemoveActivities } from './remove';

export interface CheckDependencies {
  kubernetes: KubernetesConnections;
  artifacts: ArtifactStore;
}

export function createKubernetesCheckActivities(dependencies: CheckDependencies) {
  return {
    ...createCompareActivities(dependencies),
    ...createEachKindActivities(dependencies),
    ...createIpamActivities(dependencies),
    ...createRemoveActivities(dependencies),
    ...createKubernetesLeftoverActivities(dependencies),
    ...createDivergenceActivities(dependencies),
  };
}
