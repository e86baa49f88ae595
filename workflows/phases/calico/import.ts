// The cluster is made ready, locked, and written to; each step says what it would take to have it as it was.
import { formatCount } from '../../../journal/quantities';
import { formatDurationMs } from '../../../plan/duration';
import { run } from '../../activity-options';
import { needed } from '../migration';
import { imported, keep, type CalicoMigration } from './migration';
import { withMissingNodes } from './refusals';

/** Undone only when nothing of Calico reads the cluster any more. */
const whoReads = ['apply-manifest', 'etcd-rollout'];
/** Of names in one line. */
const named = 20;

export async function importTarget(migration: CalicoMigration): Promise<void> {
  const { runbook } = migration;
  runbook.phase('import');
  await inspect(migration);
  await createCrds(migration);
  await lockTarget(migration);
  await writeObjects(migration);
  await annotateNodes(migration);
}

async function inspect(migration: CalicoMigration): Promise<void> {
  const { runbook, scope, manifests } = migration;
  await runbook.step(
    'inspect',
    'Record what Calico has on the cluster, to be able to put it back',
    async () => {
      const found = await run('long', 'Inventory of the cluster').inspectKubernetes({ scope });
      keep(migration, found.inventory);
      migration.inventory = found.inventory;
      migration.crds = (manifests?.kubernetes.crds ?? []).filter((name) => !found.crds.includes(name));
      return found;
    },
    {
      downtime: true,
      describe: ({ objects, crds, nodes }) =>
        `${formatCount(objects)} objects, ${crds.length} CRDs, ${formatCount(nodes)} nodes`,
    },
  );
}

async function createCrds({ runbook, scope, manifests, inventory, crds }: CalicoMigration): Promise<void> {
  const before = needed(inventory, 'inventory');
  await runbook.step(
    'crds',
    'Create the CRDs that are missing',
    async () => {
      const ensured = await run('long', 'Create the CRDs that are missing').ensureCrds({
        scope,
        manifest: manifests?.kubernetes.artifact,
      });
      for (const note of ensured.notes.slice(0, named)) runbook.note(note);
      return ensured;
    },
    {
      downtime: true,
      undoTitle: 'Remove the CRDs that we created',
      undoNeeds: [...whoReads, 'lock-target'],
      undo: async () => {
        const { removed, kept } = await run('undo', 'Remove created CRDs').removeCrds({
          scope,
          crds,
          inventory: before,
        });
        if (kept.length > 0) runbook.note(keptCrds(kept));
        return `${removed.length} CRDs removed${kept.length > 0 ? `, ${kept.length} kept` : ''}`;
      },
      describe: ({ created, present }) => `${created.length} created, ${present} were there`,
    },
  );
}

/** "These CRDs stay on the cluster: ippools.crd.projectcalico.org (somebody else's objects are in it)" */
export function keptCrds(kept: { name: string; why: string }[]): string {
  return `These CRDs stay on the cluster: ${kept
    .slice(0, named)
    .map(({ name, why }) => `${name} (${why})`)
    .join(', ')}`;
}

/** From here on the cluster's datastore is there and says "not ready": whatever reads it waits. */
async function lockTarget(migration: CalicoMigration): Promise<void> {
  const { runbook, scope, file } = migration;
  await runbook.step(
    'lock-target',
    'Lock the Kubernetes datastore',
    () => run('brisk', 'Lock the Kubernetes datastore').lockKubernetes({ scope, file: needed(file, 'export file') }),
    {
      downtime: true,
      undoTitle: 'Take back what was imported',
      undoNeeds: whoReads,
      undo: async () => {
        const { removed, restored, leftTotal, changedSinceTotal, changedSince } = await run(
          'undo',
          'Take back what was imported',
        ).removeImported(imported(migration));
        if (changedSinceTotal > 0)
          runbook.note(
            `${changedSinceTotal} imported objects had been changed by others before they were taken back: ${changedSince.join(', ')}`,
          );
        return `${formatCount(removed)} removed, ${formatCount(restored)} put back${leftTotal > 0 ? `, ${leftTotal} of others left alone` : ''}`;
      },
      describe: ({ created, before }) => (created ? 'created, locked' : `locked; it was ${before}`),
    },
  );
}

async function writeObjects(migration: CalicoMigration): Promise<void> {
  const { runbook, plan } = migration;
  const { existing, writers, maxWritesPerSecond } = plan;
  await runbook.step(
    'import',
    'Import: dependencies first, in parallel',
    async () => {
      const result = await run('long', 'Import into the Kubernetes datastore').importCalico({
        ...imported(migration),
        existing,
        writers,
        maxWritesPerSecond,
      });
      runbook.journal.imports = result.kinds;
      migration.rows = String(result.objects);
      return result;
    },
    {
      downtime: true,
      describe: ({ objects, durationMs, objectsPerSecond, throttled }) =>
        `${formatCount(objects)} objects in ${formatDurationMs(durationMs)}, ${Math.round(objectsPerSecond)} a second${throttled > 0 ? `; the apiserver asked ${throttled} times to go slower` : ''}`,
    },
  );
}

async function annotateNodes(migration: CalicoMigration): Promise<void> {
  const { runbook, scope } = migration;
  const { file, encoding, inventory } = imported(migration);
  await runbook.step(
    'nodes',
    'Write what Calico knows of its nodes to the Node objects',
    async () => {
      const written = await run('long', 'Annotate the nodes').annotateNodes({ scope, file, encoding });
      runbook.journal.accounting = withMissingNodes(needed(migration.accounting, 'accounting'), written);
      return written;
    },
    {
      downtime: true,
      undoTitle: 'Put the annotations of the nodes back',
      undoNeeds: whoReads,
      undo: async () => {
        const { restored } = await run('undo', 'Put node annotations back').restoreNodeAnnotations({
          scope,
          inventory,
        });
        return `${formatCount(restored)} nodes as before`;
      },
      describe: ({ nodes, changed }) => `${formatCount(nodes)} nodes, ${formatCount(changed)} changed`,
    },
  );
}
