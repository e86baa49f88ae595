// What the target cannot hold was found by preflight and accepted, by plan or waiver; what nobody has seen before stops the move.
import { ApplicationFailure } from '@temporalio/workflow';
import type { CalicoMigration } from './migration';

/** @param refused category -> how many keys. @throws PreconditionFailed when the plan says stop and the source had more to refuse than preflight found */
export function requireExpectedRefusals({ plan, runbook }: CalicoMigration, refused: Record<string, number>): void {
  if (plan.unmigratable === 'report') return;
  const accepted = (runbook.journal.preflight ?? [])
    .filter(({ outcome }) => outcome === 'warn')
    .map(({ name }) => name);
  const unseen = Object.entries(refused).filter(([category, count]) => count > 0 && !accepted.includes(category));
  if (unseen.length === 0) return;
  const what = unseen.map(([category, count]) => `${count} ${category}`).join(', ');
  const first = runbook.journal.accounting?.refused.slice(0, 5).map(({ key, reason }) => `${key} (${reason})`) ?? [];
  throw ApplicationFailure.nonRetryable(
    `The Kubernetes datastore cannot hold some keys that were written after the checks: ${what}: ${first.join(', ')}. Roll back and mend them, or say "unmigratable": "report" in the plan.`,
    'PreconditionFailed',
  );
}
