// What comes after the rows while the application goes on: keys and indexes, the rest of the schema, statistics.
import { run } from '../../activity-options';
import { needed } from '../migration';
import type { PostgresMigration } from './migration';

/** No foreign keys yet: rows still arrive table by table. */
export async function buildIndexes({ runbook, plan, scope, archive }: PostgresMigration): Promise<void> {
  await runbook.step(
    'indexes',
    'Build keys and indexes',
    () =>
      run('long', 'Build keys and indexes').buildPostData({
        scope,
        archive: needed(archive, 'archive'),
        lanes: plan.copy.lanes,
        foreignKeys: false,
      }),
    { describe: ({ indexes, constraints }) => `${indexes} indexes, ${constraints} constraints` },
  );
}

export async function buildRest({ runbook, plan, scope, archive }: PostgresMigration): Promise<void> {
  await runbook.step(
    'post-data',
    'Build foreign keys and what else comes after the data',
    () =>
      run('long', 'Build foreign keys, triggers, views').buildPostData({
        scope,
        archive: needed(archive, 'archive'),
        lanes: plan.copy.lanes,
      }),
    { describe: ({ constraints, others }) => `${constraints} constraints, ${others} others` },
  );
}

/** @param downtime whether the application cannot write meanwhile */
export async function collectStatistics({ runbook, plan, scope }: PostgresMigration, downtime = false): Promise<void> {
  await runbook.step(
    'analyze',
    'Collect planner statistics on the target',
    () => run('long', 'ANALYZE the target').analyzeTarget({ scope, lanes: plan.copy.lanes }),
    { downtime, skippable: true, describe: ({ tables }) => `${tables} tables` },
  );
}
