// Big-bang: the fence first, then everything is copied under it. The simplest way, for databases that fit the window.
import { run } from '../activity-options';
import { copyTables } from '../phases/postgres/copy';
import { needed } from '../phases/migration';
import type { PostgresMigration } from '../phases/postgres/migration';
import { megabytes } from '../phases/postgres/preflight';
import type { Strategy } from './strategy';

export const bigBang: Strategy = {
  async beforeFence() {
    // Nothing moves while the source takes writes.
  },

  async underFence(migration) {
    await schemaUnchanged(migration);
    await copyTables(migration);
    await finishTarget(migration);
  },
};

async function schemaUnchanged({ runbook, scope, catalog }: PostgresMigration): Promise<void> {
  await runbook.step(
    'schema-unchanged',
    'Compare the schema of the source with what the target was given',
    async () => {
      const { changes } = await run('long', 'Has the schema changed since it was read').compareSchemaWithDump({
        scope,
        catalog: needed(catalog, 'catalog'),
      });
      if (changes.length > 0) {
        throw new Error(
          `the schema of the source has changed since it was read: ${changes.slice(0, 10).join('; ')}. Undo the change and retry, or roll back and begin anew`,
        );
      }
    },
    { downtime: true, describe: () => 'unchanged' },
  );
}

/** Large objects, indexes, constraints, materialized views, sequences, statistics. */
async function finishTarget({ runbook, plan, scope, archive, lanes }: PostgresMigration): Promise<void> {
  const downtime = true;
  await runbook.step(
    'large-objects',
    'Copy large objects',
    () => run('long', 'Copy large objects').copyLargeObjects({ scope }),
    {
      downtime,
      describe: ({ objects, bytes }) => `${objects} objects, ${megabytes(bytes)}`,
    },
  );
  await runbook.step(
    'post-data',
    'Build indexes and constraints, refresh materialized views',
    () =>
      run('long', 'Build indexes and constraints').buildPostData({
        scope,
        archive: needed(archive, 'archive'),
        lanes: lanes || plan.copy.lanes,
      }),
    {
      downtime,
      describe: ({ indexes, constraints, others }) =>
        `${indexes} indexes, ${constraints} constraints, ${others} others`,
    },
  );
  await runbook.step(
    'sequences',
    'Carry every sequence',
    () => run('long', 'Carry sequences').carrySequences({ scope, margin: '0' }),
    {
      downtime,
      describe: ({ sequences }) => `${sequences} sequences`,
    },
  );
  await runbook.step(
    'analyze',
    'Collect planner statistics on the target',
    () => run('long', 'ANALYZE the target').analyzeTarget({ scope, lanes: plan.copy.lanes }),
    {
      downtime,
      skippable: true,
      describe: ({ tables }) => `${tables} tables`,
    },
  );
}
