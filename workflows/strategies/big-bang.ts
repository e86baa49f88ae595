// Big-bang: the fence first, then everything is copied under it. The simplest way, for databases that fit the window.
import { run } from '../activity-options';
import { copyTables } from '../phases/postgres/copy';
import { needed } from '../phases/migration';
import type { PostgresMigration } from '../phases/postgres/migration';
import { collectStatistics } from '../phases/postgres/objects';
import { megabytes } from '../phases/postgres/preflight';
import { schemaUnchanged } from '../phases/postgres/schema-unchanged';
import { limitsEvidence } from '../phases/postgres/transformations';
import type { Strategy } from './strategy';

export class BigBang implements Strategy {
  constructor(private readonly migration: PostgresMigration) {}

  async beforeFence(): Promise<void> {
    // Nothing moves while the source takes writes.
  }

  evidence(): string[] {
    return [
      'the schema is on the target and empty; the backup is verified',
      `writes stop now, for ${this.migration.runbook.journal.baseline?.rows ?? 'unknown'} rows to be copied and proved`,
      ...limitsEvidence(this.migration),
    ];
  }

  async underFence(): Promise<void> {
    await schemaUnchanged(this.migration);
    await copyTables(this.migration);
    await finishTarget(this.migration);
  }
}

/** Large objects, indexes, constraints, materialized views, sequences, statistics. */
async function finishTarget(migration: PostgresMigration): Promise<void> {
  const { runbook, plan, scope, archive, lanes } = migration;
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
  await collectStatistics(migration, downtime);
}
