// The reverse window: the target is in use, the source follows it, and going back is another hand-over that loses nothing. It ends when the
// target is accepted, or when the writing is back on the source.
import { ApplicationFailure, CancellationScope, sleep } from '@temporalio/workflow';
import type { RollbackRecord } from '../../../../journal/types';
import { run } from '../../../activity-options';
import { Interrupted } from '../../../runbook';
import { accept, monitor, type Watch } from '../../watch';
import { smokeTheApplication } from '../validation';
import { watchOf } from '../watch';
import { handedBack, smokeOnSource } from '../way-back';
import { afterHandOver, finishHandOver, handOver, isFrozen, settle } from './hand-over';
import { switched, type CdcMigration } from './migration';
import { lookUntilReady, watchingStreams } from './ready';

/** Where nobody is asked, a hand-over that cannot be reached is a finding. */
const triesOfRehearsal = 3;

/** From the switch to the end of the window. @throws Interrupted `way-back` by a signal or a trigger */
export async function inUse(migration: CdcMigration): Promise<void> {
  const watch = watchInWindow(migration);
  await finishHandOver(migration);
  await afterHandOver(migration);
  await watchingStreams(migration, async () => {
    await smokeTheApplication(migration);
    await monitor(migration, watch);
    await accept(migration, watch);
  });
  if (migration.runbook.rehearsal) throw migration.runbook.endOfForwardWay('way-back');
  await endWindow(migration);
}

/** From here on a way back loses what is written from now on: it is counted from this mark. Until it is there, going back loses nothing. */
async function endWindow(migration: CdcMigration): Promise<void> {
  const { runbook, scope } = migration;
  await runbook.step('mark-writes', 'Note the write counters of the target', async () => {
    migration.writeMark = await run('quick', 'Write counters of the target').markWrites({ scope });
    migration.following = false;
  });
}

function watchInWindow(migration: CdcMigration): Watch {
  const watch = watchOf(migration);
  const { runbook } = migration;
  return {
    ...watch,
    lossless: () => migration.following && (runbook.journal.replication?.problems.length ?? 0) === 0,
    evidence: () => [
      ...watch.evidence(),
      migration.following
        ? 'the source follows the target: until you accept, rollback loses nothing; accepting ends that'
        : 'the source does not follow the target: going back loses what was written since',
    ],
  };
}

/** A rollback inside the window. @returns why it cannot be taken, or undefined */
export function requestWayBack(migration: CdcMigration, by: string, reason: string): string | undefined {
  if (migration.turning) return 'the migration is going back already';
  if (!migration.following) return 'the source does not follow the target';
  migration.turning = true;
  migration.runbook.interrupt('way-back', `rollback asked for by ${by}: ${reason}`);
  return undefined;
}

/**
 * The hand-over back, tried until it is reached: each time the deadline passes, the target is open again meanwhile. No outage begins before
 * the source is close behind. Shielded from cancellation: who has begun to go back must not leave the application without a side to write to.
 * @throws Interrupted `way-back`, the target in use, when the words were said that accept a loss
 */
export async function goBackWithoutLoss(migration: CdcMigration, reason: string): Promise<void> {
  const { runbook } = migration;
  runbook.goingBack = true;
  try {
    await CancellationScope.nonCancellable(() => handBack(migration, reason));
  } finally {
    runbook.goingBack = false;
  }
}

async function handBack(migration: CdcMigration, reason: string): Promise<void> {
  const { runbook } = migration;
  const started = runbook.now();
  migration.turning = true;
  runbook.clearInterruption();
  runbook.journal.reason = reason;
  runbook.phase('rolling-back');
  for (let attempt = 1; switched(migration); attempt += 1) {
    const mark = runbook.mark();
    try {
      await settle(migration);
      // Where nobody can write already, there is nothing to wait for.
      if (!isFrozen(migration)) await lookUntilReady(migration);
      await handOver(migration, reason);
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
      if (switched(migration)) {
        const givenUp = await runbook.unwind(`${error.reason}: the target is open again`, mark);
        if (givenUp.length > 0) runbook.note(`Given up by a person, look at it by hand: ${givenUp.join('; ')}.`);
      }
      runbook.clearInterruption();
      if (!switched(migration)) break;
      if (runbook.ending) {
        migration.turning = false;
        throw error;
      }
      if (runbook.rehearsal && attempt >= triesOfRehearsal)
        throw ApplicationFailure.nonRetryable(`The rehearsal cannot go back: ${error.reason}.`, 'NotUndone');
      runbook.note(`Going back, attempt ${attempt}: ${error.reason}. It is tried again.`);
      await sleep(Math.min(attempt * 5_000, 60_000), { summary: 'Before the next try to go back' });
    }
  }
  await finishHandOver(migration);
  runbook.noReturnUndone();
  migration.turning = false;
  await afterHandOver(migration);
  runbook.journal.rollback = await recordOf(migration, reason, started);
}

/** The runbook's rollback table. */
async function recordOf(migration: CdcMigration, reason: string, started: Date): Promise<RollbackRecord> {
  const { runbook, plan } = migration;
  const smoke = await smokeOnSource(migration);
  const freezeMs = runbook.journal.handOvers?.at(-1)?.freezeMs;
  return handedBack(migration, {
    started,
    reason,
    details: {
      'maintenance-mode': plan.application ? 'the application wrote no more' : 'by hand',
      'source-primary': 'the target is fenced, everything written to it has arrived, the source takes writes',
      'application-switched': freezeMs === undefined ? 'uses the source' : `without writes for ${freezeMs} ms`,
      'smoke-on-source': smoke,
      'target-preserved': 'it follows the source, fenced: the way forward is open without another copy',
    },
  });
}
