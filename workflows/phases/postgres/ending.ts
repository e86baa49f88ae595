// What a PostgreSQL migration brings to its ending: the ledger goes, and both sides are looked at.
import { run } from '../../activity-options';
import type { Ending } from '../ending';
import type { PostgresMigration } from './migration';

/** Removes the ledger once nobody needs it: after acceptance, or at the end of going back. */
export async function cleanUp({ runbook, scope }: PostgresMigration): Promise<void> {
  await runbook.step(
    'clean-up',
    'Remove the ledger from the target',
    () => run('quick', 'Remove the ledger').removeLedger({ scope }),
    {
      describe: ({ removed }) => (removed ? 'removed' : 'was not there'),
    },
  );
}

/** @param kept the fences that stay up on purpose */
export function endingOf(
  { scope }: PostgresMigration,
  kept: { sourceFence: boolean; targetFence: boolean } = { sourceFence: false, targetFence: false },
): Ending {
  return {
    findLeftovers: () => run('long', 'Look for anything left behind').findLeftovers({ scope, kept }),
    artifacts: 'the backup of the source',
  };
}
