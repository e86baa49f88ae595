// The proof that both datastores say the same: everything is read back, found under the names that Calico asks for, and consistent in itself.
import { ApplicationFailure } from '@temporalio/workflow';
import { run } from '../../activity-options';
import { needed } from '../migration';
import { describeRecords, requirePassed } from '../proof';
import { imported, type CalicoMigration } from './migration';

export async function validate(migration: CalicoMigration): Promise<void> {
  const { runbook } = migration;
  runbook.phase('validate');
  await compare(migration, 'compare', 'Read every object back and compare it with its source');
  await runbook.step(
    'each-kind',
    'Get each kind, as Calico will',
    async () => requirePassed(migration, await run('long', 'Get each kind').listEachKind(imported(migration))),
    { downtime: true, describe: describeRecords },
  );
  await compareAddresses(migration, 'ipam', { downtime: true });
}

/**
 * Field by field; a second time before the unlock, since the lock keeps nobody from writing.
 * @param more `running`: Calico has started on the target, and has written there what it always writes
 */
export async function compare(
  migration: CalicoMigration,
  id: string,
  title: string,
  more: { running?: boolean } = {},
): Promise<void> {
  await migration.runbook.step(
    id,
    title,
    async () =>
      requirePassed(
        migration,
        (await run('long', 'Compare every object').compareImported({ ...imported(migration), ...more })).records,
      ),
    { downtime: true, describe: describeRecords },
  );
}

/** Allocations, handles, blocks and affinities on the target. */
export async function compareAddresses(
  migration: CalicoMigration,
  id: string,
  options: { downtime?: boolean; skippable?: boolean },
): Promise<void> {
  const { runbook, scope, pinned } = migration;
  const { file } = imported(migration);
  const snapshot = needed(pinned, 'pinned snapshot').artifact;
  await runbook.step(
    id,
    'Check that allocations, handles, blocks and affinities agree',
    async () => requirePassed(migration, await run('long', 'Invariants of IPAM').checkIpam({ scope, snapshot, file })),
    { ...options, describe: describeRecords },
  );
}

/** Nobody may have written to etcd since the revision that was imported: it would be lost. */
export async function requireNoDrift(migration: CalicoMigration, id: string): Promise<void> {
  const { runbook, scope, pinned } = migration;
  await runbook.step(
    id,
    'Look for anything written to etcd since it was read',
    async () => {
      const drift = await run('long', 'Drift of etcd since the pinned revision').findEtcdDrift({
        scope,
        snapshot: needed(pinned, 'pinned snapshot'),
      });
      if (drift.total > 0) {
        const listed = drift.changes.map(({ key, change }) => `${key} ${change}`).join(', ');
        throw ApplicationFailure.nonRetryable(
          `${drift.total} keys in etcd are not as they were when they were read, so the import does not have them: ${listed}. Find out who writes in spite of the lock; then roll back and start again, or undo the writes and retry.`,
          'VerificationMismatch',
        );
      }
      return drift;
    },
    {
      downtime: true,
      describe: ({ harmless, revision }) =>
        `nothing up to revision ${revision}${harmless > 0 ? `; ${harmless} changes of keys that are never migrated` : ''}`,
    },
  );
}
