// From an empty target to one that has every row, while the application writes to both: keys first, so that no row can come twice; then the
// application repeats its writes; then what was there before is filled in underneath, never over what the application has written.
import { typeOfFailure } from '../../../logbook';
import { run } from '../../../activity-options';
import { needed } from '../../migration';
import { copyAllChunks, copyData, planCopy } from '../copy';
import { collectStatistics } from '../objects';
import { applicationOf, isRehearsed, type DualWriteMigration } from './migration';
import { untilParity } from './reconcile';
import { reconciliationOf } from './rounds';

/** Foreign keys that do not hold: reconciled and tried again so often, then a person is asked. */
const buildsAtMost = 5;

/** Keys on the empty target, and the application asked to write to both. */
export async function writeToBoth(migration: DualWriteMigration): Promise<void> {
  const { runbook, plan, scope } = migration;
  await runbook.step(
    'indexes',
    'Build keys and indexes on the empty target',
    () =>
      run('long', 'Build keys and indexes').buildPostData({
        scope,
        archive: needed(migration.archive, 'archive'),
        lanes: plan.copy.lanes,
        foreignKeys: false,
        triggers: false,
      }),
    { describe: ({ indexes, constraints }) => `${indexes} indexes, ${constraints} constraints` },
  );
  await planCopy(migration);
  if (isRehearsed(migration)) {
    runbook.note(
      'A rehearsal: no application writes to both sides, so its repeats, the switch and the way back after it are not tried.',
    );
    return;
  }
  const application = applicationOf(migration);
  await runbook.step(
    'target-health',
    'Ask the application whether the target is healthy',
    () => run('application', 'POST /admin/target-health-check').checkTargetHealth({ application }),
    { describe: () => 'healthy' },
  );
  await runbook.step(
    'dual-write-on',
    'Have the application write to both sides',
    async () => {
      const called = await run('application', 'POST /admin/dual-write: on').setDualWrite({
        application,
        enabled: true,
      });
      migration.repeating = true;
      return called;
    },
    {
      undoTitle: 'Have the application write to the source alone',
      undoNeeds: ['switch-datastore'],
      undo: () => writeToOne(migration),
      describe: () => 'every write to the source is repeated on the target',
    },
  );
}

/** Idempotent. */
export async function writeToOne(migration: DualWriteMigration): Promise<string> {
  await run('application', 'POST /admin/dual-write: off').setDualWrite({
    application: applicationOf(migration),
    enabled: false,
  });
  migration.repeating = false;
  const { reconciliation } = migration.runbook.journal;
  if (reconciliation) reconciliation.endedAt = migration.runbook.now().toISOString();
  migration.runbook.show();
  return `the application writes to the ${migration.judge} alone`;
}

/** What was written before the application wrote to both. */
export async function backfill(migration: DualWriteMigration): Promise<void> {
  migration.runbook.phase('copy');
  await copyData(migration, {
    title: 'Fill in the rows that were there before, under those that the application writes',
    copy: () => copyAllChunks(migration, { merge: true }),
    how: () => ' read',
  });
  migration.copied = true;
}

/** Foreign keys, triggers and views, once both sides agree: a row that came back from the dead could not be referred to. */
export async function complete(migration: DualWriteMigration): Promise<void> {
  const { runbook, plan } = migration;
  const { dualWrite } = plan;
  runbook.phase('reconcile');
  for (let attempt = 1; ; attempt += 1) {
    await untilParity(migration, { rounds: 1, repair: dualWrite.repair, maxRows: dualWrite.maxRepairRows });
    const isLast = attempt === buildsAtMost;
    const built = await runbook.step(
      'post-data',
      'Build foreign keys, triggers and what else comes after the data',
      () => build(migration, isLast),
      { describe: (said) => said ?? 'a row was missing that another refers to: compared and repaired again first' },
    );
    if (built !== undefined || isLast) break;
  }
  await collectStatistics(migration);
  runbook.journal.reconciliation = { ...reconciliationOf(migration), parityWanted: dualWrite.parityRounds };
}

/** Undefined when a foreign key does not hold yet. */
async function build({ plan, scope, archive }: DualWriteMigration, isLast: boolean): Promise<string | undefined> {
  try {
    const { constraints, others } = await run('long', 'Build foreign keys, triggers, views').buildPostData({
      scope,
      archive: needed(archive, 'archive'),
      lanes: plan.copy.lanes,
    });
    return `${constraints} constraints, ${others} others`;
  } catch (error) {
    if (isLast || typeOfFailure(error) !== 'TargetConflict') throw error;
    return undefined;
  }
}
