// Every ending: undo, look what is left, write the report. The same for completed, rolled back, rejected and cancelled.
import { ApplicationFailure, CancellationScope, isCancellation } from '@temporalio/workflow';
import type { FailureType } from '../../journal/failure-types';
import type { BackupRecord, CreatedObject, Outcome } from '../../journal/types';
import { run } from '../activity-options';
import type { MigrationResult } from '../messages';
import { Interrupted } from '../runbook';
import type { Migration } from './migration';

/** What one kind of migration brings to its ending. */
export interface Ending {
  /** Looks on both sides for anything left behind. */
  findLeftovers: () => Promise<CreatedObject[]>;
  /** A side is known to be away: looking, which fails with this, is left out, and said to be. */
  leftOutOn?: FailureType;
  /** What the files are that stay: "the backup of the source". */
  artifacts: string;
}

/** Undoes everything, then ends: rolled back, rejected, or cancelled. @throws NotUndone, or the cancellation, or what is neither */
export async function undoEverything(migration: Migration, error: unknown, ending: Ending): Promise<MigrationResult> {
  const { runbook } = migration;
  const cancelled = isCancellation(error);
  if (!(error instanceof Interrupted) && !cancelled) throw error;
  const reason = error instanceof Interrupted ? error.reason : 'the workflow was cancelled';
  const rejected = error instanceof Interrupted && error.kind === 'rejected';
  runbook.ending = true;
  migration.givenUp.push(...(await runbook.unwind(reason)));
  const result = await conclude(migration, rejected ? 'rejected' : 'rolled-back', ending);
  requireUndone(migration);
  if (cancelled) throw error;
  return result;
}

/** @throws NotUndone when a person gave up something that had to be undone */
export function requireUndone({ givenUp }: Migration): void {
  if (givenUp.length === 0) return;
  throw ApplicationFailure.nonRetryable(
    `The migration could be neither finished nor undone. Given up: ${givenUp.join('; ')}. The report lists what is left; put it right by hand.`,
    'NotUndone',
  );
}

/**
 * Proves by looking that nothing is left, writes the report, and says how it ended. Shielded: a report is owed also to who cancels.
 * A report that cannot be written blocks, and can be skipped: the migration itself is over.
 */
export async function conclude(
  migration: Migration,
  outcome: Outcome,
  { findLeftovers, leftOutOn, artifacts }: Ending,
): Promise<MigrationResult> {
  return CancellationScope.nonCancellable(async () => {
    const { runbook, plan, givenUp } = migration;
    const { journal } = runbook;
    runbook.ending = true;
    runbook.clearInterruption();
    const found = await runbook.step('leftovers', 'Look on both sides for anything left behind', findLeftovers, {
      skippable: true,
      ...(leftOutOn ? { leftOutOn } : {}),
      describe: describeLeftovers,
    });
    journal.left = [
      ...(found ?? [unlooked()]),
      ...givenUp.map(notUndone),
      ...journal.artifacts.map((artifact) => keptArtifact(artifact, artifacts)),
      ...(journal.backup ? [keptBackup(journal.backup)] : []),
    ];
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
  const onPurpose = kept.length > 0 ? `; kept on purpose: ${nameObjects(kept)}` : '';
  return `${present.length === 0 ? 'nothing is left behind' : `LEFT BEHIND: ${nameObjects(present)}`}${onPurpose}`;
}

function nameObjects(objects: CreatedObject[]): string {
  const more = objects.length > objectsNamed ? ` and ${objects.length - objectsNamed} more` : '';
  const names = objects.slice(0, objectsNamed).map(({ kind, name, where }) => `${kind} ${name} on the ${where}`);
  return `${names.join(', ')}${more}`;
}

/** In one line for people; the report has all of them. */
const objectsNamed = 20;

function countDifferences({ runbook }: Migration): number | undefined {
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

function keptBackup({ kind, name, arn }: BackupRecord): CreatedObject {
  return {
    kind,
    where: 'source',
    name,
    state: 'kept',
    why: `the backup of the source; cutover never deletes it, and it costs until you do${arn ? `: ${arn}` : ''}`,
  };
}

function keptArtifact({ name, url }: { name: string; url: string }, what: string): CreatedObject {
  return {
    kind: 'file',
    where: 'artifacts',
    name,
    state: 'kept',
    why: `${what}, for as long as you keep it: ${url}`,
  };
}
