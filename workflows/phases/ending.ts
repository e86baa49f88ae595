// Every ending: clean up, look what is left, write the report. The same for completed, rolled back, rejected and cancelled.
import { CancellationScope } from '@temporalio/workflow';
import type { CreatedObject, Outcome } from '../../journal/types';
import { run } from '../activity-options';
import type { MigrationResult } from '../messages';
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

/**
 * Proves by looking that nothing is left, writes the report, and says how it ended. Shielded: a report is owed also to who cancels.
 * A report that cannot be written blocks, and can be skipped: the migration itself is over.
 */
export async function conclude(
  migration: PostgresMigration,
  outcome: Outcome,
  { givenUp = [], ...kept }: { sourceFence: boolean; targetFence: boolean; givenUp?: string[] },
): Promise<MigrationResult> {
  return CancellationScope.nonCancellable(async () => {
    const { runbook, scope, plan } = migration;
    const { journal } = runbook;
    runbook.ending = true;
    runbook.clearInterruption();
    const found = await runbook.step(
      'leftovers',
      'Look on both sides for anything left behind',
      () => run('long', 'Look for anything left behind').findLeftovers({ scope, kept }),
      { skippable: true, describe: describeLeftovers },
    );
    journal.left = [...(found ?? [unlooked()]), ...givenUp.map(notUndone), ...journal.artifacts.map(keptArtifact)];
    if (givenUp.length === 0) journal.outcome = outcome;
    journal.endedAt = runbook.now().toISOString();
    if (journal.downtime && !journal.downtime.endedAt && outcome === 'completed')
      journal.downtime.endedAt = journal.endedAt;
    runbook.phase(givenUp.length === 0 ? outcome : 'failed');
    const report = await runbook.step(
      'report',
      'Write the report',
      async () => {
        const written = await run('quick', `Write the report of ${plan.name}`).writeReport({
          journal,
          tables: migration.tables,
        });
        journal.artifacts.push(written.markdown, written.html, written.json);
        return written;
      },
      { skippable: true, describe: ({ html }) => html.url },
    );
    return {
      outcome,
      reportArtifact: report?.html.url ?? '',
      downtimeMs: journal.downtime?.durationMs,
      rows: migration.rows,
      differences: countDifferences(migration),
    };
  });
}

function describeLeftovers(found: CreatedObject[]): string {
  const present = found.filter(({ state }) => state === 'present');
  const kept = found.filter(({ state }) => state === 'kept');
  const names = (objects: CreatedObject[]): string =>
    objects.map(({ kind, name, where }) => `${kind} ${name} on the ${where}`).join(', ');
  const onPurpose = kept.length > 0 ? `; kept on purpose: ${names(kept)}` : '';
  return `${present.length === 0 ? 'nothing is left behind' : `LEFT BEHIND: ${names(present)}`}${onPurpose}`;
}

function countDifferences({ runbook }: PostgresMigration): number | undefined {
  const { validation, fidelity } = runbook.journal;
  if (!validation && !fidelity) return undefined;
  return (
    (validation ?? []).filter(({ outcome }) => outcome === 'fail' || outcome === 'unverifiable').length +
    (fidelity?.differences.length ?? 0)
  );
}

function unlooked(): CreatedObject {
  return {
    kind: 'unknown',
    where: 'target',
    name: 'could not be looked at',
    state: 'present',
    why: 'the look was skipped',
  };
}

function notUndone(title: string): CreatedObject {
  return {
    kind: 'undo',
    where: 'target',
    name: title,
    state: 'present',
    why: 'it failed and was given up by a person: put it right by hand',
  };
}

function keptArtifact({ name, url }: { name: string; url: string }): CreatedObject {
  return {
    kind: 'file',
    where: 'artifacts',
    name,
    state: 'kept',
    why: `the backup of the source, for as long as you keep it: ${url}`,
  };
}
