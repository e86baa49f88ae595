// All activities of the service, composed from their factories.
import { createApplicationActivities } from './application/admin';
import type { ArtifactStore } from './artifacts/store';
import type { PostgresDependencies } from './dependencies';
import { createPostgresActivities } from './postgres';
import { createReportActivities } from './report/write';

export interface ActivityDependencies extends PostgresDependencies {
  artifacts: ArtifactStore;
  environment: NodeJS.ProcessEnv;
}

export function createActivities(dependencies: ActivityDependencies) {
  return {
    ...createPostgresActivities(dependencies),
    ...createApplicationActivities({ environment: dependencies.environment }),
    ...createReportActivities({ artifacts: dependencies.artifacts }),
  };
}

/** What workflows call; imported there as a type only. */
export type MigrationActivities = ReturnType<typeof createActivities>;
