// The activities on the Kubernetes side of a Calico migration: those that write the data, and those that prove it and take it back.
import { createKubernetesCheckActivities } from './checks';
import { createCrdActivities } from './crds';
import type { KubernetesDependencies } from './dependencies';
import { createImportActivities } from './import';
import { createInventoryActivities } from './inventory';
import { createKubernetesLockActivities } from './lock';
import { createNodeActivities } from './nodes';

export { KubernetesConnections, type KubernetesApi } from './connection';
export type { RemovedCrds } from './crd-removal';
export type { EnsuredCrds } from './crds';
export type { KubernetesDependencies } from './dependencies';
export type { ImportProgress, ImportRequest, ImportResult } from './import';
export type { InventoryResult } from './inventory';
export type { KubernetesLockState } from './lock';
export type { AnnotatedNodes } from './nodes';

export function createKubernetesDataActivities(dependencies: KubernetesDependencies) {
  return {
    ...createInventoryActivities(dependencies),
    ...createCrdActivities(dependencies),
    ...createKubernetesLockActivities(dependencies),
    ...createImportActivities(dependencies),
    ...createNodeActivities(dependencies),
    ...createKubernetesCheckActivities(dependencies),
  };
}
