// One round of reconciliation, and rounds that go on while people think. What a round finds is in the journal; it changes nothing.
import { CancellationScope, isCancellation, sleep } from '@temporalio/workflow';
import type { Reconciliation } from '../../../../journal/types';
import { parseDurationMs } from '../../../../plan/duration';
import { run } from '../../../activity-options';
import { describeFailure } from '../../../logbook';
import { needed } from '../../migration';
import { mergeTables } from '../validation';
import { applicationOf, isRehearsed, type DualWriteMigration } from './migration';

/** Between rounds while nobody waits for them: the plan's interval, then ever longer. */
const growth = 1.3;
/** Months at a gate must stay far from what a history can hold. */
const longestPauseMs = 7_200_000;

/** Compares both sides once, and notes what it found. Whether the round is one of parity: nothing differs, and everything was compared. */
export async function lookOnce(migration: DualWriteMigration) {
  const { runbook, plan, scope, judge } = migration;
  const { journal } = runbook;
  const found = await run('long', `Compare both sides live, the ${judge} is right`).compareLive({
    scope,
    judge,
    lanes: plan.copy.lanes,
    settleMs: needed(parseDurationMs(plan.dualWrite.settle), 'settle'),
  });
  const before = reconciliationOf(migration);
  const equal = found.differing === 0 && found.problems.length === 0;
  journal.reconciliation = {
    ...before,
    rounds: before.rounds + 1,
    parityInARow: equal ? before.parityInARow + 1 : 0,
    tables: found.tables,
    rows: found.rows,
    differing: found.differing,
    moving: found.moving,
    differences: found.differing > 0 ? found.lines : before.differences,
    problems: found.problems,
    measuredAt: runbook.now().toISOString(),
  };
  journal.tables = mergeTables(journal.tables ?? [], found.records);
  runbook.show();
  return { ...found, equal };
}

/** What is known so far; of another judge nothing is. */
export function reconciliationOf({ runbook, plan, judge }: DualWriteMigration): Reconciliation {
  const { reconciliation: known } = runbook.journal;
  if (known?.judge === judge) return known;
  return {
    judge,
    rounds: 0,
    parityInARow: 0,
    parityWanted: plan.dualWrite.parityRounds,
    tables: 0,
    rows: '0',
    differing: 0,
    moving: 0,
    differences: [],
    problems: [],
    measuredAt: runbook.now().toISOString(),
    repaired: known?.repaired ?? { repairs: 0, inserted: 0, updated: 0, deleted: 0 },
    ...(known?.repeatsFailed === undefined ? {} : { repeatsFailed: known.repeatsFailed }),
  };
}

/** How many repeats have failed, as the application tells; undefined where it does not. */
export async function countFailedRepeats(migration: DualWriteMigration): Promise<number | undefined> {
  const { runbook } = migration;
  if (isRehearsed(migration)) return undefined;
  const told = await run('application', 'GET /admin/status: repeats that failed').readDualWrite({
    application: applicationOf(migration),
  });
  if (!told) return undefined;
  runbook.journal.reconciliation = { ...reconciliationOf(migration), repeatsFailed: told.failedRepeats };
  runbook.show();
  return told.failedRepeats;
}

/** Runs `work` while rounds go on beside it, ever more rarely. */
export async function whileRoundsGoOn<Result>(
  migration: DualWriteMigration,
  work: () => Promise<Result>,
): Promise<Result> {
  const beside = new CancellationScope();
  const { runbook, plan } = migration;
  const firstMs = needed(parseDurationMs(plan.dualWrite.roundInterval), 'roundInterval');
  const going = beside.run(async () => {
    for (let pauseMs = firstMs; ; pauseMs = Math.min(pauseMs * growth, longestPauseMs)) {
      await sleep(pauseMs, { summary: 'Until both sides are compared again' });
      try {
        await lookOnce(migration);
        await countFailedRepeats(migration);
      } catch (error) {
        // Only a view: before anything is switched both sides are compared again.
        if (isCancellation(error)) throw error;
        runbook.journal.reconciliation = {
          ...reconciliationOf(migration),
          parityInARow: 0,
          problems: [`could not be compared: ${describeFailure(error)}`],
        };
        runbook.show();
      }
    }
  });
  going.catch(() => undefined);
  try {
    return await work();
  } finally {
    beside.cancel();
    await CancellationScope.nonCancellable(() => going.catch(() => undefined));
  }
}
