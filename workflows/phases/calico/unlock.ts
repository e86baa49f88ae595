// The unlock of the cluster, which is the end of the outage and comes after the point of no return; and the first look afterwards.
import { ApplicationFailure } from '@temporalio/workflow';
import { formatTime, plural } from '../../../journal/quantities';
import { run } from '../../activity-options';
import { endDowntime } from '../downtime';
import { recordsEvidence } from '../proof';
import type { CalicoMigration } from './migration';
import { describeWorkloads, waitForRollout } from './switch';
import { compareAddresses } from './validation';

/** What the people at the `unlock` gate should see. */
export function unlockEvidence(migration: CalicoMigration): string[] {
  const { runbook, manifests, plan } = migration;
  return [
    manifests
      ? `Calico runs on the Kubernetes datastore: ${plural(manifests.kubernetes.workloads.length, 'workload')} rolled out`
      : 'people said that Calico runs on the Kubernetes datastore',
    'nothing was written to etcd since it was read, nothing to the target but by us',
    recordsEvidence(migration),
    `locked since ${formatTime(runbook.journal.downtime?.startedAt)}`,
    `after the unlock there is no loss-free way back; etcd stays locked and is kept for ${plan.retainSource}`,
  ];
}

/** The end of the outage. After the point of no return: an unlock whose answer was lost may have worked. */
export async function unlockTarget(migration: CalicoMigration): Promise<void> {
  const { runbook, scope } = migration;
  runbook.phase('unlock');
  await runbook.step(
    'unlock',
    'Unlock the Kubernetes datastore',
    () => run('brisk', 'Unlock the Kubernetes datastore').unlockKubernetes({ scope }),
    { downtime: true, againByItself: true, describe: ({ changed }) => (changed ? 'unlocked' : 'was unlocked already') },
  );
  endDowntime(migration);
}

/** The first look after the unlock. */
export async function smoke(migration: CalicoMigration): Promise<void> {
  const { runbook, scope, manifests } = migration;
  runbook.phase('smoke');
  await runbook.step(
    'smoke-lock',
    'Look that the Kubernetes datastore is unlocked',
    async () => {
      const { state } = await run('quick', 'State of the lock on the cluster').kubernetesLockState({ scope });
      if (state !== 'ready') {
        throw ApplicationFailure.nonRetryable(
          `The Kubernetes datastore is ${state} after the unlock: somebody or something has locked it. Unlock it (calicoctl datastore migrate unlock), then retry.`,
          'VerificationMismatch',
        );
      }
    },
    { skippable: true, describe: () => 'unlocked' },
  );
  if (manifests) {
    await runbook.step(
      'smoke-rollout',
      'Look that Calico is ready on the Kubernetes datastore',
      () => waitForRollout(migration, 'kubernetes'),
      { skippable: true, describe: ({ workloads }) => describeWorkloads(workloads) },
    );
  }
  await compareAddresses(migration, 'smoke-ipam', { skippable: true });
}
