// What the target cannot hold was found by preflight and accepted, by plan or waiver; more than that stops the move.
import { ApplicationFailure } from '@temporalio/workflow';
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
