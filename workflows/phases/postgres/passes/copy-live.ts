// From an empty target to one that has the source's rows, keys and indexes as of some minutes ago. The source serves all the while.
import { run } from '../../../activity-options';
import { copyAllChunks, copyData, planCopy } from '../copy';
import { buildIndexes, buildRest, collectStatistics } from '../objects';
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
  const { runbook, scope } = migration;
  runbook.phase('copy');
  await runbook.step(
    'begin-passes',
    'Note where the source is before anything is copied',
    () => run('long', 'Mark of the source before the copy').beginIncremental({ scope }),
    { describe: ({ tables }) => `${tables} tables` },
  );
  await planCopy(migration);
  await copyData(migration, {
    title: 'Copy the rows, while the source takes writes',
    copy: () => copyAllChunks(migration),
  });
}

/** Unique indexes come after the pass that makes the rows right; foreign keys after one that has the keys to find rows by. */
async function finishObjects(migration: PassMigration): Promise<void> {
  const { runbook } = migration;
  runbook.phase('catch-up');
  await runbook.step(
    'first-pass',
    'Bring over what changed during the copy',
    () => makePass(migration, 'before indexes are built'),
    { describe: describePass },
  );
  await buildIndexes(migration);
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
  await buildRest(migration);
  await collectStatistics(migration);
}
