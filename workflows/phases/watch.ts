// Runbook sections 6 and 7: watch the target, let people accept it, keep the source for as long as the plan says.
import { parseDurationMs, formatDurationMs } from '../../plan/duration';
import { run } from '../activity-options';
import { needed, type PostgresMigration } from './migration';
import { validationEvidence } from './validation';

/** Of all breaches; more say nothing new. */
const breachesListed = 20;

/**
 * Probes and query times for the planned time; a breach asks people at once, and nothing goes on until one of them says so or sends a rollback.
 * @param round so that a second watch, after a rejected acceptance, is a step of its own
 */
export async function monitor(migration: PostgresMigration, round = 1): Promise<void> {
  const { runbook, plan } = migration;
  runbook.phase('monitor');
  const until = new Date(runbook.now().getTime() + needed(parseDurationMs(plan.monitor), 'monitor'));
  const windowMs = needed(parseDurationMs(plan.rollbackTriggers.window), 'window');
  for (let watch = 1; ; watch += 1) {
    const breaches = await watchUntil(migration, until, `${round}${watch === 1 ? '' : `-${watch}`}`);
    if (breaches.length === 0) return;
    await runbook.insist('continue-after-breach', [
      ...breaches,
      'going back loses what was written to the target since the switch: send rollback to be told how much',
    ]);
    // The same breach would be seen again at once: a new look after ever more of the window.
    const pauseMs = windowMs * 2 ** Math.min(watch - 1, 10);
    if (runbook.now().getTime() + pauseMs >= until.getTime()) return;
    await runbook.wait(() => false, 'Until the target is watched again', pauseMs);
  }
}

async function watchUntil(migration: PostgresMigration, until: Date, round: string): Promise<string[]> {
  const { runbook, plan, scope } = migration;
  const { journal } = runbook;
  const seen = await runbook.step(
    round === '1' ? 'monitor' : `monitor-${round}`,
    `Watch the target until ${until.toISOString()}`,
    () =>
      run('long', `Monitor the target for ${plan.monitor}`).watchTarget({
        scope,
        triggers: plan.rollbackTriggers,
        queries: plan.validation.performance.queries,
        baseline: migration.performance,
        startedIso: runbook.now().toISOString(),
        untilIso: until.toISOString(),
      }),
    {
      skippable: true,
      describe: ({ samples, errorRatePercent, breaches }) =>
        `${samples} samples, ${errorRatePercent} % errors${breaches.length > 0 ? `; BREACH: ${breaches.join('; ')}` : ''}`,
    },
  );
  if (!seen) return [];
  const before = journal.monitoring ?? { samples: 0, errors: 0, errorRatePercent: 0, breaches: [] };
  journal.monitoring = {
    samples: before.samples + seen.samples,
    errors: before.errors + seen.errors,
    errorRatePercent: seen.errorRatePercent,
    slowdownPercent: seen.slowdownPercent,
    breaches: [...before.breaches, ...seen.breaches].slice(0, breachesListed),
  };
  return seen.breaches;
}

/** Asks whether the target is kept; who says no has it watched for another time, and may send a rollback. */
export async function accept(migration: PostgresMigration): Promise<void> {
  const { runbook, plan } = migration;
  for (let round = 1; ; round += 1) {
    runbook.phase('accept');
    const { monitoring, downtime } = runbook.journal;
    const evidence = [
      ...validationEvidence(migration),
      monitoring
        ? `watched for ${plan.monitor}: ${monitoring.samples} samples, ${monitoring.errors} errors`
        : 'the watch was skipped',
      ...(monitoring?.breaches ?? []).map((breach) => `BREACH: ${breach}`),
      `writes were stopped for ${formatDurationMs(downtime?.durationMs ?? 0)}`,
      'accepting removes the ledger; the source is kept, fenced, for its retention time',
    ];
    if ((await runbook.ask('accept', evidence)) === 'approved') return;
    runbook.note(
      'Not accepted: the target is watched for another time. To go back, send rollback: it says what would be lost and which words to add.',
    );
    await monitor(migration, round + 1);
  }
}

/** Keeps the source for the retention time, then asks whether it may be retired. Returns whether its fence stays up. */
export async function retain(migration: PostgresMigration): Promise<boolean> {
  const { runbook, plan, scope } = migration;
  runbook.phase('retention');
  const retentionMs = needed(parseDurationMs(plan.retainSource), 'retainSource');
  await runbook.wait(() => false, `The source is kept, fenced, for ${plan.retainSource}`, retentionMs);
  runbook.phase('retire');
  const kept = plan.retire === 'keep-fenced';
  const answer = await runbook.ask('retire-source', [
    `the source was kept for ${plan.retainSource}`,
    kept ? 'its fence stays up; nothing is deleted' : 'its fence is taken away; nothing is deleted',
  ]);
  if (answer === 'rejected' || kept) {
    runbook.note(
      answer === 'rejected'
        ? 'The source is kept as it is: its fence stays up.'
        : 'The source is retired: its fence stays up, its data is not deleted.',
    );
    return true;
  }
  await runbook.step('reopen-source', 'Take the fence away from the source', () =>
    run('quickUndo', 'Lower the fence on the source').lowerFence({
      scope,
      side: 'source',
      former: needed(migration.sourceAccess, 'access'),
    }),
  );
  return false;
}
