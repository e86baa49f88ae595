// PostgreSQL to PostgreSQL, in the order of the runbook (its section numbers in brackets). Everything before the point of no return
// is undone by the compensation stack; after it, going back is a procedure of its own that says what it loses.
import { CancellationScope, isCancellation, sleep } from '@temporalio/workflow';
import { formatDurationMs, parseDurationMs } from '../plan/duration';
import { ruleOf } from '../plan/gates';
import { parsePostgresPlan } from '../plan/parse';
import type { PostgresPlan, PostgresPlanInput } from '../plan/postgres';
import { describeReference } from '../plan/reference';
import { listen } from './handlers';
import { newJournal } from './logbook';
import type { MigrationResult, RehearsalOrder } from './messages';
import { conclude, undoEverything } from './phases/ending';
import { needed } from './phases/migration';
import { cleanUp, endingOf } from './phases/postgres/ending';
import { planFacts } from './phases/postgres/plan-facts';
import { fenceSource, stopWrites } from './phases/postgres/freeze';
import type { PostgresMigration } from './phases/postgres/migration';
import { preflight, startEvidence } from './phases/postgres/preflight';
import { prepareTarget, snapshot } from './phases/postgres/prepare';
import { beginRehearsal, findingsOf } from './phases/postgres/rehearsed';
import { retainSource } from './phases/postgres/retire';
import { resumeWrites, switchApplication } from './phases/postgres/switch';
import { smokeTheApplication, validate } from './phases/postgres/validation';
import { watchOf } from './phases/postgres/watch';
import { goBack, measureLoss, onTarget } from './phases/postgres/way-back';
import { refusePlan } from './phases/refused-plan';
import { accept, monitor } from './phases/watch';
import { WayBack } from './phases/way-back';
import { Interrupted, Runbook } from './runbook';
import { BigBang } from './strategies/big-bang';
import { Cdc } from './strategies/cdc';
import { DualWrite } from './strategies/dual-write';
import { Incremental } from './strategies/incremental';
import type { Strategy } from './strategies/strategy';

const strategies: Partial<Record<PostgresPlan['strategy'], new (migration: PostgresMigration) => Strategy>> = {
  'big-bang': BigBang,
  incremental: Incremental,
};

/**
 * Carries out one plan.
 * @param input the plan as the operator wrote it
 * @param order of a migration to its rehearsal: go back at the end, and tell what was found; never given by people
 * @returns outcome, report and figures; `rolled-back` and `rejected` complete the workflow too
 * @throws InvalidPlan (the workflow fails at once, nothing was started); NotUndone when it could be neither finished nor undone
 */
export async function postgresMigration(input: PostgresPlanInput, order?: RehearsalOrder): Promise<MigrationResult> {
  const migration = begin(input, order !== undefined);
  if (!order) return carryOut(migration);
  beginRehearsal(migration);
  const result = await carryOut(migration);
  return { ...result, rehearsal: findingsOf(migration) };
}

async function carryOut(migration: PostgresMigration): Promise<MigrationResult> {
  const { runbook } = migration;
  const wayBack = new WayBack(migration, () => measureLoss(migration), 'the target has taken writes since the switch');
  const watch = watchOf(migration);
  const { strategy } = migration.plan;
  const cdc = strategy === 'cdc' ? new Cdc(migration, wayBack) : undefined;
  const live = cdc ?? (strategy === 'dual-write' ? new DualWrite(migration, wayBack) : undefined);
  listen(runbook, {
    rollbackAfterNoReturn: (request) => (live ? live.rollback(request) : wayBack.request(request)),
    tune: (request) => {
      if (migration.copied) return 'the copy is over';
      migration.tuning = { ...migration.tuning, ...request };
      return undefined;
    },
    ...(cdc ? { recopy: (request) => cdc.recopy(request) } : {}),
  });
  runbook.announce();

  try {
    await preflight(migration); // [1] [2]
    await runbook.gate('start', startEvidence(migration));
    await snapshot(migration); // [4a], and [3] go-live
    if (!live) await untilSwitched(migration); // [4b] [4c] [5] [4d]
  } catch (error) {
    return undoEverything(migration, error, endingOf(migration));
  }
  if (live) return live.carryOut();

  void wayBack.answerRequests().catch(() => undefined);
  try {
    await resumeWrites(migration); // [4d]
    await smokeTheApplication(migration); // [5]
    await monitor(migration, watch); // [6] [7]
    await accept(migration, watch);
    await cleanUp(migration);
    const sourceFence = await retainSource(migration); // [7]
    return await conclude(migration, 'completed', endingOf(migration, { sourceFence, targetFence: false }));
  } catch (error) {
    return goBackAfterNoReturn(migration, error);
  }
}

function begin(input: PostgresPlanInput, rehearsing: boolean): PostgresMigration {
  const parsed = parsePostgresPlan(input, { rehearsing });
  if (!parsed.ok) throw refusePlan('postgres', parsed.issues);
  const { plan: parsedPlan } = parsed;
  const { name, strategy, source, target, tables, cdc } = parsedPlan;
  const { sourceFromTarget, targetFromSource } = cdc;
  const journal = newJournal('postgres', {
    name,
    strategy,
    digest: '',
    source: describeReference(source),
    target: describeReference(target),
    facts: planFacts(parsedPlan),
  });
  const runbook = new Runbook(journal, parsedPlan.gates);
  return {
    plan: parsedPlan,
    runbook,
    scope: {
      migration: journal.migration,
      source,
      target,
      tables,
      ...(strategy === 'cdc' ? { links: { sourceFromTarget, targetFromSource } } : {}),
    },
    performance: [],
    lanes: parsedPlan.copy.lanes,
    maxBytesPerSecond: parsedPlan.copy.maxBytesPerSecond,
    earlierDowntimeMs: 0,
    givenUp: [],
  };
}

/** Automatic gates give up after so many freezes that ran out of time; people may go on as long as they like. */
const automaticAttempts = 3;

/**
 * Prepares the target, opens the cutover gate, and moves under the fence. When the deadline passes before the switch, the source is reopened,
 * what the strategy does not keep is undone, and the cutover gate opens again for another try.
 */
async function untilSwitched(migration: PostgresMigration): Promise<void> {
  const { runbook, plan } = migration;
  const strategy = new (needed(strategies[plan.strategy], 'strategy'))(migration);
  for (let attempt = 1; ; attempt += 1) {
    let mark = runbook.mark();
    try {
      if (attempt === 1 || !strategy.lasting) await prepareTarget(migration);
      await strategy.beforeFence();
      if (strategy.lasting) mark = runbook.mark();
      runbook.phase('cutover');
      const openGate = () => runbook.gate('cutover', cutoverEvidence(migration, strategy, attempt));
      await (strategy.atGate ? strategy.atGate(openGate) : openGate());
      await freezeMoveAndSwitch(migration, strategy);
      return;
    } catch (error) {
      if (!(error instanceof Interrupted) || error.kind !== 'deadline') throw error;
      migration.givenUp.push(...(await runbook.unwind(`${error.reason}: the source is open again`, mark)));
      runbook.note(`Attempt ${attempt}: ${error.reason}. The source takes writes again.`);
      runbook.clearInterruption();
      if (migration.givenUp.length > 0) throw new Interrupted('rollback', 'the undo of an attempt was given up');
      if (ruleOf(plan.gates, 'cutover') === 'auto' && attempt >= (runbook.rehearsal ? 1 : automaticAttempts)) {
        throw new Interrupted('rollback', `${attempt} attempts ran out of time`);
      }
      delete runbook.journal.reason;
      migration.copied = false;
      await runbook.interruptible(() => sleep(attempt * 1_000, { summary: 'Before the next try' }));
    }
  }
}

/** The outage. Its clock starts when the application is asked to stop writing, or, where people stop it, with the fence. */
async function freezeMoveAndSwitch(migration: PostgresMigration, strategy: Strategy): Promise<void> {
  const { runbook, plan } = migration;
  const limitMs = needed(parseDurationMs(plan.maxDowntime), 'maxDowntime');
  const deadline = {
    summary: `Writes may be stopped for ${plan.maxDowntime}`,
    over: `${formatDurationMs(limitMs)} without writes have passed before the switch was reached`,
  };
  if (!plan.application) await stopWrites(migration);
  await runbook.withDeadline(limitMs, deadline, async () => {
    if (plan.application) await stopWrites(migration);
    await fenceSource(migration);
    await strategy.underFence();
    await validate(migration);
    await strategy.openTarget?.();
    await switchApplication(migration);
    // Here, where the clock still runs: after this nothing may wait.
    await runbook.whilePaused();
    runbook.pointOfNoReturn();
  });
}

function cutoverEvidence(
  { runbook, plan: { maxDowntime } }: PostgresMigration,
  strategy: Strategy,
  attempt: number,
): string[] {
  const { decision } = runbook.journal;
  const estimate =
    decision?.acceptableDowntimeMs === undefined
      ? []
      : [`acceptable downtime ${Math.round(decision.acceptableDowntimeMs / 60_000)} min`];
  return [
    ...(attempt > 1 ? [`attempt ${attempt}: the one before ran out of time`] : []),
    ...strategy.evidence(),
    ...estimate,
    `after ${maxDowntime} without the switch the source is reopened by itself`,
  ];
}

async function goBackAfterNoReturn(migration: PostgresMigration, error: unknown): Promise<MigrationResult> {
  const { runbook } = migration;
  if (error instanceof Interrupted && error.kind === 'way-back') {
    await goBack(migration, error.reason);
    await CancellationScope.nonCancellable(() => cleanUp(migration, onTarget(migration)));
    return conclude(migration, 'rolled-back', endingOf(migration, { sourceFence: false, targetFence: true }));
  }
  if (!isCancellation(error)) throw error;
  runbook.ending = true;
  runbook.journal.reason =
    'cancelled after the point of no return: the target stays in use, since going back would lose its writes';
  runbook.clearInterruption();
  await CancellationScope.nonCancellable(async () => {
    // Who cancels here must not leave the application unable to write to either side.
    if (!runbook.journal.downtime?.endedAt) await resumeWrites(migration);
    await cleanUp(migration);
  });
  await conclude(migration, 'completed', endingOf(migration, { sourceFence: true, targetFence: false }));
  throw error;
}
