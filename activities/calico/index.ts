// The Calico activities, composed.
import type { CalicoDependencies } from './dependencies';
import { createEtcdActivities } from './etcd';
import { createCalicoExportActivities } from './export';
import { createKubernetesDataActivities } from './kubernetes';
import { createCalicoPreflightActivities } from './preflight';
import { createSwitchActivities } from './switch';

export type { CalicoDependencies } from './dependencies';

export function createCalicoActivities(dependencies: CalicoDependencies) {
  return {
    ...createCalicoPreflightActivities(dependencies),
    ...createEtcdActivities(dependencies),
    ...createCalicoExportActivities(dependencies),
    ...createKubernetesDataActivities(dependencies),
    ...createSwitchActivities(dependencies),
  };
}
