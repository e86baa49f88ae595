// Runbook sections 6 and 7: watch the target, let people accept it, keep the source for as long as the plan says.
import { parseDurationMs, formatDurationMs } from '../../plan/duration';
import { run } from '../activity-options';
import { needed, type PostgresMigration } from './migration';
import { validationEvidence } from './validation';

/** Probes and query times until the planned time is over; a breach asks people at once. */
export async function monitor(migration: PostgresMigration): Promise<void> {
  const { runbook, plan, scope } = migration;
  const { journal } = runbook;
  runbook.phase('monitor');
  const startedAt = runbook.now();
  const until = new Date(startedAt.getTime() + needed(parseDurationMs(plan.monitor), 'monitor'));
  for (let watch = 1; ; watch += 1) {
    const seen = await runbook.step(
      watch === 1 ? 'monitor' : `monitor-${watch}`,
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
    if (!seen) return;
    const { samples, errors, errorRatePercent, slowdownPercent, breaches } = seen;
    journal.monitoring = {
      samples,
      errors,
      errorRatePercent,
      slowdownPercent,
      breaches: [...(journal.monitoring?.breaches ?? []), ...breaches],
    };
    if (breaches.length === 0) return;
    const answer = await runbook.ask('continue-after-breach', [
      ...breaches,
      'going back loses what was written to the target since the switch: send rollback to be told how much',
    ]);
    if (answer === 'rejected')
      runbook.note('To go back, send rollback: it says what would be lost and which words to add.');
    if (runbook.now() >= until) return;
  }
}

export async function accept(migration: PostgresMigration): Promise<void> {
  const { runbook, plan } = migration;
  runbook.phase('accept');
  const { monitoring, downtime } = runbook.journal;
  const evidence = [
    ...validationEvidence(migration),
    `watched for ${plan.monitor}: ${monitoring?.samples ?? 0} samples, ${monitoring?.errorRatePercent ?? 0} % errors`,
    `writes were stopped for ${formatDurationMs(downtime?.durationMs ?? 0)}`,
    'accepting removes the ledger; the source is kept, fenced, for its retention time',
  ];
  while ((await runbook.ask('accept', evidence)) === 'rejected') {
    runbook.note(
      'Not accepted. To go back, send rollback: it says what would be lost and which words to add. The gate opens again.',
    );
    await runbook.wait(() => false, 'Until the accept gate opens again', 60_000);
  }
}

/** Keeps the source for the retention time, then asks whether it may be retired. */
export async function retain(migration: PostgresMigration): Promise<void> {
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
    return;
  }
  await runbook.step('reopen-source', 'Take the fence away from the source', () =>
    run('quickUndo', 'Lower the fence on the source').lowerFence({
      scope,
      side: 'source',
      former: needed(migration.sourceAccess, 'access'),
    }),
  );
}
