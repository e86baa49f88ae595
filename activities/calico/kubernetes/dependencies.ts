// What the activities on the Kubernetes side are made with.
import type { ArtifactStore } from '../../artifacts/store';
import type { KubernetesConnections } from './connection';

export interface KubernetesDependencies {
  kubernetes: KubernetesConnections;
  artifacts: ArtifactStore;
}
