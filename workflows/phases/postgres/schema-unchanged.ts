// What the target was given is still what the source has; otherwise rows would be copied into what is not theirs.
import { run } from '../../activity-options';
import { needed } from '../migration';
import type { PostgresMigration } from './migration';

/** @throws Error naming the first ten changes */
export async function requireSameSchema({ scope, catalog }: PostgresMigration): Promise<void> {
  const { changes } = await run('long', 'Has the schema changed since it was read').compareSchemaWithDump({
    scope,
    catalog: needed(catalog, 'catalog'),
  });
  if (changes.length > 0) {
    throw new Error(
      `the schema of the source has changed since it was read: ${changes.slice(0, 10).join('; ')}. Undo the change and retry, or roll back and begin anew`,
    );
  }
}

/** The step of it under the fence. */
export async function schemaUnchanged(migration: PostgresMigration): Promise<void> {
  await migration.runbook.step(
    'schema-unchanged',
    'Compare the schema of the source with what the target was given',
    () => requireSameSchema(migration),
    { downtime: true, describe: () => 'unchanged' },
  );
}
