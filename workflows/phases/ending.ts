// Every ending: clean up, look what is left, write the report. The same for completed, rolled back, rejected and cancelled.
import { CancellationScope } from '@temporalio/workflow';
import type { CreatedObject, Outcome } from '../../journal/types';
import { run } from '../activity-options';
import type { MigrationResult } from '../messages';
import { describeFailure } from '../runbook';
import type { PostgresMigration } from './migration';

/** Removes the ledger once nobody needs it: after acceptance, or at the end of going back. */
export async function cleanUp({ runbook, scope }: PostgresMigration): Promise<void> {
  await runbook.step(
    'clean-up',
    'Remove the ledger from the target',
    () => run('quick', 'Remove the ledger').removeLedger({ scope }),
    {
      describe: ({ removed }) => (removed ? 'removed' : 'was not there'),
    },
  );
}

/** Proves by looking that nothing is left, writes the report, and says how it ended. Shielded: a report is owed also to who cancels. */
export async function conclude(
  migration: PostgresMigration,
  outcome: Outcome,
  expected: { sourceFence: boolean; targetFence: boolean },
): Promise<MigrationResult> {
  return CancellationScope.nonCancellable(async () => {
    const { runbook, scope, plan } = migration;
    const { journal } = runbook;
    try {
      journal.left = await run('quickUndo', 'Look for anything left behind').findLeftovers({
        scope,
        kept: { sourceFence: expected.sourceFence, targetFence: expected.targetFence },
      });
    } catch (error) {
      journal.left = [unlooked(describeFailure(error))];
    }
    const left = journal.left.filter(({ state }) => state === 'present');
    if (left.length > 0)
      runbook.note(`Left behind: ${left.map(({ kind, name, where }) => `${kind} ${name} on the ${where}`).join(', ')}`);
    journal.outcome = outcome;
    journal.endedAt = runbook.now().toISOString();
    if (journal.downtime && !journal.downtime.endedAt && outcome === 'completed')
      journal.downtime.endedAt = journal.endedAt;
    runbook.phase(outcome);
    const { html, markdown, json } = await run('quickUndo', `Write the report of ${plan.name}`).writeReport({
      journal,
      tables: migration.tables,
    });
    journal.artifacts.push(markdown, html, json);
    runbook.show();
    return {
      outcome,
      reportArtifact: html.url,
      downtimeMs: journal.downtime?.durationMs,
      rows: migration.rows,
      differences: countDifferences(migration),
    };
  });
}

function countDifferences({ runbook }: PostgresMigration): number | undefined {
  const { validation, fidelity } = runbook.journal;
  if (!validation && !fidelity) return undefined;
  return (
    (validation ?? []).filter(({ outcome }) => outcome === 'fail' || outcome === 'unverifiable').length +
    (fidelity?.differences.length ?? 0)
  );
}

function unlooked(why: string): CreatedObject {
  return { kind: 'unknown', where: 'target', name: 'could not be looked at', state: 'present', why };
}
