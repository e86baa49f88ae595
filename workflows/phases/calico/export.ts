// One revision is pinned, read whole, and made into the file that is imported. Every key is accounted for.
import { formatBytes, formatCount } from '../../../journal/quantities';
import { run } from '../../activity-options';
import { needed } from '../migration';
import { keep, type CalicoMigration } from './migration';
import { requireExpectedRefusals } from './refusals';

export async function exportSource(migration: CalicoMigration): Promise<void> {
  const { runbook, scope } = migration;
  const { journal } = runbook;
  runbook.phase('export');
  await runbook.step(
    'pin',
    'Read everything in etcd at one revision',
    async () => {
      const pinned = await run('long', 'Snapshot of etcd under the lock').takeEtcdSnapshot({
        scope,
        name: 'etcd-locked.jsonl',
      });
      keep(migration, pinned.artifact);
      migration.pinned = pinned;
      return pinned;
    },
    {
      downtime: true,
      describe: ({ keys, bytes, revision }) => `${formatCount(keys)} keys, ${formatBytes(bytes)}, revision ${revision}`,
    },
  );
  const { artifact: snapshot, revision } = needed(migration.pinned, 'pinned snapshot');
  await runbook.step(
    'export',
    'Make the export file, and account for every key',
    async () => {
      const exported = await run('long', 'Export').exportCalico({ scope, snapshot, revision });
      journal.accounting = exported.accounting;
      migration.accounting = exported.accounting;
      requireExpectedRefusals(migration, exported.refusedByCategory);
      keep(migration, exported.file, exported.dispositions);
      migration.file = exported.file;
      return exported;
    },
    {
      downtime: true,
      describe: ({ objects, refusedByCategory }) => {
        const refused = Object.values(refusedByCategory).reduce((sum, count) => sum + count, 0);
        return `${formatCount(objects)} objects${refused > 0 ? `, ${formatCount(refused)} keys refused` : ''}`;
      },
    },
  );
}
