// The copy as the workflow sees it: lanes that each take the next chunk until none is left. Progress and exactly-once live in the target's
// ledger.
import { run } from '../../activity-options';
import { runInLanes } from './lanes';
import type { PostgresMigration } from './migration';
import { megabytes } from './preflight';
import { keepRejects, tellingRejects, transformationsOf } from './transformations';

/** What a lane is told beside its number. */
export interface LaneKind {
  /** Of CDC: the lanes read under the snapshot of this copy group. */
  group?: number;
  /** Of dual writing: what is there already stays. */
  merge?: boolean;
}

export async function copyTables(migration: PostgresMigration): Promise<void> {
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
        ...transformationsOf(plan),
      }),
    {
      downtime: true,
      describe: ({ tables, chunks, bytesTotal }) => `${tables} tables in ${chunks} chunks, ${megabytes(bytesTotal)}`,
    },
  );

  await runbook.step(
    'copy-data',
    'Copy the rows',
    async () => {
      await tellingRejects(migration, () => copyAllChunks(migration));
      const summary = await run('long', 'Add up what was copied').summarizeCopy({ scope });
      journal.tables = summary.tables;
      journal.tablesNotListed = summary.tablesNotListed;
      migration.tables = summary.artifact;
      migration.rows = summary.rows;
      migration.copied = true;
      return summary;
    },
    {
      downtime: true,
      undoTitle: 'Make sure that no copy runs any more',
      undo: async () =>
        `${(await run('undo', 'Stop what is left of the copy').stopCopy({ scope })).ended} sessions ended`,
      describe: ({ rows, bytes }) => `${rows} rows, ${megabytes(bytes)}`,
    },
  );
  await keepRejects(migration);
}

/** Copies until every chunk is done, in lanes. */
export async function copyAllChunks(migration: PostgresMigration, how: LaneKind = {}): Promise<void> {
  const { runbook, plan, scope } = migration;
  await runInLanes(migration, {
    name: 'the copy',
    lane: (lane) => run('long', `Copy lane ${lane + 1}`).copyLane({ scope, lane, ...how, ...transformationsOf(plan) }),
    measure: async () => {
      runbook.journal.copy = await run('quick', 'Measure the copy').measureCopy({ scope });
    },
    isDone: async () => {
      const progress = await run('quick', 'Is every chunk done').measureCopy({ scope });
      runbook.journal.copy = progress;
      return progress.chunksDone >= progress.chunksTotal;
    },
    waiting: 'Before the chunks that are left',
  });
}
