// From an empty target to one that has the source's rows, keys and indexes as of some minutes ago. The source serves all the while.
import { formatBytes } from '../../../../journal/quantities';
import { run } from '../../../activity-options';
import { needed } from '../../migration';
import { copyAllChunks } from '../copy';
import { shutTarget } from '../shut-target';
import type { PassMigration } from './migration';
import { describePass, makePass } from './pass';

export async function copyLive(migration: PassMigration): Promise<void> {
  migration.targetAccess = await shutTarget(migration, ['copy-data']);
  await copyFirst(migration);
  await finishObjects(migration);
}

/** Each chunk as it is when it is read: what moves meanwhile is missed or doubled, and the first pass puts that right. */
async function copyFirst(migration: PassMigration): Promise<void> {
  const { runbook, plan, scope } = migration;
  const { journal } = runbook;
  runbook.phase('copy');
  await runbook.step(
    'begin-passes',
    'Note where the source is before anything is copied',
    () => run('long', 'Mark of the source before the copy').beginIncremental({ scope }),
    { describe: ({ tables }) => `${tables} tables` },
  );
  await runbook.step(
    'plan-copy',
    'Cut the tables into chunks, biggest first',
    () => run('long', 'Plan the chunks of the copy').planChunks({ scope, chunkMegabytes: plan.copy.chunkMegabytes }),
    {
      describe: ({ tables, chunks, bytesTotal }) => `${tables} tables in ${chunks} chunks, ${formatBytes(bytesTotal)}`,
    },
  );
  await runbook.step(
    'copy-data',
    'Copy the rows, while the source takes writes',
    async () => {
      await copyAllChunks(migration);
      const summary = await run('long', 'Add up what was copied').summarizeCopy({ scope });
      journal.tables = summary.tables;
      journal.tablesNotListed = summary.tablesNotListed;
      migration.tables = summary.artifact;
      migration.rows = summary.rows;
      return summary;
    },
    {
      undoTitle: 'Make sure that no copy runs any more',
      undo: async () =>
        `${(await run('undo', 'Stop what is left of the copy').stopCopy({ scope })).ended} sessions ended`,
      describe: ({ rows, bytes }) => `${rows} rows, ${formatBytes(bytes)}`,
    },
  );
}

/** Unique indexes come after the pass that makes the rows right; foreign keys after one that has the keys to find rows by. */
async function finishObjects(migration: PassMigration): Promise<void> {
  const { runbook, plan, scope } = migration;
  const archive = needed(migration.archive, 'archive');
  const { lanes } = plan.copy;
  runbook.phase('catch-up');
  await runbook.step(
    'first-pass',
    'Bring over what changed during the copy',
    () => makePass(migration, 'before indexes are built'),
    { describe: describePass },
  );
  await runbook.step(
    'indexes',
    'Build keys and indexes',
    () => run('long', 'Build keys and indexes').buildPostData({ scope, archive, lanes, foreignKeys: false }),
    { describe: ({ indexes, constraints }) => `${indexes} indexes, ${constraints} constraints` },
  );
  await runbook.step(
    'second-pass',
    'Bring over what changed while indexes were built',
    async () => {
      const first = await makePass(migration, 'after indexes were built');
      // By one lane, so what is left for it should be little.
      const second = await makePass(migration, 'as of one moment, before foreign keys are built', {
        oneSnapshot: true,
      });
      return [first, second];
    },
    { describe: (records) => records.map(describePass).join('; then ') },
  );
  await runbook.step(
    'post-data',
    'Build foreign keys and what else comes after the data',
    () => run('long', 'Build foreign keys, triggers, views').buildPostData({ scope, archive, lanes }),
    { describe: ({ constraints, others }) => `${constraints} constraints, ${others} others` },
  );
  await runbook.step(
    'analyze',
    'Collect planner statistics on the target',
    () => run('long', 'ANALYZE the target').analyzeTarget({ scope, lanes }),
    { skippable: true, describe: ({ tables }) => `${tables} tables` },
  );
}
