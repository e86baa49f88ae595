// What activities need, made once for the process: connections by reference, the artifact store, client tools.
import type { ActivityDependencies } from '../activities';
import { artifactStoreFor } from '../activities/artifacts';
import { EtcdConnections } from '../activities/calico/etcd/connection';
import { KubernetesConnections } from '../activities/calico/kubernetes/connection';
import { PostgresConnections } from '../activities/postgres/connection';
import { locateClientTools } from './client-tools';

export async function makeDependencies(
  environment: NodeJS.ProcessEnv,
  artifacts: string,
  ownTaskQueue: string,
): Promise<ActivityDependencies> {
  return {
    environment,
    connections: new PostgresConnections(environment),
    etcd: new EtcdConnections(environment),
    kubernetes: new KubernetesConnections(environment),
    artifacts: artifactStoreFor(artifacts, environment),
    tools: await locateClientTools(environment),
    ownTaskQueue,
  };
}
