// Dual write: the application writes to both sides. What was there before is filled in underneath, both sides are compared until they agree, and
// the application goes over without maintenance mode; until the target is accepted the source gets the repeats, so that going back loses nothing.
import { CancellationScope, CancelledFailure, isCancellation } from '@temporalio/workflow';
import { refuse } from '../handlers';
import type { MigrationResult, RollbackRequest } from '../messages';
import { conclude, requireUndone, undoEverything } from '../phases/ending';
import { backfill, complete, writeToBoth } from '../phases/postgres/dual-write/backfill';
import { goOver } from '../phases/postgres/dual-write/go-over';
import { newDualWriteMigration, switched, type DualWriteMigration } from '../phases/postgres/dual-write/migration';
import { decide, makeReady } from '../phases/postgres/dual-write/ready';
import { endDualWrite, endWindow, goBackWithoutLoss, inUse } from '../phases/postgres/dual-write/window';
import { cleanUp, endingOf } from '../phases/postgres/ending';
import type { PostgresMigration } from '../phases/postgres/migration';
import { prepareTarget } from '../phases/postgres/prepare';
import { retainSource } from '../phases/postgres/retire';
import { goBack, onTarget } from '../phases/postgres/way-back';
import type { WayBack } from '../phases/way-back';
import { Interrupted } from '../runbook';

/** What `postgresMigration` does from the snapshot on, for this strategy. */
export class DualWrite {
  private readonly migration: DualWriteMigration;

  constructor(
    migration: PostgresMigration,
    private readonly wayBack: WayBack,
  ) {
    this.migration = newDualWriteMigration(migration);
  }

  /**
   * A rollback after the switch: while the application writes to both it needs no words, since it loses nothing. Where that gets nowhere
   * (the target is gone, say), words end it.
   */
  rollback(request: RollbackRequest): void {
    const { migration } = this;
    const { runbook } = migration;
    const { by, reason } = request;
    if (migration.turning) {
      if (runbook.journal.blocked) this.wayBack.request(request);
      else refuse(runbook.journal, 'rollback', 'the migration is going back already', by);
      return;
    }
    if (!migration.repeating) {
      this.wayBack.request(request);
      return;
    }
    migration.turning = true;
    runbook.interrupt('way-back', `rollback asked for by ${by}: ${reason}`);
  }

  async carryOut(): Promise<MigrationResult> {
    const { migration } = this;
    try {
      await prepareTarget(migration);
      await writeToBoth(migration);
      await backfill(migration);
      await complete(migration);
      await makeReady(migration);
      await decide(migration);
      await goOver(migration);
    } catch (error) {
      return undoEverything(migration, error, endingOf(migration));
    }
    void this.wayBack.answerRequests().catch(() => undefined);
    try {
      await inUse(migration);
      await endWindow(migration);
      await cleanUp(migration);
      const sourceFence = await retainSource(migration);
      return await conclude(migration, 'completed', endingOf(migration, { sourceFence, targetFence: false }));
    } catch (error) {
      return this.afterInterruption(error);
    }
  }

  private async afterInterruption(error: unknown): Promise<MigrationResult> {
    const { migration } = this;
    const { runbook } = migration;
    if (error instanceof Interrupted && migration.repeating && !runbook.ending) {
      try {
        await goBackWithoutLoss(migration, error.reason);
      } catch (next) {
        return this.afterInterruption(next);
      }
      return this.endOnSource();
    }
    if (error instanceof Interrupted) return this.endWithLoss(error);
    if (!isCancellation(error)) throw error;
    return this.endCancelled(error);
  }

  private async endOnSource(): Promise<MigrationResult> {
    const { migration } = this;
    const cancelled = CancellationScope.current().consideredCancelled;
    return CancellationScope.nonCancellable(async () => {
      await cleanUp(migration, onTarget(migration));
      const result = await conclude(
        migration,
        'rolled-back',
        endingOf(migration, { sourceFence: false, targetFence: true }),
      );
      requireUndone(migration);
      if (cancelled) throw new CancelledFailure('cancelled while it went back');
      return result;
    });
  }

  /** Words were said that accept what only the target has: where it is away, or after it was accepted. */
  private async endWithLoss({ reason }: Interrupted): Promise<MigrationResult> {
    const { migration } = this;
    await CancellationScope.nonCancellable(async () => {
      migration.runbook.ending = true;
      migration.runbook.clearInterruption();
      await goBack(migration, reason);
      migration.judge = 'source';
      if (migration.repeating) await endDualWrite(migration);
      await cleanUp(migration, onTarget(migration));
    });
    return conclude(migration, 'rolled-back', endingOf(migration, { sourceFence: false, targetFence: true }));
  }

  /** Who cancels after the switch keeps the target, and must not leave the application writing to both for ever. */
  private async endCancelled(error: unknown): Promise<MigrationResult> {
    const { migration } = this;
    const { runbook } = migration;
    runbook.ending = true;
    runbook.journal.reason = 'cancelled after the switch: the target stays in use';
    runbook.clearInterruption();
    await CancellationScope.nonCancellable(async () => {
      if (switched(migration) && migration.repeating) await endWindow(migration);
      await cleanUp(migration);
    });
    await conclude(migration, 'completed', endingOf(migration, { sourceFence: true, targetFence: false }));
    throw error;
  }
}
