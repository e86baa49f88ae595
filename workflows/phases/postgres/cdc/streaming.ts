// From an empty target to one that follows the source: copy in groups, indexes, subscriptions, catching up. The source serves all the while.
import { parseDurationMs } from '../../../../plan/duration';
import { formatDurationMs } from '../../../../plan/duration';
import { run } from '../../../activity-options';
import { needed } from '../../migration';
import { copyData, planCopy } from '../copy';
import { buildIndexes, buildRest, collectStatistics } from '../objects';
import { requireSameSchema } from '../schema-unchanged';
import { shutTarget } from '../shut-target';
import { copyInGroups } from './copy-groups';
import { dismissGuardian, startGuardian } from './guardian';
import { doesWithoutTarget } from '../way-back';
import type { CdcMigration } from './migration';

export async function startStreaming(migration: CdcMigration): Promise<void> {
  await rememberSchema(migration);
  migration.access.target = await shutTarget(migration, ['streams']);
  await copyLive(migration);
  await follow(migration);
}

/** What the target was given is what the source has, and any change from here on is noticed. */
async function rememberSchema(migration: CdcMigration): Promise<void> {
  const { runbook, plan, scope } = migration;
  await runbook.step(
    'remember-schema',
    'Remember the schema of the source, to notice any change',
    async () => {
      const { artifact, objects } = await run('long', 'Fingerprint of the source').fingerprintSchema({
        scope,
        side: 'source',
      });
      await requireSameSchema(migration);
      migration.fingerprints.source = artifact;
      return objects;
    },
    { describe: (objects) => `${objects} objects` },
  );
  if (plan.cdc.ddl === 'watch') return;
  await runbook.step('guard-ddl', 'Have the source refuse changes of its schema', () => guardDdl(migration, true), {
    undoTitle: 'Let the source take changes of its schema again',
    undo: () => guardDdl(migration, false),
    describe: (said) => said,
  });
}

export async function guardDdl({ scope }: CdcMigration, on: boolean): Promise<string> {
  await run(on ? 'quick' : 'quickUndo', 'Event trigger against DDL').guardDdl({ scope, on });
  return on ? 'an event trigger refuses them' : 'the event trigger is gone';
}

async function copyLive(migration: CdcMigration): Promise<void> {
  const { runbook, plan, scope } = migration;
  runbook.phase('copy');
  await planCopy(migration, { strategy: 'cdc' });
  await runbook.step('guardian', 'Start the slot guardian', () => startGuardian(migration), {
    undoTitle: 'Dismiss the slot guardian',
    undoNeeds: ['streams'],
    undo: () => dismissGuardian(migration),
    describe: (id) => id,
  });
  await runbook.step(
    'streams',
    'Prepare the source for streaming',
    async () => {
      const prepared = await run('long', 'Schema of our own, replica identities').prepareStreaming({
        scope,
        leg: 0,
        tablesWithoutKey: plan.cdc.tablesWithoutKey,
      });
      migration.identitiesChanged = prepared.identitiesChanged;
      return prepared;
    },
    {
      undoTitle: 'Remove every slot, publication and subscription',
      undoNeeds: ['copy-data'],
      undo: () => removeStreams(migration),
      describe: ({ tables, identitiesChanged }) =>
        `${tables} tables${identitiesChanged.length > 0 ? `; replica identity set, to be put back: ${identitiesChanged.slice(0, 10).join(', ')}` : ''}`,
    },
  );
  await copyData(migration, {
    title: 'Copy the rows, while the source takes writes',
    copy: () => copyInGroups(migration),
    how: () => `, in ${migration.group} copy group(s)`,
  });
  migration.copied = true;
}

/** Everything of the migration on both sides, whatever half of it is there. */
export async function removeStreams(migration: CdcMigration): Promise<string> {
  const { scope } = migration;
  const profile = doesWithoutTarget(migration) ? 'glance' : 'undo';
  const { removed, left } = await run(profile, 'Remove slots, publications, subscriptions').removeStreams({ scope });
  if (left.length > 0) throw new Error(`still there: ${left.slice(0, 10).join('; ')}`);
  return removed.length === 0 ? 'none was there' : `${removed.length} objects removed`;
}

async function follow(migration: CdcMigration): Promise<void> {
  const { runbook, scope } = migration;
  runbook.phase('catch-up');
  await buildIndexes(migration);
  await runbook.step(
    'subscribe',
    'Subscribe the target to the source',
    () => run('long', 'Subscribe the target to the source').subscribe({ scope, leg: migration.leg }),
    { describe: ({ streams }) => `${streams.length} stream(s)` },
  );
  await catchUp(migration);
  await buildRest(migration);
  await collectStatistics(migration);
  migration.following = true;
}

/** Until a marker passes through every stream within the time that the plan allows. */
export async function catchUp(migration: CdcMigration): Promise<void> {
  const { runbook, plan, scope, leg } = migration;
  await runbook.step(
    'catch-up',
    'Catch up with what was written meanwhile',
    () =>
      run('long', 'Until the streams have caught up').awaitCaughtUp({
        scope,
        leg,
        maxLagMs: needed(parseDurationMs(plan.cdc.maxLag), 'maxLag'),
      }),
    { againByItself: true, describe: ({ lagMs }) => `a marker passes in ${formatDurationMs(lagMs)}` },
  );
}
