// Calico is configured for the Kubernetes datastore, which is still locked: its pods start, report ready, and wait.
import { formatTime } from '../../../journal/quantities';
import { parseDurationMs } from '../../../plan/duration';
import type { WorkloadState } from '../../../activities/calico/switch';
import { run } from '../../activity-options';
import { needed } from '../migration';
import { recordsEvidence } from '../proof';
import { keep, type CalicoMigration } from './migration';

/** What the people at the `cutover` gate should see. */
export function cutoverEvidence(migration: CalicoMigration): string[] {
  const { runbook, manifests, rows } = migration;
  const { accounting, downtime, imports = [] } = runbook.journal;
  const sum = (field: 'migrated' | 'derived' | 'refused'): number =>
    (accounting?.kinds ?? []).reduce((total, kind) => total + kind[field], 0);
  const replaced = imports.reduce((total, kind) => total + kind.replaced, 0);
  return [
    manifests
      ? `approving applies the manifest for Kubernetes: ${manifests.kubernetes.workloads.join(', ')}`
      : 'approving asks you to apply the manifest for Kubernetes',
    `locked since ${formatTime(downtime?.startedAt)}`,
    `etcd revision ${accounting?.revision}: ${sum('migrated')} keys migrated, ${sum('derived')} made anew by Calico, ${sum('refused')} refused`,
    ...(accounting?.refused ?? []).slice(0, 3).map(({ key, reason }) => `refused ${key}: ${reason}`),
    `${rows} objects imported${replaced > 0 ? `, ${replaced} of them replaced others` : ''}`,
    recordsEvidence(migration),
  ];
}

export async function switchCalico(migration: CalicoMigration): Promise<void> {
  migration.runbook.phase('switch');
  await (migration.manifests ? switchByManifest(migration) : switchByHand(migration));
}

async function switchByManifest(migration: CalicoMigration): Promise<void> {
  const { runbook, scope } = migration;
  const { kubernetes, etcd } = needed(migration.manifests, 'manifests');
  await runbook.step(
    'manifest-state',
    'Record the objects of both manifests as they are now',
    async () => {
      const recorded = await run('long', 'Record the objects of both manifests').recordManifestState({
        scope,
        manifests: [kubernetes.artifact, etcd.artifact],
      });
      keep(migration, recorded.former);
      migration.former = recorded.former;
      return recorded;
    },
    { downtime: true, describe: ({ existing, absent }) => `${existing} are there, ${absent} are not` },
  );
  const former = needed(migration.former, 'former objects');

  // Below the manifest on the stack, so that it is waited for after the manifest was undone.
  runbook.compensate(
    'etcd-rollout',
    'Wait until Calico runs on etcd again',
    async () => describeWorkloads((await waitForRollout(migration, 'etcd')).workloads),
    ['apply-manifest'],
  );
  await runbook.step(
    'apply-manifest',
    'Configure Calico for the Kubernetes datastore',
    () =>
      run('long', 'Apply the manifest for Kubernetes').applyManifest({ scope, manifest: kubernetes.artifact, former }),
    {
      downtime: true,
      undoTitle: 'Configure Calico for etcd again',
      undo: () => applyEtcdManifest(migration, 'undo'),
      describe: ({ applied, created, changed }) => `${applied} objects, ${created.length} created, ${changed} changed`,
    },
  );
  await runbook.step(
    'rollout',
    'Wait until Calico runs on the Kubernetes datastore',
    () => waitForRollout(migration, 'kubernetes'),
    { downtime: true, describe: ({ workloads }) => describeWorkloads(workloads) },
  );
}

/** Applies the etcd manifest again. @returns one line for people */
export async function applyEtcdManifest(migration: CalicoMigration, profile: 'undo' | 'long'): Promise<string> {
  const { scope, former } = migration;
  const { kubernetes, etcd } = needed(migration.manifests, 'manifests');
  const { applied, removed, restored, differences } = await run(profile, 'Apply the etcd manifest again').undoManifest({
    scope,
    manifest: kubernetes.artifact,
    etcd: etcd.artifact,
    former: needed(former, 'former objects'),
  });
  if (differences.length > 0)
    migration.runbook.note(`Not as before the switch, beside what the etcd manifest says: ${differences.join('; ')}`);
  return `${applied} objects applied, ${removed} removed, ${restored} put back`;
}

export function waitForRollout({ scope, plan, manifests }: CalicoMigration, expect: 'kubernetes' | 'etcd') {
  return run('long', `Rollout of Calico on ${expect}`).waitForRollout({
    scope,
    manifest: needed(manifests, 'manifests')[expect].artifact,
    timeoutMs: needed(parseDurationMs(plan.rolloutTimeout), 'rolloutTimeout'),
    expect,
  });
}

export function describeWorkloads(workloads: WorkloadState[]): string {
  return workloads.map(({ name, ready, desired }) => `${name} ${ready} of ${desired} ready`).join(', ');
}

async function switchByHand({ runbook }: CalicoMigration): Promise<void> {
  runbook.compensate('apply-manifest', 'Have Calico configured for etcd again', async () => {
    await runbook.insist('apply-manifest', goingBackByHand);
    return 'by hand';
  });
  await runbook.gate('apply-manifest', [
    'the plan names no manifests: configure Calico for the Kubernetes datastore by hand (kubectl apply)',
    'approve when every DaemonSet and Deployment of Calico is rolled out; both datastores stay locked until then',
  ]);
}

export const goingBackByHand = [
  'going back: if the manifest for Kubernetes was applied, apply the one for etcd again (kubectl apply)',
  'approve when every DaemonSet and Deployment of Calico is rolled out on etcd',
];
