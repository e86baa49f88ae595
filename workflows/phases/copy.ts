// The copy as the workflow sees it: lanes that each take the next chunk until none is left. Progress and exactly-once live in
// the target's ledger; what is here is how many lanes run, pausing, tuning, and a measurement now and then.
import { CancellationScope, condition, isCancellation } from '@temporalio/workflow';
import { run } from '../activity-options';
import { megabytes } from './preflight';
import type { PostgresMigration } from './migration';

/** Progress is measured after this, then at ever longer distances: the number of events grows with the logarithm of the time. */
const firstMeasurementMs = 5_000;
const growth = 1.1;

export async function copyTables(migration: PostgresMigration): Promise<void> {
  const { runbook, plan, scope } = migration;
  const { journal } = runbook;
  runbook.phase('copy');

  await runbook.step(
    'plan-copy',
    'Cut the tables into chunks, biggest first',
    () => run('long', 'Plan the chunks of the copy').planChunks({ scope, chunkMegabytes: plan.copy.chunkMegabytes }),
    {
      downtime: true,
      describe: ({ tables, chunks, bytesTotal }) => `${tables} tables in ${chunks} chunks, ${megabytes(bytesTotal)}`,
    },
  );

  await runbook.step(
    'copy-data',
    'Copy the rows',
    async () => {
      await runLanes(migration);
      journal.copy = await run('quick', 'Measure the copy').measureCopy({ scope });
      const summary = await run('long', 'Add up what was copied').summarizeCopy({ scope });
      journal.tables = summary.tables;
      journal.tablesNotListed = summary.tablesNotListed;
      migration.tables = summary.artifact;
      migration.rows = summary.rows;
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
}

/** Runs lanes until every chunk is done. A pause stops them at once and starts them anew; the ledger knows where they were. */
async function runLanes(migration: PostgresMigration): Promise<void> {
  const { runbook, plan, scope } = migration;
  migration.lanes = plan.copy.lanes;
  migration.tuning = { copyLanes: plan.copy.lanes, maxBytesPerSecond: plan.copy.maxBytesPerSecond };
  for (;;) {
    await runbook.whilePaused();
    const lanes = new CancellationScope();
    const around = new CancellationScope();
    let done = false;
    try {
      const watching = around.run(() =>
        Promise.all([measureNowAndThen(migration), tuneWhenAsked(migration, lanes), stopOnPause(migration, lanes)]),
      );
      watching.catch(() => undefined);
      await handOverTuning(migration);
      await lanes.run(() => runLanesFrom(migration, 0, lanes));
      done = true;
    } catch (error) {
      if (!isCancellation(error) || !runbook.paused) throw error;
    } finally {
      around.cancel();
    }
    if (done) {
      const progress = await run('quick', 'Is every chunk done').measureCopy({ scope });
      runbook.journal.copy = progress;
      if (progress.chunksDone >= progress.chunksTotal) return;
    }
  }
}

/** One lane that fails for good stops the others; comes back only when all of them have really stopped. */
async function runLanesFrom(migration: PostgresMigration, from: number, lanes: CancellationScope): Promise<void> {
  const { scope } = migration;
  const numbers = Array.from({ length: migration.lanes - from }, (_, index) => from + index);
  const copying = numbers.map((lane) =>
    run('long', `Copy lane ${lane + 1}`)
      .copyLane({ scope, lane })
      .catch((error: unknown) => {
        lanes.cancel();
        throw error;
      }),
  );
  const failures = (await Promise.allSettled(copying)).flatMap((result) =>
    result.status === 'rejected' ? [result.reason as Error] : [],
  );
  const first = failures.find((error) => !isCancellation(error)) ?? failures[0];
  if (first) throw first;
}

async function measureNowAndThen({ runbook, scope }: PostgresMigration): Promise<void> {
  const started = runbook.now().getTime();
  for (;;) {
    const elapsed = runbook.now().getTime() - started;
    await condition(() => false, Math.max(firstMeasurementMs, elapsed * (growth - 1)), {
      summary: 'Until the copy is measured again',
    });
    try {
      runbook.journal.copy = await run('quick', 'Measure the copy').measureCopy({ scope });
      runbook.show();
    } catch (error) {
      // Only a view: the lanes themselves report what is wrong.
      if (isCancellation(error)) throw error;
    }
  }
}

async function tuneWhenAsked(migration: PostgresMigration, lanes: CancellationScope): Promise<void> {
  for (;;) {
    await condition(() => migration.tuning !== undefined);
    const before = migration.lanes;
    await handOverTuning(migration);
    if (migration.lanes > before) void lanes.run(() => runLanesFrom(migration, before, lanes)).catch(() => undefined);
  }
}

async function handOverTuning(migration: PostgresMigration): Promise<void> {
  const { scope, tuning } = migration;
  if (!tuning) return;
  migration.tuning = undefined;
  await run('quick', 'Tune the copy').tuneCopy({
    scope,
    lanes: tuning.copyLanes,
    maxBytesPerSecond: tuning.maxBytesPerSecond,
  });
  if (tuning.copyLanes !== undefined) migration.lanes = tuning.copyLanes;
}

async function stopOnPause({ runbook }: PostgresMigration, lanes: CancellationScope): Promise<void> {
  await condition(() => runbook.paused);
  lanes.cancel();
}
