// From an empty target to one that follows the source: copy in groups, indexes, subscriptions, catching up. The source serves all the while.
import { parseDurationMs } from '../../../../plan/duration';
import { formatDurationMs } from '../../../../plan/duration';
import { run } from '../../../activity-options';
import { needed } from '../../migration';
import { megabytes } from '../preflight';
import { copyInGroups } from './copy-groups';
import { dismissGuardian, startGuardian } from './guardian';
import { doesWithoutTarget } from '../way-back';
import type { CdcMigration } from './migration';

export async function startStreaming(migration: CdcMigration): Promise<void> {
  await rememberSchema(migration);
  await shutTarget(migration);
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
      const { changes } = await run('long', 'Has the schema changed since it was read').compareSchemaWithDump({
        scope,
        catalog: needed(migration.catalog, 'catalog'),
      });
      if (changes.length > 0)
        throw new Error(
          `the schema of the source has changed since it was read: ${changes.slice(0, 10).join('; ')}. Undo the change and retry, or roll back and begin anew`,
        );
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

/** Nobody but the streams writes to the side that follows. */
async function shutTarget(migration: CdcMigration): Promise<void> {
  const { runbook, plan, scope } = migration;
  const { application } = plan;
  if (application) {
    await runbook.step(
      'target-health',
      'Ask the application whether it can reach the target',
      () => run('application', 'POST /admin/target-health-check').checkTargetHealth({ application }),
      { skippable: true, describe: () => 'healthy' },
    );
  }
  const side = 'target' as const;
  migration.access.target = await runbook.step(
    'inspect-target-access',
    'Record who may connect to the target now',
    () => run('brisk', 'Record access to the target before the fence').inspectAccess({ scope, side }),
    { describe: ({ connectionLimit, mechanism }) => `connection limit ${connectionLimit}, fence by ${mechanism}` },
  );
  const former = needed(migration.access.target, 'access to the target');
  await runbook.step(
    'shut-target',
    'Raise the fence on the target until it is switched to',
    () => run('brisk', 'Raise the fence on the target').raiseFence({ scope, side, former }),
    {
      undoTitle: 'Lower the fence on the target',
      undoNeeds: ['streams'],
      undo: async () => {
        // Behind the fence: who comes in once it is lowered must not find the copy and write to what is about to go.
        const inventory = needed(migration.inventory, 'inventory');
        await run('undo', 'Clear the target behind the fence').clearTarget({ scope, inventory });
        const { lowered } = await run('quickUndo', 'Lower the fence on the target').lowerFence({ scope, side });
        return lowered ? 'empty, and open again' : 'empty; the fence was not up';
      },
      describe: ({ endedSessions, holes }) =>
        `${endedSessions} sessions ended${holes.length > 0 ? `; not kept out: ${holes.join(', ')}` : ''}`,
    },
  );
}

async function copyLive(migration: CdcMigration): Promise<void> {
  const { runbook, plan, scope } = migration;
  const { journal } = runbook;
  runbook.phase('copy');
  await runbook.step(
    'plan-copy',
    'Cut the tables into chunks, biggest first',
    () =>
      run('long', 'Plan the chunks of the copy').planChunks({
        scope,
        chunkMegabytes: plan.copy.chunkMegabytes,
        strategy: 'cdc',
      }),
    {
      describe: ({ tables, chunks, bytesTotal }) => `${tables} tables in ${chunks} chunks, ${megabytes(bytesTotal)}`,
    },
  );
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
  await runbook.step(
    'copy-data',
    'Copy the rows, while the source takes writes',
    async () => {
      await copyInGroups(migration);
      const summary = await run('long', 'Add up what was copied').summarizeCopy({ scope });
      journal.tables = summary.tables;
      journal.tablesNotListed = summary.tablesNotListed;
      migration.tables = summary.artifact;
      migration.rows = summary.rows;
      migration.copied = true;
      return summary;
    },
    {
      undoTitle: 'Make sure that no copy runs any more',
      undo: async () =>
        `${(await run('undo', 'Stop what is left of the copy').stopCopy({ scope })).ended} sessions ended`,
      describe: ({ rows, bytes }) => `${rows} rows, ${megabytes(bytes)}, in ${migration.group} copy group(s)`,
    },
  );
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
  const { runbook, plan, scope } = migration;
  const archive = needed(migration.archive, 'archive');
  const lanes = plan.copy.lanes;
  runbook.phase('catch-up');
  await runbook.step(
    'indexes',
    'Build keys and indexes',
    () => run('long', 'Build keys and indexes').buildPostData({ scope, archive, lanes, foreignKeys: false }),
    { describe: ({ indexes, constraints }) => `${indexes} indexes, ${constraints} constraints` },
  );
  await runbook.step(
    'subscribe',
    'Subscribe the target to the source',
    () => run('long', 'Subscribe the target to the source').subscribe({ scope, leg: migration.leg }),
    { describe: ({ streams }) => `${streams.length} stream(s)` },
  );
  await catchUp(migration);
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
