// Runbook sections 6 and 7 for PostgreSQL: how the target is watched, and what people should know when they accept it.
import { parseDurationMs } from '../../../plan/duration';
import { run } from '../../activity-options';
import { needed } from '../migration';
import type { Watch } from '../watch';
import type { PostgresMigration } from './migration';
import { rejectsWords } from './transformations';
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
        declared: plan.validation,
        ...time,
      }),
    windowMs: needed(parseDurationMs(plan.rollbackTriggers.window), 'window'),
    loses: 'going back loses what was written to the target since the switch: send rollback to be told how much',
    downtimeWords: 'writes were stopped for',
    evidence: () => [
      schemaEvidence(migration),
      ...rejectsWords(migration.runbook.journal.transformations?.tables),
      'accepting removes the ledger; the source is kept, fenced, for its retention time',
    ],
  };
}
