// The target is in use and the source gets the repeats: until the target is accepted, going back loses nothing and is another switch. After
// that the application writes to the target alone, and the source is fenced, so that nobody writes there by mistake.
import { CancellationScope } from '@temporalio/workflow';
import type { RollbackRecord } from '../../../../journal/types';
import { run } from '../../../activity-options';
import { needed } from '../../migration';
import { accept, monitor, type Watch } from '../../watch';
import { smokeTheApplication } from '../validation';
import { watchOf } from '../watch';
import { handedBack, raiseTargetFence, smokeOnSource } from '../way-back';
import { writeToOne } from './backfill';
import { goBackOver, measureTurn } from './go-over';
import { applicationOf, type DualWriteMigration } from './migration';
import { reconciliationOf, whileRoundsGoOn } from './rounds';

/** From the switch until the target is accepted. @throws Interrupted `way-back` by a signal or a trigger */
export async function inUse(migration: DualWriteMigration): Promise<void> {
  const watch = watchInWindow(migration);
  await measureTurn(migration);
  await markWrites(migration);
  await whileRoundsGoOn(migration, async () => {
    await smokeTheApplication(migration);
    await monitor(migration, watch);
    await accept(migration, watch);
  });
}

/** What is written from here on would be lost by going back without the repeats. */
async function markWrites(migration: DualWriteMigration): Promise<void> {
  const { runbook, scope } = migration;
  migration.writeMark = await runbook.step('mark-writes', 'Note the write counters of the target', () =>
    run('quick', 'Write counters of the target').markWrites({ scope }),
  );
}

function watchInWindow(migration: DualWriteMigration): Watch {
  const watch = watchOf(migration);
  return {
    ...watch,
    // What could not be compared may be what one side has lost.
    lossless: () => migration.repeating && reconciliationOf(migration).problems.length === 0,
    evidence: () => {
      const { rounds, differing, problems, repeatsFailed, measuredAt } = reconciliationOf(migration);
      return [
        ...watch.evidence(),
        rounds === 0
          ? 'both sides have not been compared since the switch'
          : `the source was last compared at ${measuredAt}: ${differing} rows differ${problems.length > 0 ? `, and not everything could be compared: ${problems[0]}` : ''}`,
        ...(repeatsFailed === undefined ? [] : [`${repeatsFailed} repeats failed, as the application tells`]),
        'the source gets every write: until you accept, rollback loses nothing; accepting ends that',
      ];
    },
  };
}

/** The application writes to the target alone; the source takes no writes any more. */
export async function endWindow(migration: DualWriteMigration): Promise<void> {
  const { runbook, scope } = migration;
  await markWrites(migration);
  await endDualWrite(migration);
  const former = needed(migration.sourceAccess, 'former access');
  migration.fence = await runbook.step(
    'fence',
    'Raise the fence on the source, so that nobody writes there by mistake',
    () => run('brisk', 'Raise the fence on the source').raiseFence({ scope, side: 'source', former }),
    {
      describe: ({ endedSessions, holes }) =>
        `${endedSessions} sessions ended${holes.length > 0 ? `; not kept out: ${holes.join(', ')}` : ''}`,
    },
  );
}

export async function endDualWrite(migration: DualWriteMigration): Promise<void> {
  await migration.runbook.step(
    'dual-write-off',
    `Have the application write to the ${migration.judge} alone`,
    () => writeToOne(migration),
    { againByItself: true, describe: (said) => said },
  );
}

/**
 * Back to the source without a loss: both sides are compared with the target as judge, the source is repaired after it, and then the
 * application goes back. Shielded from cancellation.
 * @throws Interrupted `way-back`, the target in use, when the words were said that accept a loss
 */
export async function goBackWithoutLoss(migration: DualWriteMigration, reason: string): Promise<void> {
  await CancellationScope.nonCancellable(async () => {
    const { runbook } = migration;
    const started = runbook.now();
    migration.turning = true;
    runbook.goingBack = true;
    runbook.clearInterruption();
    runbook.journal.reason = reason;
    runbook.phase('rolling-back');
    try {
      await runbook.step(
        'back-dual-write-on',
        'Make sure that the application writes to both sides',
        async () => {
          const called = await run('application', 'POST /admin/dual-write: on').setDualWrite({
            application: applicationOf(migration),
            enabled: true,
          });
          migration.repeating = true;
          return called;
        },
        { againByItself: true, describe: () => 'every write to the target is repeated on the source' },
      );
      await goBackOver(migration, 'unless-it-destroys');
      // Nobody goes back from here, and words have nothing left to accept.
      runbook.ending = true;
      runbook.noReturnUndone();
      await measureTurn(migration);
      await endDualWrite(migration);
      runbook.journal.rollback = await recordOf(migration, reason, started);
    } finally {
      migration.turning = false;
      runbook.goingBack = false;
    }
  });
}

/** The runbook's rollback table. */
async function recordOf(migration: DualWriteMigration, reason: string, started: Date): Promise<RollbackRecord> {
  const { runbook } = migration;
  const smoke = await smokeOnSource(migration);
  const fenced = await raiseTargetFence(migration);
  const freezeMs = runbook.journal.handOvers?.at(-1)?.freezeMs;
  return handedBack(migration, {
    started,
    reason,
    details: {
      'maintenance-mode': { notNeeded: 'the application wrote to both sides all the time' },
      'source-primary':
        'everything written to the target is on the source: both were compared, and what differed was repaired',
      'application-switched':
        freezeMs === undefined ? 'uses the source' : `uses the source, without writes for ${freezeMs} ms`,
      'smoke-on-source': smoke,
      'target-preserved': fenced ? 'its data is untouched and fenced' : 'its data is untouched; it could not be fenced',
    },
  });
}
