// The activities that carry the schema: read it, build it in two parts around the rows, and take it away again.
import type { PostgresDependencies } from '../../dependencies';
import { createClearActivities } from './clear';
import { createDatabasePropertyActivities } from './database-properties';
import { createDumpActivities } from './dump';
import { createInventoryActivities } from './target-inventory';
import { createPostDataActivities } from './post-data';
import { createPreDataActivities } from './pre-data';

export function createSchemaActivities(dependencies: PostgresDependencies) {
  return {
    ...createInventoryActivities(dependencies),
    ...createDumpActivities(dependencies),
    ...createPreDataActivities(dependencies),
    ...createPostDataActivities(dependencies),
    ...createDatabasePropertyActivities(dependencies),
    ...createClearActivities(dependencies),
  };
}
