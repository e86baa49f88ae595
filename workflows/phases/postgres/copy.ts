// The copy as the workflow sees it: lanes that each take the next chunk until none is left. Progress and exactly-once live in the target's
// ledger.
import { formatBytes } from '../../../journal/quantities';
import { run } from '../../activity-options';
import { runInLanes } from './lanes';
import type { PostgresMigration } from './migration';
import { keepRejects, tellingRejects, transformationsOf } from './transformations';

/** What a lane is told beside its number. */
export interface LaneKind {
  /** Of CDC: the lanes read under the snapshot of this copy group. */
  group?: number;
  /** Of dual writing: what is there already stays. */
  merge?: boolean;
}

/** Under the fence. */
export async function copyTables(migration: PostgresMigration): Promise<void> {
  migration.runbook.phase('copy');
  await planCopy(migration, { downtime: true });
  await copyData(migration, {
    title: 'Copy the rows',
    copy: () => tellingRejects(migration, () => copyAllChunks(migration)),
    downtime: true,
  });
  await keepRejects(migration);
  migration.copied = true;
}

/** @param how `downtime`: the application cannot write meanwhile; `strategy`: see `planChunks` */
export async function planCopy(
  { runbook, plan, scope }: PostgresMigration,
  { downtime = false, ...how }: { downtime?: boolean; strategy?: 'cdc' } = {},
): Promise<void> {
  await runbook.step(
    'plan-copy',
    'Cut the tables into chunks, biggest first',
    () =>
      run('long', 'Plan the chunks of the copy').planChunks({
        scope,
        chunkMegabytes: plan.copy.chunkMegabytes,
        ...how,
        ...transformationsOf(plan),
      }),
    {
      downtime,
      describe: ({ tables, chunks, bytesTotal }) => `${tables} tables in ${chunks} chunks, ${formatBytes(bytesTotal)}`,
    },
  );
}

interface CopyStep {
  title: string;
  copy: () => Promise<void>;
  /** Whether the application cannot write meanwhile. */
  downtime?: boolean;
  /** What the summary says after rows and size. */
  how?: () => string;
}

/** The step `copy-data`: the journal has each table afterwards, and the undo leaves no lane that goes on. */
export async function copyData(migration: PostgresMigration, { title, copy, downtime, how }: CopyStep): Promise<void> {
  const { runbook, scope } = migration;
  const { journal } = runbook;
  await runbook.step(
    'copy-data',
    title,
    async () => {
      await copy();
      const summary = await run('long', 'Add up what was copied').summarizeCopy({ scope });
      journal.tables = summary.tables;
      journal.tablesNotListed = summary.tablesNotListed;
      migration.tables = summary.artifact;
      migration.rows = summary.rows;
      return summary;
    },
    {
      downtime,
      undoTitle: 'Make sure that no copy runs any more',
      undo: async () =>
        `${(await run('undo', 'Stop what is left of the copy').stopCopy({ scope })).ended} sessions ended`,
      describe: ({ rows, bytes }) => `${rows} rows, ${formatBytes(bytes)}${how?.() ?? ''}`,
    },
  );
}

/** Copies until every chunk is done, in lanes. */
export async function copyAllChunks(migration: PostgresMigration, how: LaneKind = {}): Promise<void> {
  const { runbook, plan, scope } = migration;
  await runInLanes(migration, {
    name: 'the copy',
    lane: (lane) => run('long', `Copy lane ${lane + 1}`).copyLane({ scope, lane, ...how, ...transformationsOf(plan) }),
    measure: async () => {
      runbook.journal.copy = await run('brisk', 'Measure the copy').measureCopy({ scope });
    },
    isDone: async () => {
      const progress = await run('brisk', 'Is every chunk done').measureCopy({ scope });
      runbook.journal.copy = progress;
      return progress.chunksDone >= progress.chunksTotal;
    },
    waiting: 'Before the chunks that are left',
  });
}
