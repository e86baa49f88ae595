// Work that any number of lanes share: each takes the next piece until none is left. What is done is in the target's ledger; what is here is
// how many lanes run, pausing, tuning, and a measurement now and then.
import { CancellationScope, condition, isCancellation, sleep } from '@temporalio/workflow';
import { run } from '../../activity-options';
import type { PostgresMigration } from './migration';

/** Progress is measured after this, then at ever longer distances: the number of events grows with the logarithm of the time. */
const firstMeasurementMs = 2_000;
const growth = 1.1;

/** What the lanes of one kind do. */
export interface LaneWork {
  /** For people: "the copy". */
  name: string;
  /** Carries out one lane, from 0, until nothing is left for it. */
  lane: (lane: number) => Promise<unknown>;
  /** Shows how far it is; only a view, so that its failures are left to the lanes to tell. Left out where nobody waits for it. */
  measure?: () => Promise<void>;
  /** Whether nothing is left to do, once the lanes have ended. */
  isDone: () => Promise<boolean>;
  /** A summary of the wait for what a crash has given back: "Before the chunks that are left". */
  waiting: string;
  /** At most so many lanes, whatever the plan says. */
  mostLanes?: number;
  /** Waits as `whilePaused` of the runbook does, for work beside the forward path. */
  untilResumed?: () => Promise<boolean>;
}

/**
 * Runs lanes until everything is done. A pause stops them at once; resuming starts them anew, and the ledger knows where they were.
 * @returns whether a pause fell into it
 */
export async function runInLanes(migration: PostgresMigration, work: LaneWork): Promise<{ paused: boolean }> {
  const { runbook } = migration;
  const { lanes, maxBytesPerSecond } = migration;
  const { untilResumed = () => runbook.whilePaused() } = work;
  migration.tuning = { copyLanes: lanes, maxBytesPerSecond, ...migration.tuning };
  let paused = false;
  for (let round = 1; ; round += 1) {
    if (await untilResumed()) paused = true;
    await handOverTuning(migration);
    if ((await runLanes(migration, work)) === 'paused') {
      paused = true;
      continue;
    }
    if (await work.isDone()) return { paused };
    // Pieces that nobody holds and nobody took: a crash has given them back. Looked at again, ever less often.
    await sleep(round * 1_000, { summary: work.waiting });
  }
}

/** One set of lanes, to its end or until a pause has really stopped all of them. */
async function runLanes(migration: PostgresMigration, work: LaneWork): Promise<'ended' | 'paused'> {
  const { runbook } = migration;
  const lanes = new CancellationScope();
  const beside = new CancellationScope();
  const running = new LaneGroup(work, lanes);
  const pause = { asked: false };
  const stopOnPause = async (): Promise<void> => {
    await condition(() => runbook.paused);
    pause.asked = true;
    lanes.cancel();
  };
  beside
    .run(() => Promise.all([measureNowAndThen(migration, work), tuneWhenAsked(migration, running), stopOnPause()]))
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
    private readonly work: LaneWork,
    private readonly cancellation: CancellationScope,
  ) {}

  /** Starts as many lanes as are missing; fewer are wanted: the lanes read that from the ledger and end by themselves. */
  grow(wanted: number): void {
    const { mostLanes = wanted } = this.work;
    for (let lane = this.lanes.length; lane < Math.min(wanted, mostLanes); lane += 1) {
      const working = this.cancellation.run(() => this.work.lane(lane));
      this.lanes.push(
        working.catch((error: unknown) => {
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

async function measureNowAndThen({ runbook }: PostgresMigration, { name, measure }: LaneWork): Promise<void> {
  if (!measure) return;
  const started = runbook.now().getTime();
  for (;;) {
    const elapsed = runbook.now().getTime() - started;
    await sleep(Math.max(firstMeasurementMs, elapsed * (growth - 1)), {
      summary: `Until ${name} is measured again`,
    });
    try {
      await measure();
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
  try {
    await run('brisk', 'Tune the copy').tuneCopy({ scope, lanes: copyLanes, maxBytesPerSecond });
  } catch (error) {
    if (isCancellation(error)) giveBack(migration, tuning);
    throw error;
  }
  migration.lanes = copyLanes ?? migration.lanes;
  migration.maxBytesPerSecond = maxBytesPerSecond ?? migration.maxBytesPerSecond;
}

/** Sent while the lanes were being stopped: it holds for those that come next. What was sent since goes before. */
function giveBack(migration: PostgresMigration, tuning: NonNullable<PostgresMigration['tuning']>): void {
  migration.tuning = { ...tuning, ...migration.tuning };
}
