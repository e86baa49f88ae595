// CDC: the database keeps serving while it is copied and streamed; the freeze is a second or so whatever the size; after the switch the old side
// follows the new one, so that going back is a switch and not a loss, and so is going forward once more.
import { ApplicationFailure, CancellationScope, CancelledFailure, isCancellation, sleep } from '@temporalio/workflow';
import { ruleOf } from '../../plan/gates';
import { refuse } from '../handlers';
import type { MigrationResult, RecopyRequest, RollbackRequest } from '../messages';
import { conclude, requireUndone, undoEverything } from '../phases/ending';
import { cleanUp, endingOf } from '../phases/postgres/ending';
import { dismissGuardian, heedGuardian } from '../phases/postgres/cdc/guardian';
import { finishHandOver, handOver } from '../phases/postgres/cdc/hand-over';
import { newCdcMigration, switched, type CdcMigration } from '../phases/postgres/cdc/migration';
import { cutoverEvidence, lookUntilReady, makeReady, watchingStreams } from '../phases/postgres/cdc/ready';
import { removeStreams, startStreaming } from '../phases/postgres/cdc/streaming';
import { goBackWithoutLoss, inUse, requestWayBack } from '../phases/postgres/cdc/window';
import type { PostgresMigration } from '../phases/postgres/migration';
import { prepareTarget } from '../phases/postgres/prepare';
import { giveTargetBack } from '../phases/postgres/rehearsed';
import { retainSource } from '../phases/postgres/retire';
import { goBack, onTarget, type OnTarget } from '../phases/postgres/way-back';
import type { WayBack } from '../phases/way-back';
import { Interrupted } from '../runbook';

/** Automatic gates give up after so many hand-overs that ran out of time; people may go on as long as they like. */
const automaticAttempts = 3;

/** What `postgresMigration` does from the snapshot on, for this strategy. */
export class Cdc {
  private readonly migration: CdcMigration;

  constructor(
    migration: PostgresMigration,
    private readonly wayBack: WayBack,
  ) {
    this.migration = newCdcMigration(migration);
    heedGuardian(this.migration);
  }

  /**
   * A rollback after the point of no return: inside the reverse window it needs no words, since it loses nothing. Where going back without a
   * loss gets nowhere, words end it; they are not asked for while it gets on, nor when the source is being opened already.
   */
  rollback(request: RollbackRequest): void {
    const { migration } = this;
    const { by, reason } = request;
    const why = requestWayBack(migration, by, reason);
    if (why === undefined) return;
    const { journal } = migration.runbook;
    const getsOn = !switched(migration) || (migration.following && !journal.blocked);
    if (migration.turning && getsOn) refuse(journal, 'rollback', why, by);
    else this.wayBack.request(request);
  }

  /** Copies one table again, when its comparison is what blocks. */
  recopy({ table, by }: RecopyRequest): string | undefined {
    const { runbook, recopying } = this.migration;
    if (runbook.journal.blocked?.step !== 'validate-moving' || this.migration.leg > 0)
      return 'only while validate-moving is blocked, before the first switch';
    recopying.push(table);
    runbook.answerBlocked('retry', by);
    return undefined;
  }

  async carryOut(): Promise<MigrationResult> {
    const { migration } = this;
    try {
      await prepareTarget(migration);
      await startStreaming(migration);
    } catch (error) {
      return undoEverything(migration, error, endingOf(migration));
    }
    void this.wayBack.answerRequests().catch(() => undefined);
    for (;;) {
      const used = await attempted(async () => {
        if (!switched(migration)) await untilHandedOver(migration);
        await inUse(migration);
      });
      if (!used.failed) return this.endOnTarget();
      const { error } = used;
      if (!switched(migration)) return this.endOnSource(error);
      const reason = this.goesBackFor(error);
      if (reason === undefined) return this.endAfterInterruption(error);
      if (!migration.following) {
        stayOnTarget(migration, reason);
        continue;
      }
      const back = await attempted(() => goBackWithoutLoss(migration, reason));
      if (back.failed && switched(migration)) return this.endAfterInterruption(back.error);
      if (back.failed) return this.endOnSource(back.error);
      if (ruleOf(migration.plan.gates, 'cutover') === 'auto')
        return this.endOnSource(
          CancellationScope.current().consideredCancelled
            ? new CancelledFailure('cancelled while it went back')
            : new Interrupted('rollback', reason),
        );
    }
  }

  /** Why the hand-over back is to begin; undefined where this error ends the migration another way. A rehearsal goes back for a cancellation too. */
  private goesBackFor(error: unknown): string | undefined {
    const { runbook } = this.migration;
    if (error instanceof Interrupted && !runbook.ending) return error.reason;
    return runbook.rehearsal && isCancellation(error) ? 'the rehearsal was cancelled' : undefined;
  }

  /** Nothing was ever switched: everything is undone. Otherwise the source is in use again, and only the streams go. */
  private async endOnSource(error: unknown): Promise<MigrationResult> {
    const { migration } = this;
    if (migration.leg === 0) return undoEverything(migration, error, endingOf(migration));
    if (!(error instanceof Interrupted) && !isCancellation(error)) throw error;
    const { runbook } = migration;
    return CancellationScope.nonCancellable(async () => {
      runbook.ending = true;
      runbook.clearInterruption();
      migration.givenUp.push(...(await runbook.unwind(describe(error))));
      await this.endStreams();
      noWayForward(migration);
      if (runbook.rehearsal) await giveTargetBack(migration);
      await cleanUp(migration);
      const result = await conclude(
        migration,
        'rolled-back',
        endingOf(migration, { sourceFence: false, targetFence: !runbook.rehearsal }),
      );
      requireUndone(migration);
      if (isCancellation(error)) throw error;
      return result;
    });
  }

  private async endOnTarget(): Promise<MigrationResult> {
    const { migration } = this;
    const finished = await attempted(async () => {
      await this.endStreams();
      await cleanUp(migration);
      return retainSource(migration);
    });
    if (finished.failed) return this.endAfterInterruption(finished.error);
    return conclude(migration, 'completed', endingOf(migration, { sourceFence: finished.value, targetFence: false }));
  }

  /** After the switch, where no stream leads back: words were said, or the workflow was cancelled. */
  private async endAfterInterruption(error: unknown): Promise<MigrationResult> {
    const { migration } = this;
    const { runbook } = migration;
    if (error instanceof Interrupted) {
      await CancellationScope.nonCancellable(async () => {
        runbook.ending = true;
        runbook.clearInterruption();
        // What still came through them after the source is open would be mixed with what is written there.
        await this.endStreams(onTarget(migration));
        await goBack(migration, error.reason);
        await cleanUp(migration, onTarget(migration));
      });
      return conclude(migration, 'rolled-back', endingOf(migration, { sourceFence: false, targetFence: true }));
    }
    if (!isCancellation(error)) throw error;
    runbook.ending = true;
    runbook.journal.reason = 'cancelled after the switch: the target stays in use';
    runbook.clearInterruption();
    await CancellationScope.nonCancellable(async () => {
      // Who cancels here must not leave the application unable to write to either side.
      await finishHandOver(migration);
      await this.endStreams();
      await cleanUp(migration);
    });
    await conclude(migration, 'completed', endingOf(migration, { sourceFence: true, targetFence: false }));
    throw error;
  }

  /** @param options of the step, where the target may be away: the source has been cleaned when that is found */
  private async endStreams(options: OnTarget = {}): Promise<void> {
    const { migration } = this;
    migration.following = false;
    const removed = await migration.runbook.step(
      'remove-streams',
      'Remove every slot, publication and subscription',
      () => removeStreams(migration),
      { againByItself: true, ...options, describe: (said) => said },
    );
    await dismissGuardian(migration);
    const { runbook, identitiesChanged } = migration;
    // What they were is known to the ledger on the target alone.
    if (removed === undefined && identitiesChanged.length > 0)
      runbook.note(
        `The replica identity of tables of the source was changed for the streams, and could not be put back: ${identitiesChanged.join(', ')}. ALTER TABLE … REPLICA IDENTITY does it by hand.`,
      );
    if (runbook.journal.replication) runbook.journal.replication.endedAt = runbook.now().toISOString();
    runbook.show();
  }
}

/** Opens the gate and hands over. When the deadline passes, the side is open again, streaming has gone on, and the gate opens once more. */
async function untilHandedOver(migration: CdcMigration): Promise<void> {
  const { runbook, plan } = migration;
  for (let attempt = 1; ; attempt += 1) {
    await makeReady(migration);
    runbook.phase('cutover');
    await watchingStreams(migration, () => runbook.gate('cutover', cutoverEvidence(migration, attempt)));
    await lookUntilReady(migration);
    const mark = runbook.mark();
    try {
      await handOver(migration, `gate cutover was passed, attempt ${attempt}`);
      return;
    } catch (error) {
      if (!(error instanceof Interrupted) || error.kind !== 'deadline' || switched(migration)) throw error;
      migration.givenUp.push(...(await runbook.unwind(`${error.reason}: it is open again`, mark)));
      runbook.note(`Attempt ${attempt}: ${error.reason}. Writes go on as before, and so does the stream.`);
      runbook.clearInterruption();
      if (migration.givenUp.length > 0) throw new Interrupted('rollback', 'the undo of an attempt was given up');
      if (ruleOf(plan.gates, 'cutover') === 'auto' && attempt >= (runbook.rehearsal ? 1 : automaticAttempts))
        throw new Interrupted('rollback', `${attempt} attempts ran out of time`);
      delete runbook.journal.reason;
      await runbook.interruptible(() => sleep(attempt * 1_000, { summary: 'Before the next try' }));
    }
  }
}

/** Going back was to lose nothing, and would lose something by now: nobody has accepted that. */
function stayOnTarget(migration: CdcMigration, reason: string): void {
  const { runbook } = migration;
  if (runbook.rehearsal)
    throw ApplicationFailure.nonRetryable(
      `The rehearsal cannot go back without a loss (${reason}): the scratch source does not follow the scratch target. Its report says why.`,
      'NotUndone',
    );
  migration.turning = false;
  runbook.clearInterruption();
  runbook.note(
    `Not gone back (${reason}): the source does not follow the target any more. To go back all the same, send rollback: it says what would be lost and which words to add.`,
  );
}

/** The streams are gone: what the way back left open is closed. */
function noWayForward({ runbook }: CdcMigration): void {
  const row = runbook.journal.rollback?.steps.find(({ name }) => name === 'target-preserved');
  if (row) row.detail = 'fenced, with all that was written until its streams were removed; it follows nobody any more';
}

function describe(error: unknown): string {
  return error instanceof Interrupted ? error.reason : 'the workflow was cancelled';
}

type Attempt<Result> = { failed: false; value: Result } | { failed: true; error: unknown };

async function attempted<Result>(work: () => Promise<Result>): Promise<Attempt<Result>> {
  try {
    return { failed: false, value: await work() };
  } catch (error) {
    return { failed: true, error };
  }
}
