// A rehearsal as the child sees it: the same migration, which asks nobody, goes back at the end of its forward way, and tells what it found.
import { ApplicationFailure, workflowInfo } from '@temporalio/workflow';
import { betweenMs } from '../../../journal/quantities';
import { isRollbackStep } from '../../../journal/reading';
import type { Journal, RehearsedStep } from '../../../journal/types';
import { run } from '../../activity-options';
import type { RehearsalFindings } from '../../messages';
import { needed } from '../migration';
import type { PostgresMigration } from './migration';

/** @throws InvalidPlan for whoever starts one by hand: its guard and its scratch databases are the business of the migration that it rehearses */
export function beginRehearsal({ runbook, plan }: PostgresMigration): void {
  if (!workflowInfo().parent) {
    throw ApplicationFailure.nonRetryable(
      'The second argument of postgresMigration is for rehearsals alone, which a migration starts by itself. Leave it out, and name scratch servers in plan.rehearsal.',
      'InvalidPlan',
    );
  }
  const followed = plan.strategy === 'cdc' && plan.reverseReplication;
  runbook.rehearsal = { goesBack: followed ? 'after-switch' : 'before-switch' };
}

/** What its parent shows at the gate. */
export function findingsOf({ runbook: { journal, rehearsal } }: PostgresMigration): RehearsalFindings {
  const { validation = [], fidelity, baseline } = journal;
  const reachedAt = rehearsal?.reachedAt;
  const failed = validation.filter(({ outcome }) => outcome === 'fail' || outcome === 'unverifiable').length;
  const compared = validation.length > 0;
  return {
    reached: reachedAt !== undefined,
    ...(reachedAt === undefined ? { failure: journal.reason ?? 'it did not say why' } : {}),
    ...(compared
      ? {
          validationPassed: failed === 0 && (fidelity?.differences.length ?? 0) === 0,
          validations: {
            passed: validation.filter(({ outcome }) => outcome === 'pass').length,
            of: validation.length,
          },
        }
      : {}),
    rollbackMs: betweenMs(reachedAt, journal.endedAt),
    left: journal.left
      .filter(({ state }) => state === 'present')
      .slice(0, 20)
      .map(({ kind, name, where }) => `${kind} ${name} on the rehearsal ${where}`),
    steps: forwardSteps(journal, reachedAt),
    databaseBytes: baseline?.databaseBytes,
    ...(journal.transformations ? { rejects: journal.transformations.tables } : {}),
  };
}

/** Steps of every ending, which no migration waits for. */
const endings = /^(clean-up|leftovers|report|remove-streams|monitor)/;

function forwardSteps({ steps }: Journal, reachedAt: string | undefined): RehearsedStep[] {
  const until = reachedAt === undefined ? Infinity : Date.parse(reachedAt);
  const forward = steps.filter(
    (step) =>
      step.state === 'done' &&
      !isRollbackStep(step) &&
      !endings.test(step.id) &&
      Date.parse(step.startedAt) < until &&
      step.durationMs !== undefined,
  );
  // One that was tried again counts as it went at last.
  const last = new Map(forward.map((step) => [step.id, step]));
  return [...last.values()].map(({ id, title, durationMs = 0, downtime }) => ({
    id,
    title,
    durationMs,
    ...(downtime ? { downtime } : {}),
  }));
}

/** After a hand-over back the target is kept as it is, fenced; a scratch target is needed by nobody. */
export async function giveTargetBack({ runbook, scope, inventory }: PostgresMigration): Promise<void> {
  await runbook.step(
    'give-target-back',
    'Put the scratch target back as it was found',
    async () => {
      const cleared = await run('undo', 'Clear the scratch target behind its fence').clearTarget({
        scope,
        inventory: needed(inventory, 'inventory'),
      });
      await run('quickUndo', 'Lower the fence on the scratch target').lowerFence({
        scope,
        side: 'target',
      });
      const { removed } = await run('quickUndo', 'Remove created roles').removeRoles({ scope });
      return { dropped: cleared.dropped, roles: removed.length };
    },
    { describe: ({ dropped, roles }) => `${dropped} objects and ${roles} roles removed` },
  );
}
