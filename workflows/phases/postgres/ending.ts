// What a PostgreSQL migration brings to its ending: the ledger goes, and both sides are looked at.
import { run } from '../../activity-options';
import type { Ending } from '../ending';
import type { PostgresMigration } from './migration';
import { onTarget, type OnTarget } from './way-back';

/**
 * Removes the ledger once nobody needs it: after acceptance, or at the end of going back.
 * @param options of the step, where the target may be away
 */
export async function cleanUp({ runbook, scope }: PostgresMigration, options: OnTarget = {}): Promise<void> {
  await runbook.step(
    'clean-up',
    'Remove the ledger from the target',
    () => run(options.leftOutOn ? 'glance' : 'quick', 'Remove the ledger').removeLedger({ scope }),
    {
      ...options,
      describe: ({ removed }) => (removed ? 'removed' : 'was not there'),
    },
  );
}

/** @param kept the fences that stay up on purpose */
export function endingOf(
  migration: PostgresMigration,
  kept: { sourceFence: boolean; targetFence: boolean } = { sourceFence: false, targetFence: false },
): Ending {
  const { scope, runbook } = migration;
  const { sourceRetired } = runbook.journal;
  const { leftOutOn } = onTarget(migration);
  return {
    findLeftovers: () =>
      run(leftOutOn ? 'glance' : 'long', 'Look for anything left behind').findLeftovers({
        scope,
        kept,
        ...(sourceRetired ? { retired: sourceRetired } : {}),
      }),
    ...(leftOutOn ? { leftOutOn } : {}),
    artifacts: 'a backup of this migration',
  };
}
