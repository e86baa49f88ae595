// The live copy in groups. A group reads under the snapshot that its slot exported, held by an activity that is bound to one worker; when
// the snapshot is lost, what is finished keeps its group, and the rest goes into a new one. At most the tables in flight are copied again.
import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  isCancellation,
  proxyActivities,
  sleep,
} from '@temporalio/workflow';
import type { MigrationActivities } from '../../../../activities';
import { parseDurationMs } from '../../../../plan/duration';
import { run } from '../../../activity-options';
import { needed } from '../../migration';
import { copyAllChunks } from '../copy';
import { megabytes } from '../preflight';
import type { CdcMigration } from './migration';

/** After so many groups without a finished table a person is asked. */
const mostFruitless = 5;

/** Copies every table that is not copied yet, in as many groups as it takes. */
export async function copyInGroups(migration: CdcMigration): Promise<void> {
  const { runbook, scope } = migration;
  let lost = 0;
  let fruitless = 0;
  for (;;) {
    if (migration.groupOpen) fruitless = (await giveGroupUp(migration)) > 0 ? 0 : fruitless + 1;
    if (fruitless >= mostFruitless) {
      throw ApplicationFailure.nonRetryable(
        `${fruitless} copy groups one after the other lost their snapshot before a table was finished. Find out from the notes and the log of the source what ends their session or rewrites their tables, then retry.`,
        'SnapshotLost',
      );
    }
    migration.group += 1;
    migration.groupOpen = true;
    const { group } = migration;
    const { tables, bytes } = await run('long', `Open copy group ${group}`).openGroup({ scope, group });
    if (tables > 0) runbook.note(`Copy group ${group}: ${tables} tables, ${megabytes(bytes)}.`);
    if ((await copyGroup(migration, tables)) === 'copied') {
      await run('quick', `Close copy group ${group}`).closeGroup({ scope, group });
      migration.groupOpen = false;
      return;
    }
    lost += 1;
    runbook.note(
      `The snapshot of copy group ${group} was lost. Tables that are finished keep their group; the others are copied anew in another one.`,
    );
    // One that is lost again and again must not fill the history.
    if (lost > 1) await sleep(Math.min(lost * 2_000, 300_000), { summary: 'Before another copy group is opened' });
  }
}

/** How many tables of it are finished. */
async function giveGroupUp({ runbook, scope, group }: CdcMigration): Promise<number> {
  await run('undo', 'Make sure that no lane copies any more').stopCopy({ scope });
  const { finished, unfinished } = await run('long', `Give copy group ${group} up`).closeLostGroup({ scope, group });
  runbook.note(`Copy group ${group}: ${finished} tables finished, ${unfinished} to be copied anew.`);
  return finished;
}

/** Lanes under the group's snapshot, for as long as somebody holds it. @throws what is no loss of the snapshot */
async function copyGroup(migration: CdcMigration, tables: number): Promise<'copied' | 'lost'> {
  const { scope, group } = migration;
  if (tables === 0) return 'copied';
  const { taskQueue } = await run('quick', 'Which worker holds the snapshot').workerQueue({});
  const holding = new CancellationScope();
  const copying = new CancellationScope();
  const held: { failure?: Error } = {};
  const holder = holding
    .run(() => holderOn(taskQueue, group).holdSnapshot({ scope, group, slotTimeoutMs: slotTimeoutMs(migration) }))
    .then(
      () => undefined,
      (error: unknown) => {
        if (isCancellation(error)) return;
        held.failure = error instanceof Error ? error : new Error(String(error));
        copying.cancel();
      },
    );
  try {
    await copying.run(async () => {
      await run('long', `Wait for the snapshot of copy group ${group}`).awaitSnapshot({ scope, group });
      await copyAllChunks(migration, { group });
    });
    return 'copied';
  } catch (error) {
    if (held.failure !== undefined && !isLoss(held.failure)) throw held.failure;
    if (held.failure !== undefined || isLoss(error)) return 'lost';
    throw error;
  } finally {
    holding.cancel();
    await CancellationScope.nonCancellable(() => holder);
  }
}

function slotTimeoutMs({ plan }: CdcMigration): number {
  return needed(parseDurationMs(plan.cdc.slotTimeout), 'slotTimeout');
}

/** Bound to one worker, and never tried again: another attempt would hold another snapshot. */
function holderOn(taskQueue: string, group: number) {
  return proxyActivities<MigrationActivities>({
    taskQueue,
    startToCloseTimeout: '30d',
    scheduleToStartTimeout: '30s',
    heartbeatTimeout: '15s',
    retry: { maximumAttempts: 1 },
    cancellationType: 'WAIT_CANCELLATION_COMPLETED',
    summary: `Hold the snapshot of copy group ${group}`,
  });
}

/** Everything but a failure that says what a person must do: the session, the worker or the server is gone. */
function isLoss(error: unknown): boolean {
  if (!(error instanceof ActivityFailure)) return false;
  const { cause } = error;
  if (!(cause instanceof ApplicationFailure)) return !isCancellation(error);
  return cause.type === 'SnapshotLost' || cause.type === 'SourceUnavailable' || cause.type === 'TargetUnavailable';
}
