// PostgreSQL to PostgreSQL, in the order of the runbook (its section numbers in brackets). Everything before the point of no return
// is undone by the compensation stack; after it, going back is a procedure of its own that says what it loses.
import { ApplicationFailure, CancellationScope, isCancellation, sleep } from '@temporalio/workflow';
import { parseDurationMs } from '../plan/duration';
import { ruleOf } from '../plan/gates';
import { describeIssues, parsePostgresPlan } from '../plan/parse';
import type { PostgresPlan, PostgresPlanInput } from '../plan/postgres';
import { describeReference } from '../plan/reference';
import type { PlanFacts } from '../journal/types';
import { listen } from './handlers';
import type { MigrationResult } from './messages';
import { cleanUp, conclude } from './phases/ending';
import { fenceSource, stopWrites } from './phases/freeze';
import { needed, type PostgresMigration } from './phases/migration';
import { preflight, startEvidence } from './phases/preflight';
import { prepareTarget, snapshot } from './phases/prepare';
import { resumeWrites, switchApplication } from './phases/switch';
import { smokeTheApplication, validate } from './phases/validation';
import { accept, monitor, retain } from './phases/watch';
import { goBack, WayBack } from './phases/way-back';
import { Interrupted, newJournal, Runbook } from './runbook';
import { bigBang } from './strategies/big-bang';
import type { Strategy } from './strategies/strategy';

const strategies: Partial<Record<PostgresPlan['strategy'], Strategy>> = { 'big-bang': bigBang };

/**
 * Carries out one plan.
 * @param input the plan as the operator wrote it
 * @returns outcome, report and figures; `rolled-back` and `rejected` complete the workflow too
 * @throws InvalidPlan (the workflow fails at once, nothing was started); NotUndone when it could be neither finished nor undone
 */
export async function postgresMigration(input: PostgresPlanInput): Promise<MigrationResult> {
  const migration = begin(input);
  const { runbook } = migration;
  const wayBack = new WayBack(migration);
  listen(runbook, {
    rollbackAfterNoReturn: (request) => wayBack.request(request),
    tune: (request) => {
      if (migration.copied) return 'the copy is over';
      migration.tuning = { ...migration.tuning, ...request };
      return undefined;
    },
  });
  runbook.announce();

  try {
    await preflight(migration); // [1] [2]
    await runbook.gate('start', startEvidence(migration));
    await snapshot(migration); // [4a], and [3] go-live
    await untilSwitched(migration); // [4b] [4c] [5] [4d]
  } catch (error) {
    return goBackBeforeNoReturn(migration, error);
  }

  void wayBack.answerRequests().catch(() => undefined);
  try {
    await resumeWrites(migration); // [4d]
    await smokeTheApplication(migration); // [5]
    await monitor(migration); // [6] [7]
    await accept(migration);
    await cleanUp(migration);
    const sourceFence = await retain(migration); // [7]
    return await conclude(migration, 'completed', { sourceFence, targetFence: false });
  } catch (error) {
    return goBackAfterNoReturn(migration, error);
  }
}

function begin(input: PostgresPlanInput): PostgresMigration {
  const parsed = parsePostgresPlan(input);
  if (!parsed.ok) throw refusePlan(describeIssues(parsed.issues));
  const { plan: parsedPlan } = parsed;
  const { name, strategy, source, target, tables } = parsedPlan;
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
    scope: { migration: journal.migration, source, target, tables },
    performance: [],
    lanes: parsedPlan.copy.lanes,
    maxBytesPerSecond: parsedPlan.copy.maxBytesPerSecond,
    earlierDowntimeMs: 0,
    givenUp: [],
  };
}

/** The failure for a plan that is wrong; status and details say so as well, for people who look there first. */
function refusePlan(issues: string): ApplicationFailure {
  const journal = newJournal('postgres', { name: 'refused', digest: '', source: 'unknown', target: 'unknown' });
  journal.reason = `The plan is refused; nothing was started.\n${issues}`;
  const runbook = new Runbook(journal, {});
  runbook.ending = true;
  listen(runbook, { rollbackAfterNoReturn: () => undefined, tune: () => 'the plan is refused' });
  runbook.announce();
  runbook.phase('failed');
  return ApplicationFailure.nonRetryable(journal.reason, 'InvalidPlan');
}

/** Automatic gates give up after so many freezes that ran out of time; people may go on as long as they like. */
const automaticAttempts = 3;

/**
 * Prepares the target, opens the cutover gate, and moves under the fence. When the deadline passes before the switch, the source is reopened,
 * the target put back, and the cutover gate opens again for another try.
 */
async function untilSwitched(migration: PostgresMigration): Promise<void> {
  const { runbook, plan } = migration;
  for (let attempt = 1; ; attempt += 1) {
    const mark = runbook.mark();
    try {
      await prepareTarget(migration);
      await needed(strategies[plan.strategy], 'strategy').beforeFence(migration);
      runbook.phase('cutover');
      await runbook.gate('cutover', cutoverEvidence(migration, attempt));
      await freezeMoveAndSwitch(migration);
      return;
    } catch (error) {
      if (!(error instanceof Interrupted) || error.kind !== 'deadline') throw error;
      migration.givenUp.push(...(await runbook.unwind(`${error.reason}: the source is open again`, mark)));
      runbook.note(`Attempt ${attempt}: ${error.reason}. The source takes writes again.`);
      runbook.clearInterruption();
      if (migration.givenUp.length > 0) throw new Interrupted('rollback', 'the undo of an attempt was given up');
      if (ruleOf(plan.gates, 'cutover') === 'auto' && attempt >= automaticAttempts) {
        throw new Interrupted('rollback', `${attempt} attempts ran out of time`);
      }
      delete runbook.journal.reason;
      migration.copied = false;
      await runbook.interruptible(() => sleep(attempt * 1_000, { summary: 'Before the next try' }));
    }
  }
}

/** The outage. Its clock starts when the application is asked to stop writing, or, where people stop it, with the fence. */
async function freezeMoveAndSwitch(migration: PostgresMigration): Promise<void> {
  const { runbook, plan } = migration;
  const limitMs = needed(parseDurationMs(plan.maxDowntime), 'maxDowntime');
  if (!plan.application) await stopWrites(migration);
  await runbook.withDeadline(limitMs, `Writes may be stopped for ${plan.maxDowntime}`, async () => {
    if (plan.application) await stopWrites(migration);
    await fenceSource(migration);
    await needed(strategies[plan.strategy], 'strategy').underFence(migration);
    await validate(migration);
    await switchApplication(migration);
    runbook.pointOfNoReturn();
  });
}

function cutoverEvidence({ runbook, plan: { maxDowntime } }: PostgresMigration, attempt: number): string[] {
  const { decision, baseline } = runbook.journal;
  const estimate =
    decision?.acceptableDowntimeMs === undefined
      ? []
      : [`acceptable downtime ${Math.round(decision.acceptableDowntimeMs / 60_000)} min`];
  return [
    ...(attempt > 1 ? [`attempt ${attempt}: the one before ran out of time`] : []),
    'the schema is on the target and empty; the backup is verified',
    `writes stop now, for ${baseline?.rows ?? 'unknown'} rows to be copied and proved`,
    ...estimate,
    `after ${maxDowntime} without the switch the source is reopened by itself`,
  ];
}

/** Undoes everything, then ends: rolled back, rejected, or cancelled. */
async function goBackBeforeNoReturn(migration: PostgresMigration, error: unknown): Promise<MigrationResult> {
  const { runbook } = migration;
  const cancelled = isCancellation(error);
  if (!(error instanceof Interrupted) && !cancelled) throw error;
  const reason = error instanceof Interrupted ? error.reason : 'the workflow was cancelled';
  const rejected = error instanceof Interrupted && error.kind === 'rejected';
  runbook.ending = true;
  const givenUp = [...migration.givenUp, ...(await runbook.unwind(reason))];
  const fences = { sourceFence: false, targetFence: false };
  const result = await conclude(migration, rejected ? 'rejected' : 'rolled-back', { ...fences, givenUp });
  if (givenUp.length > 0) throw notUndone(givenUp);
  if (cancelled) throw error;
  return result;
}

async function goBackAfterNoReturn(migration: PostgresMigration, error: unknown): Promise<MigrationResult> {
  const { runbook } = migration;
  if (error instanceof Interrupted && error.kind === 'way-back') {
    await goBack(migration, error.reason);
    await CancellationScope.nonCancellable(() => cleanUp(migration));
    return conclude(migration, 'rolled-back', { sourceFence: false, targetFence: true });
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
  await conclude(migration, 'completed', { sourceFence: true, targetFence: false });
  throw error;
}

function notUndone(givenUp: string[]): ApplicationFailure {
  return ApplicationFailure.nonRetryable(
    `The migration could be neither finished nor undone. Given up: ${givenUp.join('; ')}. The report lists what is left; put it right by hand.`,
    'NotUndone',
  );
}

function planFacts({
  snapshot: { kind },
  rehearsal,
  application,
  monitor: watched,
  retainSource,
  validation,
  rollbackTriggers,
}: PostgresPlan): PlanFacts {
  const { errorRatePercent, slowdownPercent, probes, interval, window } = rollbackTriggers;
  return {
    snapshot: kind,
    rehearsal: rehearsal !== undefined,
    application: application !== undefined,
    monitorMs: parseDurationMs(watched),
    retainSourceMs: parseDurationMs(retainSource),
    maxRegressionPercent: validation.performance.maxRegressionPercent,
    triggers: {
      errorRatePercent,
      slowdownPercent,
      probes: probes.length,
      intervalMs: parseDurationMs(interval) ?? 0,
      windowMs: parseDurationMs(window) ?? 0,
    },
  };
}
