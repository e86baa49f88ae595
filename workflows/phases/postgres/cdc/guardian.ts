// The slot guardian as its migration sees it: a workflow of its own, which goes on when this one is blocked, terminated or has no worker.
import {
  ChildWorkflowCancellationType,
  getExternalWorkflowHandle,
  ParentClosePolicy,
  setHandler,
  startChild,
} from '@temporalio/workflow';
import { describeFailure } from '../../../logbook';
import {
  dismissSignal,
  guardianId,
  slotGuardianSignal,
  slotGuardianType,
  type GuardianWord,
} from '../../../slot-guardian-messages';
import { switched, type CdcMigration } from './migration';

/** Starts it, or finds it at work. */
export async function startGuardian(migration: CdcMigration): Promise<string> {
  const { scope, plan } = migration;
  const workflowId = guardianId(scope.migration);
  try {
    await startChild(slotGuardianType, {
      workflowId,
      parentClosePolicy: ParentClosePolicy.ABANDON,
      // Who cancels the migration does not cancel its guardian: the slots are still there until they are undone.
      cancellationType: ChildWorkflowCancellationType.ABANDON,
      args: [{ scope, settings: { walBudgetMegabytes: plan.cdc.walBudgetMegabytes }, migration: scope.migration }],
      staticSummary: `Guards the replication slots of ${scope.migration}`,
    });
    return `${workflowId} watches what the slots hold back`;
  } catch (error) {
    if (error instanceof Error && error.name === 'WorkflowExecutionAlreadyStartedError')
      return `${workflowId} is at work already`;
    throw error;
  }
}

export async function dismissGuardian(migration: CdcMigration): Promise<string> {
  try {
    await getExternalWorkflowHandle(guardianId(migration.scope.migration)).signal(dismissSignal);
    return 'dismissed';
  } catch {
    return 'was not there any more';
  }
}

/** What the guardian says is shown; what it does to the slots ends the way it kept open. */
export function heedGuardian(migration: CdcMigration): void {
  const { runbook } = migration;
  setHandler(
    slotGuardianSignal,
    (said) => {
      try {
        heed(migration, said);
      } catch (error) {
        runbook.note(`The slot guardian could not be understood: ${describeFailure(error)}`);
      }
    },
    { description: 'Sent by the slot guardian alone: how near the slots are to their budget of WAL.' },
  );
}

function heed(migration: CdcMigration, { level, detail }: GuardianWord): void {
  const { runbook } = migration;
  const at = runbook.now().toISOString();
  migration.guardian = { level, detail, at };
  if (runbook.journal.replication) runbook.journal.replication.guardian = migration.guardian;
  runbook.note(`Slot guardian, ${level}: ${detail}`);
  if (runbook.ending) return;
  if (level === 'pause' && mayBePaused(migration)) runbook.pause('slot guardian', detail);
  if (level !== 'pause' && level !== 'drop' && runbook.journal.paused?.by === 'slot guardian') runbook.resume();
  if (level !== 'drop') return;
  migration.following = false;
  if (runbook.journal.replication)
    runbook.journal.replication.problems = [`the slot guardian dropped the slots: ${detail}`];
  if (!runbook.pastNoReturn) runbook.interrupt('rollback', `the slot guardian dropped the slots: ${detail}`);
}

/** A copy or a freeze that stands still holds slots back all the longer: only what lies between them is paused. */
function mayBePaused(migration: CdcMigration): boolean {
  const { runbook, following, groupOpen } = migration;
  if (runbook.paused || runbook.rollingBack || runbook.journal.handOvers?.at(-1)?.outcome === 'under-way') return false;
  return following && !groupOpen && !switched(migration);
}
