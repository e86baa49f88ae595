// All activities of the service, composed from their factories.
import { createApplicationActivities } from './application/admin';
import { createCalicoActivities } from './calico';
import type { CalicoDependencies } from './calico/dependencies';
import type { PostgresDependencies } from './dependencies';
import { createPostgresActivities } from './postgres';
import { createReportActivities } from './report/write';

export type ActivityDependencies = PostgresDependencies & CalicoDependencies;

export function createActivities(dependencies: ActivityDependencies) {
  return {
    ...createPostgresActivities(dependencies),
    ...createCalicoActivities(dependencies),
    ...createApplicationActivities({ environment: dependencies.environment }),
    ...createReportActivities({ artifacts: dependencies.artifacts }),
  };
}

/** What workflows call; imported there as a type only. */
export type MigrationActivities = ReturnType<typeof createActivities>;
