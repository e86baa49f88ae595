// Runbook sections 6 and 7 for PostgreSQL: probes and query times on the target, and what retiring the source means.
import { parseDurationMs } from '../../../plan/duration';
import { run } from '../../activity-options';
import { needed } from '../migration';
import { retain, type Watch } from '../watch';
import type { PostgresMigration } from './migration';
import { schemaEvidence } from './validation';

export function watchOf(migration: PostgresMigration): Watch {
  const { plan, scope } = migration;
  return {
    look: (time) =>
      run('long', `Monitor the target for ${plan.monitor}`).watchTarget({
        scope,
        triggers: plan.rollbackTriggers,
        queries: plan.validation.performance.queries,
        baseline: migration.performance,
        ...time,
      }),
    windowMs: needed(parseDurationMs(plan.rollbackTriggers.window), 'window'),
    loses: 'going back loses what was written to the target since the switch: send rollback to be told how much',
    downtimeWords: 'writes were stopped for',
    evidence: () => [
      schemaEvidence(migration),
      'accepting removes the ledger; the source is kept, fenced, for its retention time',
    ],
  };
}

/** Keeps the source for the retention time, then asks whether it may be retired. Returns whether its fence stays up. */
export async function retainSource(migration: PostgresMigration): Promise<boolean> {
  const { runbook, plan, scope } = migration;
  const kept = plan.retire === 'keep-fenced';
  const answer = await retain(
    migration,
    'fenced',
    kept ? 'its fence stays up; nothing is deleted' : 'its fence is taken away; nothing is deleted',
  );
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
    }),
  );
  return false;
}
