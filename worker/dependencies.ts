// What activities need, made once for the process: connections by reference, the artifact store, client tools.
import { artifactStoreFor } from '../activities/artifacts/file-store';
import type { PostgresDependencies } from '../activities/dependencies';
import { PostgresConnections } from '../activities/postgres/connection';
import { locateClientTools } from './client-tools';

export interface Dependencies extends PostgresDependencies {
  environment: NodeJS.ProcessEnv;
}

export async function makeDependencies(environment: NodeJS.ProcessEnv, artifacts: string): Promise<Dependencies> {
  return {
    environment,
    connections: new PostgresConnections(environment),
    artifacts: artifactStoreFor(artifacts),
    tools: await locateClientTools(environment),
  };
}
