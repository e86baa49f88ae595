// What activities are made with; the worker builds it once.
import type { ArtifactStore } from './artifacts/store';
import type { ClientTools } from './postgres/client-tools';
import type { PostgresConnections } from './postgres/connection';

export interface PostgresDependencies {
  connections: PostgresConnections;
  artifacts: ArtifactStore;
  tools: ClientTools;
  /** The worker's own, for the plan's command and for the region of AWS; without it the process's. */
  environment?: NodeJS.ProcessEnv;
  /** Of this worker alone; undefined outside of a worker. */
  ownTaskQueue?: string;
}
