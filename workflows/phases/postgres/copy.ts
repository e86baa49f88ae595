// The copy as the workflow sees it: lanes that each take the next chunk until none is left. Progress and exactly-once live in
// the target's ledger; what is here is how many lanes run, pausing, tuning, and a measurement now and then.
import { CancellationScope, condition, isCancellation, sleep } from '@temporalio/workflow';
import { run } from '../../activity-options';
import type { PostgresMigration } from './migration';
import { megabytes } from './preflight';

/** Progress is measured after this, then at ever longer distances: the number of events grows with the logarithm of the time. */
const firstMeasurementMs = 2_000;
const growth = 1.1;

/** What a lane is told beside its number. */
export interface LaneKind {
  group?: number;
  merge?: boolean;
}

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
      await copyAllChunks(migration);
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
}

/**
 * Runs lanes until every chunk is done. A pause stops them at once; resuming starts them anew, and the ledger knows where they were.
 * @param how of CDC `group`: the lanes read under the snapshot of this copy group; of dual writing `merge`: what is there already stays
 */
export async function copyAllChunks(migration: PostgresMigration, how: LaneKind = {}): Promise<void> {
  const { runbook, scope } = migration;
  const { lanes, maxBytesPerSecond } = migration;
  migration.tuning = { copyLanes: lanes, maxBytesPerSecond, ...migration.tuning };
  for (let round = 1; ; round += 1) {
    await runbook.whilePaused();
    await handOverTuning(migration);
    if ((await runLanes(migration, how)) === 'paused') continue;
    const progress = await run('quick', 'Is every chunk done').measureCopy({ scope });
    runbook.journal.copy = progress;
    if (progress.chunksDone >= progress.chunksTotal) return;
    // Chunks that nobody holds and nobody took: a crash has given them back. Looked at again, ever less often.
    await sleep(round * 1_000, { summary: 'Before the chunks that are left' });
  }
}

/** One set of lanes, to its end or until a pause has really stopped all of them. */
async function runLanes(migration: PostgresMigration, how: LaneKind): Promise<'ended' | 'paused'> {
  const { runbook } = migration;
  const lanes = new CancellationScope();
  const beside = new CancellationScope();
  const running = new LaneGroup(migration, lanes, how);
  const pause = { asked: false };
  const stopOnPause = async (): Promise<void> => {
    await condition(() => runbook.paused);
    pause.asked = true;
    lanes.cancel();
  };
  beside
    .run(() => Promise.all([measureNowAndThen(migration), tuneWhenAsked(migration, running), stopOnPause()]))
    .catch(() => undefined);
  try {
    running.grow(migration.lanes);
    await running.untilAllHaveEnded();
    return 'ended';
  } catch (error) {
    if (pause.asked && isCancellation(error)) return 'paused';
    throw error;
  } finally {
    beside.cancel();
  }
}

/** Lanes that run together: one that fails for good stops the others, and none is forgotten. */
class LaneGroup {
  private readonly lanes: Promise<unknown>[] = [];
  private readonly failures: unknown[] = [];

  constructor(
    private readonly migration: PostgresMigration,
    private readonly cancellation: CancellationScope,
    private readonly how: LaneKind,
  ) {}

  /** Starts as many lanes as are missing; fewer are wanted: the lanes read that from the ledger and end by themselves. */
  grow(wanted: number): void {
    const { scope } = this.migration;
    for (let lane = this.lanes.length; lane < wanted; lane += 1) {
      const request = { scope, lane, ...this.how };
      const copying = this.cancellation.run(() => run('long', `Copy lane ${lane + 1}`).copyLane(request));
      this.lanes.push(
        copying.catch((error: unknown) => {
          this.failures.push(error);
          this.cancellation.cancel();
        }),
      );
    }
  }

  /** @throws what a lane failed with; a cancellation only when nothing else was the cause */
  async untilAllHaveEnded(): Promise<void> {
    for (let known = 0; known < this.lanes.length;) {
      known = this.lanes.length;
      await Promise.all(this.lanes);
    }
    if (this.failures.length > 0) throw this.failures.find((error) => !isCancellation(error)) ?? this.failures[0];
  }
}

async function measureNowAndThen({ runbook, scope }: PostgresMigration): Promise<void> {
  const started = runbook.now().getTime();
  for (;;) {
    const elapsed = runbook.now().getTime() - started;
    await sleep(Math.max(firstMeasurementMs, elapsed * (growth - 1)), { summary: 'Until the copy is measured again' });
    try {
      runbook.journal.copy = await run('quick', 'Measure the copy').measureCopy({ scope });
      runbook.show();
    } catch (error) {
      // Only a view: the lanes themselves report what is wrong.
      if (isCancellation(error)) throw error;
    }
  }
}

async function tuneWhenAsked(migration: PostgresMigration, lanes: LaneGroup): Promise<void> {
  for (;;) {
    await condition(() => migration.tuning !== undefined);
    try {
      await handOverTuning(migration);
      lanes.grow(migration.lanes);
    } catch (error) {
      if (isCancellation(error)) throw error;
      migration.runbook.note('The tuning could not be handed over to the lanes; send it again.');
    }
  }
}

async function handOverTuning(migration: PostgresMigration): Promise<void> {
  const { scope, tuning } = migration;
  if (!tuning) return;
  migration.tuning = undefined;
  const { copyLanes, maxBytesPerSecond } = tuning;
  await run('quick', 'Tune the copy').tuneCopy({ scope, lanes: copyLanes, maxBytesPerSecond });
  migration.lanes = copyLanes ?? migration.lanes;
  migration.maxBytesPerSecond = maxBytesPerSecond ?? migration.maxBytesPerSecond;
}
