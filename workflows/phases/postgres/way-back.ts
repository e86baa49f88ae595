// Going back after the point of no return. Big-bang has no reverse stream: what was written to the target since the switch would
// be lost, so the operator is told how much, and must say so in words (runbook section 6). A target that is away cannot be asked, nor fenced:
// after other words the way back does without it.
import { CancellationScope } from '@temporalio/workflow';
import type { RollbackRecord, RollbackStepName } from '../../../journal/types';
import { run } from '../../activity-options';
import { describeFailure, typeOfFailure } from '../../logbook';
import { beginDowntime, endDowntime } from '../downtime';
import { needed } from '../migration';
import type { StepOptions } from '../../runbook';
import type { Loss } from '../way-back';
import type { PostgresMigration } from './migration';

/** Counts what was written to the target since the switch, and notes the words that accept its loss. */
export async function measureLoss(migration: PostgresMigration): Promise<Loss> {
  const { runbook } = migration;
  const counted = await count(migration);
  const { acceptedAt } = runbook.journal.loss ?? {};
  runbook.journal.loss = {
    ...counted,
    measuredAt: runbook.now().toISOString(),
    ...(acceptedAt === undefined ? {} : { acceptedAt }),
  };
  runbook.show();
  return counted;
}

async function count({ scope, writeMark }: PostgresMigration): Promise<Loss & { writes?: string }> {
  try {
    const { writes, detail, exact } = await run('quickUndo', 'Count what was written since the switch').measureLoss({
      scope,
      mark: needed(writeMark, 'write mark'),
    });
    return { writes, words: exact ? `lose ${writes} writes` : `lose at least ${writes} writes`, detail };
  } catch (error) {
    if (typeOfFailure(error) !== away) throw error;
    return {
      words: 'lose what only the target has',
      detail: [
        'the target cannot be reached: what was written to it cannot be counted, and it cannot be fenced: nothing may use it when it comes back',
        describeFailure(error),
      ],
    };
  }
}

const away = 'TargetUnavailable';

/** The words were said of a target that cannot be reached: what is to be done there is left out. */
export function doesWithoutTarget({ runbook: { journal } }: PostgresMigration): boolean {
  const { loss } = journal;
  return loss?.acceptedAt !== undefined && loss.writes === undefined;
}

/** What a step on a target that may be away is told beside the rest. */
export type OnTarget = Pick<StepOptions<unknown>, 'skippable' | 'leftOutOn'>;

/** How a step of the way back, after the words, treats a target that is away. */
export function onTarget(migration: PostgresMigration): OnTarget {
  return { skippable: true, ...(doesWithoutTarget(migration) ? { leftOutOn: away } : {}) };
}

/** The runbook's rollback steps, after the words were said. Shielded from cancellation; each step blocks and can be retried. */
export async function goBack(migration: PostgresMigration, reason: string): Promise<void> {
  await CancellationScope.nonCancellable(async () => {
    const { runbook, plan, scope } = migration;
    const { application } = plan;
    runbook.ending = true;
    runbook.clearInterruption();
    beginDowntime(migration);
    runbook.journal.reason = reason;
    runbook.phase('rolling-back');
    const record: RollbackRecord = { startedAt: runbook.now().toISOString(), reason, steps: [] };
    runbook.journal.rollback = record;
    const started = runbook.now();
    const row = async (name: RollbackStepName, work: () => Promise<string>): Promise<void> => {
      const from = runbook.now().getTime();
      const detail = await work();
      record.steps.push({
        name,
        state: 'done',
        at: runbook.now().toISOString(),
        durationMs: runbook.now().getTime() - from,
        detail,
      });
      runbook.show();
    };

    await row('maintenance-mode', async () => {
      if (!application) {
        await runbook.insist('stop-writes', ['going back: put the application into maintenance mode by hand']);
        return 'by hand';
      }
      await runbook.step('back-maintenance-mode', 'Put the application into maintenance mode', () =>
        run('application', 'POST /admin/maintenance-mode').setMaintenanceMode({
          application,
          enabled: true,
          migration: scope.migration,
          reason,
        }),
      );
      return 'the application answers that it writes no more';
    });
    let fenced = false;
    await row('source-primary', async () => {
      fenced = await fenceTarget(migration);
      await runbook.step('back-lower-fence', 'Lower the fence on the source', () =>
        run('quickUndo', 'Lower the fence on the source').lowerFence({
          scope,
          side: 'source',
        }),
      );
      return fenced ? 'the target is fenced, the source takes writes' : `the source takes writes; ${unfenced}`;
    });
    await row('application-switched', async () => {
      if (!application) {
        await runbook.insist('switch-application', [
          'going back: point the application at the source and let it write',
        ]);
        return 'by hand';
      }
      await runbook.step('back-switch', `Switch the application back to ${application.switchSource}`, () =>
        run('application', `POST /admin/switch-datastore ${application.switchSource}`).switchDatastore({
          application,
          to: 'source',
        }),
      );
      await runbook.step('back-normal-mode', 'Take the application back to normal mode, on the source', () =>
        run('application', 'POST /admin/normal-mode').setNormalMode({ application }),
      );
      return `uses ${application.switchSource}`;
    });
    endDowntime(migration);
    await row('smoke-on-source', () => smokeOnSource(migration));
    await row('target-preserved', async () =>
      fenced ? 'its data is untouched and fenced until the cause is known' : unfenced,
    );
    record.endedAt = runbook.now().toISOString();
    record.durationMs = runbook.now().getTime() - started.getTime();
  });
}

/** In words for the runbook's rollback table. */
export async function smokeOnSource({ runbook, plan, scope }: PostgresMigration): Promise<string> {
  const { smoke } = plan.validation;
  if (smoke.length === 0) return 'the plan has no smoke tests';
  const records = await runbook.step(
    'back-smoke',
    'Smoke tests on the source',
    () => run('application', 'Smoke tests on the source').runSmokeTests({ scope, smoke, side: 'source' }),
    { skippable: true },
  );
  const passed = records?.filter(({ outcome }) => outcome === 'pass').length ?? 0;
  return `${passed} of ${smoke.length} passed`;
}

/** The runbook's rollback table for a way back that was a hand-over: every row is as done at its end, but for those that were not needed. */
export function handedBack(
  { runbook }: PostgresMigration,
  {
    started,
    reason,
    details,
  }: { started: Date; reason: string; details: Record<RollbackStepName, string | { notNeeded: string }> },
): RollbackRecord {
  const now = runbook.now();
  const at = now.toISOString();
  return {
    startedAt: started.toISOString(),
    endedAt: at,
    durationMs: now.getTime() - started.getTime(),
    reason,
    steps: (Object.keys(details) as RollbackStepName[]).map((name) => {
      const detail = details[name];
      return typeof detail === 'string'
        ? { name, state: 'done', at, detail }
        : { name, state: 'not-needed', at, detail: detail.notNeeded };
    }),
  };
}

const unfenced = 'the target could not be fenced: nothing may write to it when it comes back';

/** @returns whether it stands: left out, or skipped by a person, the way back goes on all the same */
export async function raiseTargetFence(migration: PostgresMigration): Promise<boolean> {
  const { runbook, scope } = migration;
  const side = 'target' as const;
  const profile = doesWithoutTarget(migration) ? 'glance' : 'brisk';
  const former = await runbook.step(
    'back-inspect-access',
    'Record who may connect to the target now',
    () => run(profile, 'Record access to the target').inspectAccess({ scope, side }),
    onTarget(migration),
  );
  const fence =
    former &&
    (await runbook.step(
      'back-fence',
      'Raise the fence on the target',
      () => run(profile, 'Raise the fence on the target').raiseFence({ scope, side, former }),
      onTarget(migration),
    ));
  return Boolean(fence);
}

/** Without it the source has to be opened all the same: a note says so. */
async function fenceTarget(migration: PostgresMigration): Promise<boolean> {
  const { runbook } = migration;
  const fence = await raiseTargetFence(migration);
  if (!fence) {
    runbook.note(`${unfenced}. Its data is as it was left.`);
    return false;
  }
  await runbook.step('back-loss', 'Count what is left behind on the target', () => measureLoss(migration), {
    skippable: true,
    describe: ({ words }) => words,
  });
  return true;
}
