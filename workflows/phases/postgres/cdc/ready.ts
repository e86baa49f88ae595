// Everything that can be known before the outage is known before the outage: the moving data compared, the schemas, the way back rehearsed,
// the streams close behind. While people think at the gate, the streams are watched, and what is wrong is shown.
import { ActivityFailure, ApplicationFailure, CancellationScope, isCancellation, sleep } from '@temporalio/workflow';
import { otherSide, writingSide } from '../../../../journal/sides';
import { formatDurationMs, parseDurationMs } from '../../../../plan/duration';
import { run } from '../../../activity-options';
import { describeFailure } from '../../../logbook';
import { needed } from '../../migration';
import { describeRecords, recordsEvidence, requirePassed } from '../../proof';
import { checkTarget, compareSchemas, mergeTables } from '../validation';
import { copyInGroups } from './copy-groups';
import { rehearseTurn, settle } from './hand-over';
import type { CdcMigration } from './migration';

/** Looks at the streams while a gate is open: after this, then ever more rarely. */
const firstLookMs = 3_000;
const growth = 1.15;
/** A month at a gate must stay far from what a history can hold. */
const longestPauseMs = 1_800_000;

export async function makeReady(migration: CdcMigration): Promise<void> {
  const { runbook, plan } = migration;
  runbook.phase('validate');
  await settle(migration);
  if (plan.reverseReplication) await rehearseTurn(migration);
  if (plan.cdc.materializedViews === 'before-cutover') await refreshViews(migration);
  await compareMovingData(migration);
  if (migration.leg === 0) {
    await compareSchemas(migration, false);
    await rememberTarget(migration);
  }
  await checkTarget(migration, false);
  await lookUntilReady(migration);
}

/** They hold no rows that stream: as of now, until the application refreshes them as it always does. */
async function refreshViews({ runbook, scope, leg }: CdcMigration): Promise<void> {
  await runbook.step(
    'refresh-views',
    `Refresh the materialized views of the ${otherSide(writingSide(leg))}`,
    () => run('long', 'Refresh materialized views').refreshFollowingViews({ scope, leg }),
    { skippable: true, describe: ({ views }) => (views === 0 ? 'there are none' : `${views} refreshed`) },
  );
}

async function compareMovingData(migration: CdcMigration): Promise<void> {
  const { runbook, plan, scope, leg } = migration;
  const { journal } = runbook;
  journal.validation = [];
  let attempt = 0;
  await runbook.step(
    'validate-moving',
    'Compare every row of every table while it moves',
    async () => {
      attempt += 1;
      await copyAgainWhatWasAsked(migration);
      const compared = await run('long', 'Digest every table on both sides, while it moves').compareMoving({
        scope,
        leg,
        checksum: plan.validation.checksum,
        lanes: plan.copy.lanes,
        attempt: `${journal.runId}-${leg}-${runbook.now().getTime()}-${attempt}`,
      });
      migration.tables = compared.artifact;
      migration.pending = compared.pending;
      journal.tables = mergeTables(journal.tables ?? [], compared.tables);
      journal.tablesNotListed = compared.tablesNotListed;
      return requirePassed(migration, compared.records);
    },
    { describe: describeRecords },
  );
}

/** The tables leave their groups, become a group of their own and follow again; the others stream on meanwhile. */
async function copyAgainWhatWasAsked(migration: CdcMigration): Promise<void> {
  const { runbook, plan, scope, leg } = migration;
  const tables = [...migration.recopying];
  if (tables.length > 0) {
    runbook.note(`Copied again by itself: ${tables.join(', ')}.`);
    await takeOut(migration, tables);
    migration.takenOut = true;
  }
  // Also at another try: what was taken out does not follow, and would be missed by nothing but a comparison.
  if (!migration.takenOut) return;
  await copyInGroups(migration);
  await run('long', 'Subscribe the target to what was copied again').subscribe({ scope, leg });
  await run('long', 'Until the streams have caught up').awaitCaughtUp({
    scope,
    leg,
    maxLagMs: needed(parseDurationMs(plan.cdc.maxLag), 'maxLag'),
  });
  migration.takenOut = false;
}

/** What cannot be taken out is not asked for again at the next try; what may be half out is. */
async function takeOut({ scope, recopying }: CdcMigration, tables: string[]): Promise<void> {
  const taken = (): void => void recopying.splice(0, tables.length);
  try {
    await run('long', `Take ${tables.join(', ')} out of the stream`).recopyTables({ scope, tables });
    taken();
  } catch (error) {
    const cause = error instanceof ActivityFailure ? error.cause : undefined;
    if (cause instanceof ApplicationFailure && cause.type === 'PreconditionFailed') taken();
    throw error;
  }
}

/** As built, so that a change of the target is noticed too. */
async function rememberTarget(migration: CdcMigration): Promise<void> {
  const { runbook, scope } = migration;
  await runbook.step(
    'remember-target',
    'Remember the schema of the target, to notice any change',
    async () => {
      const { artifact, objects } = await run('long', 'Fingerprint of the target').fingerprintSchema({
        scope,
        side: 'target',
      });
      migration.fingerprints.target = artifact;
      return objects;
    },
    { describe: (objects) => `${objects} objects` },
  );
}

/** The streams are close behind, nobody has changed a schema, the fence stands. Otherwise the step blocks, and looks again by itself. */
export async function lookUntilReady(migration: CdcMigration): Promise<void> {
  await migration.runbook.step(
    'ready',
    'Look whether a cutover may begin',
    async () => {
      const { scope, leg } = migration;
      await run('undo', 'What would stop the freeze').prepareFreeze({ scope, leg });
      const replication = await look(migration);
      const problems = [...replication.problems, ...guardianProblems(migration)];
      if (problems.length > 0)
        throw ApplicationFailure.nonRetryable(
          `A cutover may not begin: ${problems.slice(0, 10).join(' | ')}. Mend it; it is looked at again by itself, or send retry.`,
          'PreconditionFailed',
        );
      return replication;
    },
    {
      againByItself: true,
      describe: ({ lagMs, streams }) => `${streams.length} stream(s), a marker passes in ${lagMs ?? 0} ms`,
    },
  );
}

/** Who goes back does not wait for room on a disk, only for streams. */
function guardianProblems({ guardian, leg }: CdcMigration): string[] {
  const grave = writingSide(leg) === 'source' ? ['slow', 'pause', 'drop'] : ['drop'];
  return guardian && grave.includes(guardian.level) ? [`slot guardian: ${guardian.detail}`] : [];
}

async function look(migration: CdcMigration) {
  const { runbook, plan, scope, leg, fingerprints } = migration;
  const { source, target } = fingerprints;
  const replication = await run('undo', 'Look at the streams').observeStreams({
    scope,
    leg,
    ...(source && target ? { fingerprints: { source, target } } : {}),
    until: { maxLagMs: needed(parseDurationMs(plan.cdc.maxLag), 'maxLag') },
  });
  runbook.journal.replication = { ...replication, ...(migration.guardian ? { guardian: migration.guardian } : {}) };
  runbook.show();
  return replication;
}

/** Runs `work` and looks at the streams beside it, ever more rarely. */
export async function watchingStreams<Result>(migration: CdcMigration, work: () => Promise<Result>): Promise<Result> {
  const beside = new CancellationScope();
  let unseen = migration.runbook.journal.replication === undefined;
  const watching = beside.run(async () => {
    for (let pauseMs = firstLookMs; ; pauseMs = Math.min(pauseMs * growth, longestPauseMs)) {
      // After a hand-over nothing is known of the streams yet.
      if (!unseen) await sleep(pauseMs, { summary: 'Until the streams are looked at again' });
      unseen = false;
      if (!migration.following) continue;
      try {
        await look(migration);
      } catch (error) {
        // Only a view: what is needed for a cutover is looked at again before it.
        if (isCancellation(error)) throw error;
        const { replication } = migration.runbook.journal;
        if (replication) replication.problems = [`could not be looked at: ${describeFailure(error)}`];
        migration.runbook.show();
      }
    }
  });
  watching.catch(() => undefined);
  try {
    return await work();
  } finally {
    beside.cancel();
    await CancellationScope.nonCancellable(() => watching.catch(() => undefined));
  }
}

/** What the people at the gate should see. */
export function cutoverEvidence(migration: CdcMigration, attempt: number): string[] {
  const { runbook, plan, leg } = migration;
  const { replication, decision } = runbook.journal;
  const [from, to] = [writingSide(leg), otherSide(writingSide(leg))];
  const wentBack = runbook.journal.handOvers?.findLast(({ to, outcome }) => to === 'source' && outcome === 'switched');
  return [
    ...(attempt > 1 ? [`attempt ${attempt}: the one before did not reach the switch`] : []),
    ...(leg > 0 ? [`went back before: ${wentBack?.why ?? 'on request'}; nothing is copied again`] : []),
    `${recordsEvidence(migration)}, on moving data`,
    `the ${to} follows the ${from}: a marker passes in ${replication?.lagMs ?? 'unknown'} ms`,
    plan.reverseReplication
      ? `the way back was rehearsed: after the switch the ${from} follows the ${to}, and going back loses nothing`
      : 'there is no reverse replication: going back after the switch loses what was written since',
    ...(decision?.acceptableDowntimeMs === undefined
      ? []
      : [`acceptable downtime ${formatDurationMs(decision.acceptableDowntimeMs)}`]),
    `writes stop now, for a second or so; after ${plan.maxDowntime} without the switch the ${from} is reopened by itself`,
  ];
}
