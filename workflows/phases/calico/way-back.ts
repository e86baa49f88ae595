// Going back after the unlock, in the order of Calico's own document, and complete: what has changed on the cluster since is lost, but kept
// in an artifact. Each step blocks and can be retried; what only cleans up can be given up, and then the migration says so.
import { CancellationScope } from '@temporalio/workflow';
import { formatCount } from '../../../journal/quantities';
import type { RollbackRecord } from '../../../journal/types';
import { run } from '../../activity-options';
import { beginDowntime, endDowntime } from '../downtime';
import { needed } from '../migration';
import type { Loss } from '../way-back';
import { keptCrds } from './import';
import { imported, keep, type CalicoMigration } from './migration';
import { applyEtcdManifest, describeWorkloads, goingBackByHand, waitForRollout } from './switch';

/** Compares the cluster with what was imported, and notes the words that accept the loss of the difference. */
export async function measureLoss(migration: CalicoMigration): Promise<Loss & { changes: number }> {
  const { runbook } = migration;
  const { journal } = runbook;
  const { changes, detail, artifact } = await run('long', 'What has changed on the cluster').measureDivergence({
    ...imported(migration),
    name: divergence,
  });
  const words = changes === 1 ? 'lose 1 change' : `lose ${changes} changes`;
  journal.loss = { writes: String(changes), words, detail, measuredAt: runbook.now().toISOString() };
  keep(migration, artifact);
  runbook.show();
  return { words, detail, changes };
}

/** The whole Kubernetes side when it was last measured. */
const divergence = 'kubernetes-divergence.jsonl';

/** After the words were said. Shielded from cancellation. */
export async function goBack(migration: CalicoMigration, reason: string): Promise<void> {
  await CancellationScope.nonCancellable(async () => {
    const { runbook, scope } = migration;
    const started = runbook.now();
    runbook.ending = true;
    runbook.clearInterruption();
    beginDowntime(migration);
    runbook.journal.reason = reason;
    runbook.phase('rolling-back');
    const record: RollbackRecord = { startedAt: started.toISOString(), reason, steps: [] };
    runbook.journal.rollback = record;

    await runbook.step(
      'back-lock-target',
      'Lock the Kubernetes datastore',
      () => run('brisk', 'Lock the Kubernetes datastore').lockKubernetes({ scope }),
      { downtime: true, describe: ({ before }) => `locked; it was ${before}` },
    );
    await runbook.step('back-divergence', 'Keep the Kubernetes side as it is now', () => measureLoss(migration), {
      downtime: true,
      skippable: true,
      describe: ({ changes }) => `${formatCount(changes)} changes since the import, kept as ${divergence}`,
    });
    await configureForEtcd(migration);
    await removeTraces(migration);
    await runbook.step(
      'back-unlock-source',
      'Unlock the etcd datastore',
      () => run('long', 'Unlock etcd').unlockEtcd({ scope, to: needed(migration.lockBefore, 'lock state') }),
      { downtime: true, describe: ({ state }) => `etcd is ${state}` },
    );
    endDowntime(migration);
    record.endedAt = runbook.now().toISOString();
    record.durationMs = runbook.now().getTime() - started.getTime();
  });
}

async function configureForEtcd(migration: CalicoMigration): Promise<void> {
  const { runbook, manifests } = migration;
  if (!manifests) {
    await runbook.insist('apply-manifest', goingBackByHand);
    return;
  }
  await runbook.step('back-manifest', 'Configure Calico for etcd again', () => applyEtcdManifest(migration, 'long'), {
    downtime: true,
    describe: (done) => done,
  });
  await cleaning(migration, 'back-rollout', 'Wait until Calico runs on etcd again', async () =>
    describeWorkloads((await waitForRollout(migration, 'etcd')).workloads),
  );
}

async function removeTraces(migration: CalicoMigration): Promise<void> {
  const { runbook, scope, crds } = migration;
  const { inventory } = imported(migration);
  await cleaning(migration, 'back-nodes', 'Put the annotations of the nodes back', async () => {
    const { restored } = await run('long', 'Put node annotations back').restoreNodeAnnotations({ scope, inventory });
    return `${formatCount(restored)} nodes as before`;
  });
  await cleaning(migration, 'back-import', 'Take back what was imported, and what came after it', async () => {
    const { removed, restored } = await run('long', 'Take back what was imported').removeImported({
      ...imported(migration),
      alsoNew: true,
    });
    return `${formatCount(removed)} removed, ${formatCount(restored)} put back`;
  });
  await cleaning(migration, 'back-crds', 'Remove the CRDs that we created', async () => {
    const { removed, kept } = await run('long', 'Remove created CRDs').removeCrds({ scope, crds, inventory });
    if (kept.length > 0) runbook.note(keptCrds(kept));
    return `${removed.length} CRDs removed${kept.length > 0 ? `, ${kept.length} kept` : ''}`;
  });
}

/** A step whose failure must not keep etcd locked for ever: a person may give it up. */
async function cleaning(
  { runbook, givenUp }: CalicoMigration,
  id: string,
  title: string,
  work: () => Promise<string>,
): Promise<void> {
  const done = await runbook.step(id, title, work, { downtime: true, skippable: true, describe: (line) => line });
  if (done === undefined) givenUp.push(title);
}
