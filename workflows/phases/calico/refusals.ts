// What the target cannot hold was found by preflight and accepted, by plan or waiver; more than that stops the move.
import { ApplicationFailure } from '@temporalio/workflow';
import type { AnnotatedNodes } from '../../../activities/calico/kubernetes';
import type { CalicoAccounting } from '../../../journal/types';
import { needed } from '../migration';
import type { CalicoMigration } from './migration';

/** Preflight only warns of these: they are requests for reports, which people make again. */
const neverMissed = 'node-status';

/** @param refused category -> how many keys. @throws PreconditionFailed when there are more than preflight found and the plan says stop */
export function requireExpectedRefusals(
  { plan, facts, runbook }: CalicoMigration,
  refused: Record<string, number>,
): void {
  if (plan.unmigratable === 'report') return;
  const expected = needed(facts, 'facts').refused;
  const unseen = Object.entries(refused)
    .map(([category, count]) => ({ category, more: count - (expected[category] ?? 0) }))
    .filter(({ category, more }) => more > 0 && category !== neverMissed);
  if (unseen.length === 0) return;
  const what = unseen.map(({ category, more }) => `${more} of category ${category}`).join(', ');
  const examples = (runbook.journal.accounting?.refused ?? [])
    .slice(0, 5)
    .map(({ key, reason }) => `${key} (${reason})`);
  throw ApplicationFailure.nonRetryable(
    `Since the checks, keys were written to etcd that the Kubernetes datastore cannot hold: ${what}. All that is refused: ${examples.join(', ')}. Roll back, mend them and start again, or say "unmigratable": "report" in the plan.`,
    'PreconditionFailed',
  );
}

/** Of refusals in the journal. */
const listed = 50;

/**
 * The accounting of the export, with the nodes that Kubernetes turned out not to know among the refused. Pure: made anew from the export's own
 * whenever the nodes are written again.
 */
export function withMissingNodes(
  exported: CalicoAccounting,
  { missing, missingTotal }: Pick<AnnotatedNodes, 'missing' | 'missingTotal'>,
): CalicoAccounting {
  if (missing.length === 0) return exported;
  const refused = [
    ...missing.map((name) => ({
      key: `Node ${name}`,
      reason: 'Kubernetes has no node of this name, so what Calico knows of it has nowhere to go',
    })),
    ...exported.refused,
  ];
  return {
    ...exported,
    kinds: exported.kinds.map((account) =>
      account.kind === 'Node'
        ? { ...account, migrated: account.migrated - missingTotal, refused: account.refused + missingTotal }
        : account,
    ),
    refused: refused.slice(0, listed),
    refusedNotListed:
      exported.refusedNotListed + exported.refused.length + missingTotal - Math.min(refused.length, listed),
  };
}
