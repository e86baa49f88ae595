// What looks at the Kubernetes side after the import, and what takes the import back: composed.
import { createCompareActivities } from './compare';
import type { KubernetesDependencies } from './dependencies';
import { createDivergenceActivities } from './divergence';
import { createEachKindActivities } from './each-kind';
import { createIpamActivities } from './ipam';
import { createKubernetesLeftoverActivities } from './leftovers';
import { createRemoveActivities } from './remove';

export function createKubernetesCheckActivities(dependencies: KubernetesDependencies) {
  return {
    ...createCompareActivities(dependencies),
    ...createEachKindActivities(dependencies),
    ...createIpamActivities(dependencies),
    ...createRemoveActivities(dependencies),
    ...createKubernetesLeftoverActivities(dependencies),
    ...createDivergenceActivities(dependencies),
  };
}
