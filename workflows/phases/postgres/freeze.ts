// Runbook step 4b: nothing writes to the source any more, and it is proved. From the fence on the deadline runs.
import type { WritingSide } from '../../../journal/sides';
import { run } from '../../activity-options';
import { beginDowntime, endDowntime } from '../downtime';
import { needed } from '../migration';
import type { PostgresMigration } from './migration';

/**
 * Maintenance mode of the application, or a person who says that writing has stopped.
 * @param side which is written to until now
 */
export async function stopWrites(migration: PostgresMigration, side: WritingSide = 'source'): Promise<void> {
  const { runbook, plan, scope } = migration;
  const { application } = plan;
  runbook.phase('freeze');
  if (!application) {
    beginDowntime(migration);
    runbook.compensate(
      'stop-writes',
      `Say that the ${side} takes writes again`,
      async () => {
        endDowntime(migration);
        runbook.note(`The ${side} takes writes again: take the application out of maintenance mode.`);
        return 'take the application out of maintenance mode';
      },
      ['fence', 'switch-application'],
    );
    await runbook.gate('stop-writes', [
      'the plan names no application: put it into maintenance mode by hand',
      'the fence then ends every session but ours',
    ]);
    return;
  }
  await runbook.step(
    'maintenance-mode',
    'Put the application into maintenance mode',
    () => {
      beginDowntime(migration);
      return run('application', 'POST /admin/maintenance-mode').setMaintenanceMode({
        application,
        enabled: true,
        migration: scope.migration,
        reason: `migration ${plan.name}`,
      });
    },
    {
      downtime: true,
      undoTitle: `Take the application back to normal mode on the ${side}`,
      undoNeeds: ['fence', 'switch-datastore'],
      undo: async () => {
        // It may never have been switched to the target, when that is what failed.
        if (side === 'target')
          await run('application', `POST /admin/switch-datastore ${application.switchTarget}`).switchDatastore({
            application,
            to: 'target',
          });
        await run('application', 'POST /admin/normal-mode').setNormalMode({ application });
        endDowntime(migration);
        return `the application writes to the ${side} again`;
      },
      describe: ({ status }) => `answered ${status}`,
    },
  );
}

/** The fence on the source, and the proof that nothing writes behind it. */
export async function fenceSource(migration: PostgresMigration): Promise<void> {
  const { runbook, scope } = migration;
  const side = 'source' as const;
  const former = await runbook.step(
    'inspect-access',
    'Record who may connect to the source now',
    () => run('brisk', 'Record access to the source before the fence').inspectAccess({ scope, side }),
    {
      downtime: true,
      describe: ({ connectionLimit, mechanism }) => `connection limit ${connectionLimit}, fence by ${mechanism}`,
    },
  );
  migration.sourceAccess = needed(former, 'former access');
  const access = migration.sourceAccess;

  await runbook.step(
    'fence',
    'Raise the fence on the source',
    async () => {
      migration.fence = await run('brisk', 'Raise the fence on the source').raiseFence({ scope, side, former: access });
      return migration.fence;
    },
    {
      downtime: true,
      undoTitle: 'Lower the fence on the source',
      undo: async () => {
        const { lowered } = await run('quickUndo', 'Lower the fence on the source').lowerFence({ scope, side });
        return lowered ? 'the source takes writes again' : 'the fence was not up';
      },
      describe: ({ endedSessions, holes }) =>
        `${endedSessions} sessions ended${holes.length > 0 ? `; not kept out: ${holes.join(', ')}` : ''}`,
    },
  );

  await proveSilence(migration, 'prove-silence', 'Prove that nothing writes to the source');
}

/** Nobody of another role is there, and not a row has changed since the fence went up. */
export async function proveSilence(
  { runbook, scope, sourceAccess, fence }: PostgresMigration,
  id: string,
  title: string,
): Promise<void> {
  const former = needed(sourceAccess, 'former access');
  const since = needed(fence, 'fence').counters;
  await runbook.step(
    id,
    title,
    () => run('brisk', 'Prove silence on the source').proveSilence({ scope, side: 'source', former, since }),
    { downtime: true, describe: ({ evidence }) => evidence.join('; ') },
  );
}
