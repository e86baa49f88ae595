// Is it possible, and what would be moved: everything that can say no says it before anything is locked. Nothing is changed.
import { formatCount } from '../../../journal/quantities';
import { formatDurationMs, parseDurationMs } from '../../../plan/duration';
import { run } from '../../activity-options';
import { checksEvidence, countOutcomes, requireChecks } from '../checks';
import { needed } from '../migration';
import type { CalicoMigration } from './migration';

export async function preflight(migration: CalicoMigration): Promise<void> {
  const { runbook, plan, scope } = migration;
  const { journal } = runbook;
  const { manifests } = plan;
  runbook.phase('preflight');

  await runbook.step(
    'identify',
    'Resolve the references of the plan',
    async () => {
      const identity = await run('quick', `Resolve the references of ${plan.name}`).identifyCalicoPlan({ plan });
      Object.assign(journal.plan, identity);
      return identity;
    },
    { describe: ({ source, target }) => `${source} to ${target}` },
  );

  if (manifests) {
    migration.manifests = await runbook.step(
      'manifests',
      'Read both manifests and keep them as they are now',
      () => run('quick', 'Read the manifests').readManifests({ scope, manifests }),
      {
        describe: ({ kubernetes, etcd }) =>
          `${kubernetes.objects} objects for Kubernetes (Calico ${kubernetes.calicoVersion ?? 'of unknown version'}), ${etcd.objects} for etcd`,
      },
    );
  }

  await runbook.step(
    'preflight',
    'Check both sides, and read and translate everything once',
    async () => {
      const { checks, facts } = await run('long', 'Preflight checks on etcd and cluster').preflightCalico({
        scope,
        plan,
        manifests: migration.manifests,
      });
      journal.versions = {
        source: `etcd ${facts.etcdVersion || 'of unknown version'}, Calico ${facts.calicoVersion ?? 'of unknown version'}`,
        target: `Kubernetes ${facts.kubernetesVersion}`,
      };
      migration.facts = facts;
      requireChecks(migration, checks);
      return checks;
    },
    { describe: countOutcomes },
  );

  recordDecision(migration);
}

function recordDecision({ runbook, plan: { decision, drain }, facts }: CalicoMigration): void {
  const found = needed(facts, 'facts');
  const { keys, objects, nodes, estimatedImportMs, encoding, targetVersion } = found;
  const minutes = (amount: number | undefined): number | undefined =>
    amount === undefined ? undefined : amount * 60_000;
  const strategy = 'both datastores locked, one pinned revision';
  runbook.journal.decision = {
    strategy,
    recommended: strategy,
    reasons: [
      `${formatCount(keys)} keys in etcd are ${formatCount(objects)} objects and the annotations of ${formatCount(nodes)} nodes`,
      `the import takes about ${formatDurationMs(estimatedImportMs)}, at a cautious rate`,
      `names of policies are ${encoding.policyNaming}, for Calico ${targetVersion ?? 'of unknown version'}`,
      'Calico has no stream between its datastores: what is written during the move would be lost, so both sides are locked',
    ],
    rationale: decision.rationale,
    estimatedDurationMs:
      minutes(decision.estimatedDurationMinutes) ?? estimatedImportMs + needed(parseDurationMs(drain), 'drain'),
    acceptableDowntimeMs: minutes(decision.acceptableDowntimeMinutes),
  };
  runbook.show();
}

/** What the people at the `start` gate should see. */
export function startEvidence(migration: CalicoMigration): string[] {
  const { runbook, plan, facts, manifests } = migration;
  const { keys, objects, nodes, estimatedImportMs } = needed(facts, 'facts');
  const { versions } = runbook.journal;
  return [
    ...checksEvidence(migration),
    `source ${versions?.source}, target ${versions?.target}`,
    `${formatCount(keys)} keys, ${formatCount(objects)} objects, ${formatCount(nodes)} nodes; the import takes about ${formatDurationMs(estimatedImportMs)}`,
    manifests
      ? `the switch applies ${manifests.kubernetes.artifact.name}, ${manifests.kubernetes.objects} objects; going back applies ${manifests.etcd.artifact.name}`
      : 'the plan names no manifests: people apply them at gate apply-manifest',
    'from the lock on no new pods get networking; running pods keep theirs',
    `locked for at most ${formatDurationMs(needed(parseDurationMs(plan.maxLocked), 'maxLocked'))}, then everything is undone`,
  ];
}
