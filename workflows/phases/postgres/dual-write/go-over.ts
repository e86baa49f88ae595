// The application goes over to the other side while it writes to both: no maintenance mode, no fence. It does so only when no repeat has failed
// since the comparison that found both sides equal began; otherwise something might be on the old side alone, and they are compared again.
import { ActivityFailure, ApplicationFailure, isCancellation, TimeoutFailure } from '@temporalio/workflow';
import { otherSide, type WritingSide } from '../../../../journal/sides';
import type { HandOverRecord } from '../../../../journal/types';
import { parseDurationMs } from '../../../../plan/duration';
import { run, runWithin } from '../../../activity-options';
import { describeFailure } from '../../../logbook';
import { needed } from '../../migration';
import { applicationOf, isRehearsed, type DualWriteMigration } from './migration';
import { untilParity, type ParityOptions } from './reconcile';
import { countFailedRepeats } from './rounds';

/** After so many comparisons during which a repeat failed, a person is told. */
const attemptsAtMost = 5;
const conflict = 409;
/** Numbers are drawn on the old side until the switch: carried longer ago than this, sequences are carried once more. */
const carriedForMs = 5_000;
/** A call of the switch is not made later than this, beside the time that the application may take. */
const lateMs = 5_000;
/** Of those that ran out of time, before the step fails. */
const callsAtMost = 5;

/** Forward, with people asked before a repair as the plan says; what it does is undone until it has answered. */
export async function goOver(migration: DualWriteMigration): Promise<void> {
  const { plan, runbook } = migration;
  const { repair, maxRepairRows } = plan.dualWrite;
  await askForTarget(migration);
  await turnTo(migration, 'target', { repair, maxRows: maxRepairRows });
  runbook.pointOfNoReturn();
  migration.judge = 'target';
  delete runbook.journal.reason;
}

/** Back to the source, after the target: what only the target has is written to it, and people are asked before anything is taken away there. */
export async function goBackOver(migration: DualWriteMigration, repair: Repairing['repair']): Promise<void> {
  await turnTo(migration, 'source', { repair });
  migration.judge = 'source';
}

/** It was asked before the copy, which may be days ago. */
async function askForTarget(migration: DualWriteMigration): Promise<void> {
  if (isRehearsed(migration)) return;
  const application = applicationOf(migration);
  await migration.runbook.step(
    'target-health',
    'Ask the application whether the target is healthy',
    () => run('application', 'POST /admin/target-health-check').checkTargetHealth({ application }),
    { describe: () => 'healthy' },
  );
}

type Repairing = Omit<ParityOptions, 'rounds'>;

async function turnTo(migration: DualWriteMigration, to: WritingSide, repairing: Repairing): Promise<void> {
  const { runbook, plan, scope } = migration;
  const from = otherSide(to);
  const record: HandOverRecord = {
    from,
    to,
    startedAt: runbook.now().toISOString(),
    outcome: 'under-way',
    parts: [],
    why: to === 'target' ? 'gate cutover was passed' : (runbook.journal.reason ?? 'going back'),
  };
  runbook.journal.handOvers = [...(runbook.journal.handOvers ?? []), record];
  try {
    for (let attempt = 1; ; attempt += 1) {
      if (!isRehearsed(migration)) {
        migration.failedRepeats = await runbook.step(
          'count-repeats',
          'Ask the application how many repeats have failed',
          () => countFailedRepeats(migration),
          {
            againByItself: true,
            describe: (failed) => (failed === undefined ? 'it does not tell' : `${failed} failed`),
          },
        );
      }
      await untilParity(migration, { rounds: 1, ...repairing });
      await runbook.step(
        'sequences',
        `Carry sequences to the ${to}, ${plan.dualWrite.sequenceMargin} steps ahead`,
        async () => {
          const carried = await run('long', `Carry sequences to the ${to}`).carryLiveSequences({
            scope,
            to,
            margin: plan.dualWrite.sequenceMargin,
          });
          migration.sequencesCarriedAt = runbook.now().getTime();
          return carried;
        },
        { describe: ({ sequences }) => `${sequences} sequences` },
      );
      // What comes now is the application's part alone.
      if (isRehearsed(migration) || (await turn(migration, to, attempt))) break;
    }
    record.outcome = 'switched';
  } catch (error) {
    record.outcome = 'given-up';
    throw error;
  }
}

/** Whether it was done: false when a repeat has failed meanwhile. */
async function turn(migration: DualWriteMigration, to: WritingSide, attempt: number): Promise<boolean> {
  const { runbook } = migration;
  const application = applicationOf(migration);
  const name = to === 'target' ? application.switchTarget : application.switchSource;
  let askAPerson = attempt % attemptsAtMost === 0;
  const done = await runbook.step(
    'switch-datastore',
    `Switch the application to ${name}`,
    async () => {
      if (askAPerson) {
        askAPerson = false;
        throw ApplicationFailure.nonRetryable(
          `A repeat failed during each of ${attempt - 1} comparisons, so nobody can say that both sides are equal at the switch. Find out from the status of the application why its repeats fail, mend it and retry.`,
          'PreconditionFailed',
        );
      }
      return switchInTime(migration, to);
    },
    {
      againByItself: true,
      // Another attempt is undone by the same.
      ...(to === 'target' && attempt === 1
        ? {
            undoTitle: `Switch the application back to ${application.switchSource}`,
            undo: () => backBeforeNoReturn(migration),
          }
        : {}),
      describe: (switched) =>
        switched ? `uses ${name}` : 'a repeat failed during the comparison: both sides are compared again first',
    },
  );
  return done === true;
}

/** A worker that dies over the call, or is not there for it, is no reason to bother anybody: sequences are carried further, and it is made again. */
async function switchInTime(migration: DualWriteMigration, to: WritingSide): Promise<boolean> {
  for (let left = callsAtMost; ; left -= 1) {
    if (migration.runbook.now().getTime() - (migration.sequencesCarriedAt ?? 0) > carriedForMs)
      await carryFurther(migration, to);
    try {
      return await switchUnlessRepeatsFailed(migration, to);
    } catch (error) {
      if (left === 1 || !(error instanceof ActivityFailure && error.cause instanceof TimeoutFailure)) throw error;
    }
  }
}

/**
 * After a worker died, or somebody paused, more numbers may have been drawn than sequences are ahead. Never back: the application may have gone
 * over already, unheard, and draw from them.
 */
async function carryFurther(migration: DualWriteMigration, to: WritingSide): Promise<void> {
  const { runbook, plan, scope } = migration;
  await run('undo', `Carry sequences of the ${to} further`).carryLiveSequences({
    scope,
    to,
    margin: plan.dualWrite.sequenceMargin,
    onlyForward: true,
  });
  migration.sequencesCarriedAt = runbook.now().getTime();
}

/** Whether it was done. An application that does not tell how many have failed is switched all the same. */
async function switchUnlessRepeatsFailed(migration: DualWriteMigration, to: WritingSide): Promise<boolean> {
  const { failedRepeats } = migration;
  const application = applicationOf(migration);
  const name = to === 'target' ? application.switchTarget : application.switchSource;
  try {
    const withinMs = needed(parseDurationMs(application.timeout), 'timeout') + lateMs;
    await runWithin(withinMs, 'application', `POST /admin/switch-datastore ${name}`).switchDatastore({
      application,
      to,
      ...(failedRepeats === undefined ? {} : { failedRepeats }),
    });
    return true;
  } catch (error) {
    if (failedRepeats !== undefined && statusOf(error) === conflict) return false;
    throw error;
  }
}

/**
 * The switch may have been made although nobody heard its answer. Only an application that is on the target refuses to be switched to the
 * source: then what only the target has is carried over first. Numbers that it has drawn there must not be drawn again, so the source may have
 * a gap in its numbers afterwards.
 */
async function backBeforeNoReturn(migration: DualWriteMigration): Promise<string> {
  try {
    await carryFurther(migration, 'source');
  } catch (error) {
    if (isCancellation(error)) throw error;
    migration.runbook.note(
      `Sequences of the source were left as they are: ${describeFailure(error)} If the application has written to the target, set them beyond the numbers that it drew there.`,
    );
  }
  if (await switchUnlessRepeatsFailed(migration, 'source')) return 'the application uses the source';
  migration.judge = 'target';
  // Seconds after the switch, and an undo asks nobody.
  await goBackOver(migration, 'auto');
  return 'the application uses the source again, with all that was written to the target';
}

function statusOf(error: unknown): unknown {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  if (!(cause instanceof ApplicationFailure)) return undefined;
  const [details] = cause.details ?? [];
  return (details as { status?: unknown } | undefined)?.status;
}

/** How long the application could not write, as it saw it: the record of the hand-over and the downtime. */
export async function measureTurn(migration: DualWriteMigration): Promise<void> {
  const { runbook } = migration;
  const { journal } = runbook;
  const record = journal.handOvers?.at(-1);
  const freezeMs = await runbook.step(
    'measure-freeze',
    'Ask the application how long it could not write',
    async () =>
      (await run('application', 'GET /admin/status').measureFreeze({ application: applicationOf(migration) })).freezeMs,
    {
      skippable: true,
      describe: (ms) => (ms === undefined ? 'it does not tell' : `${ms} ms between its last and its first write`),
    },
  );
  if (!record || freezeMs === undefined) return;
  record.freezeMs = freezeMs;
  const now = runbook.now().getTime();
  const before = journal.downtime?.durationMs ?? 0;
  journal.downtime = {
    startedAt: new Date(now - freezeMs).toISOString(),
    endedAt: new Date(now).toISOString(),
    durationMs: before + Math.round(freezeMs),
  };
}
