// Runbook step 4d: the application goes over to the target, and the point of no return. Until then everything can be undone.
import { run } from '../../activity-options';
import { endDowntime } from '../downtime';
import { proveSilence } from './freeze';
import type { PostgresMigration } from './migration';
import { rejectsWords } from './transformations';

/** Target healthy, application pointed at it, still in maintenance mode. */
export async function switchApplication(migration: PostgresMigration): Promise<void> {
  const { runbook, plan, scope } = migration;
  const { application } = plan;
  runbook.phase('switch');
  await proveSilence(migration, 'prove-silence-again', 'Prove that nothing was written to the source since the fence');
  migration.writeMark = await runbook.step(
    'mark-writes',
    'Note the write counters of the target',
    () => run('brisk', 'Write counters of the target at the switch').markWrites({ scope }),
    {
      downtime: true,
      describe: () => 'noted: what is written from here on would be lost by going back',
    },
  );
  if (!application) {
    runbook.compensate('switch-application', 'Have the application pointed back at the source', async () => {
      await runbook.insist('switch-application', [
        'going back: if the application was pointed at the target, point it back at the source',
        'keep it from writing; approve when that is done',
      ]);
      return 'pointed back by hand';
    });
    await runbook.gate('switch-application', [
      'every validation has passed; the source is fenced',
      ...rejectsWords(runbook.journal.transformations?.tables),
      'point the application at the target, keep it from writing until you approve',
    ]);
    return;
  }
  await runbook.step(
    'target-health',
    'Ask the application whether the target is healthy',
    () => run('application', 'POST /admin/target-health-check').checkTargetHealth({ application }),
    { downtime: true, describe: () => 'healthy' },
  );
  await runbook.step(
    'switch-datastore',
    `Switch the application to ${application.switchTarget}`,
    () =>
      run('application', `POST /admin/switch-datastore ${application.switchTarget}`).switchDatastore({
        application,
        to: 'target',
      }),
    {
      downtime: true,
      undoTitle: `Switch the application back to ${application.switchSource}`,
      undo: async () => {
        await run('application', `POST /admin/switch-datastore ${application.switchSource}`).switchDatastore({
          application,
          to: 'source',
        });
        return 'switched back';
      },
      describe: () => `uses ${application.switchTarget}`,
    },
  );
}

/** The target takes writes from here on. */
export async function resumeWrites(migration: PostgresMigration): Promise<void> {
  const { runbook, plan } = migration;
  const { application } = plan;
  if (application) {
    await runbook.step(
      'normal-mode',
      'Take the application back to normal mode, on the target',
      () => run('application', 'POST /admin/normal-mode').setNormalMode({ application }),
      { downtime: true, describe: () => 'the application writes to the target' },
    );
  }
  endDowntime(migration);
}
