// The backup, the lock of etcd, and the wait for what was under way. From the lock on no new pod gets networking: the clock runs.
import { ApplicationFailure, sleep } from '@temporalio/workflow';
import type { EtcdSnapshot } from '../../../activities/calico/etcd';
import { formatBytes, formatCount } from '../../../journal/quantities';
import { parseDurationMs } from '../../../plan/duration';
import { run } from '../../activity-options';
import { beginDowntime, endDowntime } from '../downtime';
import { needed } from '../migration';
import { keep, type CalicoMigration } from './migration';

/** A backup of everything below the prefix, restorable key for key, before anything is changed. */
export async function snapshot(migration: CalicoMigration): Promise<void> {
  const { runbook } = migration;
  runbook.phase('snapshot');
  let backup = await runbook.step('snapshot', 'Take a backup of etcd', () => takeBackup(migration), {
    describe: ({ keys, bytes, revision }) => `${formatCount(keys)} keys, ${formatBytes(bytes)}, revision ${revision}`,
  });
  let doubtful = false;
  await runbook.step(
    'verify-snapshot',
    'Verify the backup',
    async () => {
      // What could not be verified once may never be: its revision is compacted away.
      if (doubtful) backup = await takeBackup(migration);
      doubtful = true;
      return run('long', 'Verify the backup of etcd').verifyEtcdSnapshot({
        scope: migration.scope,
        snapshot: needed(backup, 'backup'),
      });
    },
    { describe: ({ evidence }) => evidence.join('; ').slice(0, 400) },
  );
}

async function takeBackup(migration: CalicoMigration): Promise<EtcdSnapshot> {
  const { scope } = migration;
  const backup = await run('long', 'Backup of etcd below the prefix').takeEtcdSnapshot({
    scope,
    name: 'etcd-before.jsonl',
  });
  keep(migration, backup.artifact);
  return backup;
}

export async function lockSource(migration: CalicoMigration): Promise<void> {
  const { runbook, scope } = migration;
  runbook.phase('freeze');
  const found = await runbook.step(
    'lock-state',
    'Look whether etcd is locked now',
    () => run('quick', 'State of the lock in etcd').etcdLockState({ scope }),
    { describe: ({ state }) => state },
  );
  const before = needed(found, 'lock state').state;
  migration.lockBefore = before;
  await runbook.step(
    'lock-source',
    'Lock the etcd datastore',
    () => {
      beginDowntime(migration);
      return run('brisk', 'Lock etcd').lockEtcd({ scope, before });
    },
    {
      downtime: true,
      undoTitle: 'Unlock the etcd datastore again',
      // Whoever still reads the cluster must not find etcd open beside it.
      undoNeeds: ['apply-manifest'],
      undo: async () => {
        const { state } = await run('undo', 'Unlock etcd').unlockEtcd({ scope, to: before });
        endDowntime(migration);
        return `etcd is ${state}, as before`;
      },
      describe: ({ revision }) => `locked at revision ${revision}; it was ${before}`,
    },
  );
}

/** What was under way when the lock came, ends; and the lock is still there afterwards. */
export async function drain({ runbook, plan, scope }: CalicoMigration): Promise<void> {
  const drainMs = needed(parseDurationMs(plan.drain), 'drain');
  await runbook.step(
    'drain',
    `Wait ${plan.drain} for what was under way`,
    async () => {
      await sleep(drainMs, { summary: 'What was under way when the lock came, ends' });
      const { state, revision } = await run('quick', 'Is etcd still locked').etcdLockState({ scope });
      if (state !== 'locked') {
        throw ApplicationFailure.nonRetryable(
          `The etcd datastore is ${state} although this migration has locked it: somebody has unlocked it. Find out who, then roll back and start again.`,
          'PreconditionFailed',
        );
      }
      return revision;
    },
    { downtime: true, describe: (revision) => `still locked at revision ${revision}` },
  );
}
