// Calico from etcd to the Kubernetes datastore, in the order of its own document.
import { ApplicationFailure } from '@temporalio/workflow';
import type { CalicoPlanInput } from '../plan/calico';
import type { MigrationResult } from './messages';

/**
 * Carries out one plan.
 * @param input the plan as the operator wrote it
 * @returns outcome, report and figures; `rolled-back` and `rejected` complete the workflow too
 * @throws InvalidPlan (the workflow fails at once, nothing was started); NotUndone when it could be neither finished nor undone
 */
export async function calicoMigration(input: CalicoPlanInput): Promise<MigrationResult> {
  throw ApplicationFailure.nonRetryable(`not yet: ${input.name}`);
}
