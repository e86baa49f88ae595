// The fence on the side that is only brought up to the other: nobody but us writes to it until it is switched to.
import type { FormerAccess } from '../../../activities/postgres/fence';
import { run } from '../../activity-options';
import { needed } from '../migration';
import type { PostgresMigration } from './migration';

/**
 * Asks the application whether it reaches the target, then shuts it.
 * @param undoNeeds what must have been undone before the target is cleared and opened again
 * @returns how it was entered before
 */
export async function shutTarget(migration: PostgresMigration, undoNeeds: string[]): Promise<FormerAccess> {
  const { runbook, plan, scope } = migration;
  const { application } = plan;
  if (application) {
    await runbook.step(
      'target-health',
      'Ask the application whether it can reach the target',
      () => run('application', 'POST /admin/target-health-check').checkTargetHealth({ application }),
      { skippable: true, describe: () => 'healthy' },
    );
  }
  const side = 'target' as const;
  const former = needed(
    await runbook.step(
      'inspect-target-access',
      'Record who may connect to the target now',
      () => run('brisk', 'Record access to the target before the fence').inspectAccess({ scope, side }),
      { describe: ({ connectionLimit, mechanism }) => `connection limit ${connectionLimit}, fence by ${mechanism}` },
    ),
    'access to the target',
  );
  await runbook.step(
    'shut-target',
    'Raise the fence on the target until it is switched to',
    () => run('brisk', 'Raise the fence on the target').raiseFence({ scope, side, former }),
    {
      undoTitle: 'Lower the fence on the target',
      undoNeeds,
      undo: async () => {
        // Behind the fence: who comes in once it is lowered must not find the copy and write to what is about to go.
        const inventory = needed(migration.inventory, 'inventory');
        await run('undo', 'Clear the target behind the fence').clearTarget({ scope, inventory });
        const { lowered } = await run('quickUndo', 'Lower the fence on the target').lowerFence({ scope, side });
        return lowered ? 'empty, and open again' : 'empty; the fence was not up';
      },
      describe: ({ endedSessions, holes }) =>
        `${endedSessions} sessions ended${holes.length > 0 ? `; not kept out: ${holes.join(', ')}` : ''}`,
    },
  );
  return former;
}
