// What the Calico activities are made with; the worker builds it once.
import type { ArtifactStore } from '../artifacts/store';
import type { EtcdConnections } from './etcd/connection';
import type { KubernetesConnections } from './kubernetes/connection';

export interface CalicoDependencies {
  etcd: EtcdConnections;
  kubernetes: KubernetesConnections;
  artifacts: ArtifactStore;
  environment: NodeJS.ProcessEnv;
}
