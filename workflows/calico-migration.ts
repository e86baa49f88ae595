// Calico from etcd to the Kubernetes datastore, in the order of Calico's own document, whose steps are named beside ours. Both sides are
// locked from the lock of etcd to the unlock of the cluster; until then everything is undone by the compensation stack.
import { CancellationScope, isCancellation } from '@temporalio/workflow';
import { describeSource, describeTarget, type CalicoPlanInput } from '../plan/calico';
import { formatDurationMs, parseDurationMs } from '../plan/duration';
import { parseCalicoPlan } from '../plan/parse';
import { listen } from './handlers';
import { newJournal } from './logbook';
import type { MigrationResult } from './messages';
import { endingOf } from './phases/calico/ending';
import { exportSource } from './phases/calico/export';
import { drain, lockSource, snapshot } from './phases/calico/freeze';
import { importTarget } from './phases/calico/import';
import type { CalicoMigration } from './phases/calico/migration';
import { preflight, startEvidence } from './phases/calico/preflight';
import { cutoverEvidence, switchCalico } from './phases/calico/switch';
import { smoke, unlockEvidence, unlockTarget } from './phases/calico/unlock';
import { compare, requireNoDrift, validate } from './phases/calico/validation';
import { retainSource, watchOf } from './phases/calico/watch';
import { goBack, measureLoss } from './phases/calico/way-back';
import { conclude, requireUndone, undoEverything } from './phases/ending';
import { needed } from './phases/migration';
import { refusePlan } from './phases/refused-plan';
import { accept, monitor } from './phases/watch';
import { WayBack } from './phases/way-back';
import { Interrupted, Runbook } from './runbook';

/**
 * Carries out one plan.
 * @param input the plan as the operator wrote it
 * @returns outcome, report and figures; `rolled-back` and `rejected` complete the workflow too
 * @throws InvalidPlan (the workflow fails at once, nothing was started); NotUndone when it could be neither finished nor undone
 */
export async function calicoMigration(input: CalicoPlanInput): Promise<MigrationResult> {
  const migration = begin(input);
  const { runbook } = migration;
  const wayBack = new WayBack(
    migration,
    () => measureLoss(migration),
    'the cluster uses the Kubernetes datastore since the unlock',
  );
  listen(runbook, {
    rollbackAfterNoReturn: (request) => wayBack.request(request),
    tune: () =>
      'an import of Calico data has no lanes to tune: its writers and their speed are those of the plan, and it obeys the apiserver',
  });
  runbook.announce();

  try {
    await preflight(migration);
    await runbook.gate('start', startEvidence(migration));
    await snapshot(migration);
    await moveUnderLock(migration);
  } catch (error) {
    return undoEverything(migration, error, endingOf(migration, false));
  }

  void wayBack.answerRequests().catch(() => undefined);
  const watch = watchOf(migration);
  try {
    await unlockTarget(migration); // "7. Unlock the datastore"
    await smoke(migration);
    await monitor(migration, watch);
    await accept(migration, watch);
    await retainSource(migration);
    return await conclude(migration, 'completed', endingOf(migration, true));
  } catch (error) {
    return goBackAfterNoReturn(migration, error);
  }
}

function begin(input: CalicoPlanInput): CalicoMigration {
  const parsed = parseCalicoPlan(input);
  if (!parsed.ok) throw refusePlan('calico', parsed.issues);
  const { plan } = parsed;
  const { name, source, target, gates } = plan;
  const journal = newJournal('calico', {
    name,
    digest: '',
    source: describeSource(source),
    target: describeTarget(target),
    facts: { monitorMs: parseDurationMs(plan.monitor), retainSourceMs: parseDurationMs(plan.retainSource) },
  });
  return {
    plan,
    runbook: new Runbook(journal, gates),
    scope: { migration: journal.migration, source, target },
    crds: [],
    earlierDowntimeMs: 0,
    givenUp: [],
  };
}

/** What the cluster feels. When `maxLocked` passes before the unlock, everything is undone; there is no second try by itself. */
async function moveUnderLock(migration: CalicoMigration): Promise<void> {
  const { runbook, plan } = migration;
  const limitMs = needed(parseDurationMs(plan.maxLocked), 'maxLocked');
  const deadline = {
    summary: `Calico may be locked for ${plan.maxLocked}`,
    over: `${formatDurationMs(limitMs)} under the lock have passed before the unlock was reached`,
  };
  await runbook.withDeadline(limitMs, deadline, async () => {
    await lockSource(migration); // "1. Lock the etcd datastore"
    await drain(migration);
    await exportSource(migration); // "2. Export the datastore contents"
    await importTarget(migration); // "3. Configure access", "4. Import the datastore contents"
    await validate(migration); // "5. Verify that the datastore was properly imported"
    runbook.phase('cutover');
    await runbook.gate('cutover', cutoverEvidence(migration));
    await switchCalico(migration); // "6. Configure Calico to read from the Kubernetes datastore"
    await requireNoDrift(migration, 'drift');
    await compare(migration, 'compare-again', 'Compare once more: nobody wrote to the locked target', {
      running: true,
    });
    await runbook.gate('unlock', unlockEvidence(migration));
    // The gate may have been open for hours, and so may a pause be; it is waited for here, where the clock still runs: after this nothing may wait.
    do await requireNoDrift(migration, 'drift-again');
    while (await runbook.whilePaused());
    runbook.pointOfNoReturn();
  });
}

async function goBackAfterNoReturn(migration: CalicoMigration, error: unknown): Promise<MigrationResult> {
  const { runbook } = migration;
  if (error instanceof Interrupted && error.kind === 'way-back') {
    await goBack(migration, error.reason);
    const result = await conclude(migration, 'rolled-back', endingOf(migration, false));
    requireUndone(migration);
    return result;
  }
  if (!isCancellation(error)) throw error;
  runbook.ending = true;
  runbook.journal.reason =
    'cancelled after the point of no return: the Kubernetes datastore stays in use, since going back would lose what was written to it';
  runbook.clearInterruption();
  // Who cancels here must not leave the cluster with both datastores locked.
  if (!runbook.journal.downtime?.endedAt) await CancellationScope.nonCancellable(() => unlockTarget(migration));
  await conclude(migration, 'completed', endingOf(migration, true));
  throw error;
}
