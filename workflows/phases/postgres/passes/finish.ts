// Under the fence nothing changes any more: the last pass, then what no pass carries. Proved afterwards, like every strategy, by every row.
import { plural } from '../../../../journal/quantities';
import { run } from '../../../activity-options';
import { needed } from '../../migration';
import { schemaUnchanged } from '../schema-unchanged';
import type { PassMigration } from './migration';
import { describePass, makePass } from './pass';

export async function finishUnderFence(migration: PassMigration): Promise<void> {
  const { runbook, scope } = migration;
  migration.repaired = false;
  runbook.phase('final-pass');
  await schemaUnchanged(migration);
  await runbook.step(
    'final-pass',
    'Bring over what is left',
    () => makePass(migration, 'under the fence', { underFence: true }),
    {
      downtime: true,
      describe: describePass,
    },
  );
  migration.copied = true;
  await runbook.step(
    'carry',
    'Carry sequences, large objects and unlogged tables, refresh materialized views',
    () =>
      run('long', 'Sequences, large objects, unlogged tables, views').carryUnderFence({
        scope,
        leg: 0,
        margin: 0,
        largeObjects: true,
        refreshViews: true,
      }),
    {
      downtime: true,
      describe: ({ sequences, largeObjects, unlogged }) =>
        [plural(sequences, 'sequence'), plural(largeObjects, 'large object'), plural(unlogged, 'unlogged table')].join(
          ', ',
        ),
    },
  );
}

/** The fence on the source stays: until the switch nobody writes anywhere. */
export async function openTarget(migration: PassMigration): Promise<void> {
  const { runbook, scope } = migration;
  const side = 'target' as const;
  const former = needed(migration.targetAccess, 'access to the target');
  await runbook.step(
    'open-target',
    'Open the target for the application',
    () => run('brisk', 'Lower the fence on the target').lowerFence({ scope, side }),
    {
      downtime: true,
      undoTitle: 'Shut the target again',
      undoNeeds: ['switch-datastore', 'switch-application'],
      undo: async () => {
        const { endedSessions } = await run('undo', 'Raise the fence on the target').raiseFence({
          scope,
          side,
          former,
        });
        return `${endedSessions} sessions ended`;
      },
      describe: () => 'the application may reach it',
    },
  );
}
