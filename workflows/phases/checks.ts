// What preflight found, in words, and the rule that a failed check stops the migration before anything is changed.
import { ApplicationFailure } from '@temporalio/workflow';
import type { Check } from '../../journal/types';
import type { Migration } from './migration';

/** Keeps the checks for the report. @throws PreconditionFailed naming every check that failed */
export function requireChecks({ runbook }: Migration, checks: Check[]): void {
  runbook.journal.preflight = checks;
  runbook.show();
  const failed = checks.filter(({ outcome }) => outcome === 'fail');
  if (failed.length === 0) return;
  // One long finding must not push the others out of what people are shown; the report has all of it.
  const room = Math.max(160, Math.floor(1_100 / failed.length));
  throw ApplicationFailure.nonRetryable(
    `${failed.length} of ${checks.length} checks failed; nothing has been changed. ${failed.map((check) => cut(describeCheck(check), room)).join(' | ')}. Mend them and retry; if the plan is wrong, roll back and start again with a better one.`,
    'PreconditionFailed',
  );
}

/** What the people at the `start` gate should see of the checks. */
export function checksEvidence({ runbook }: Migration): string[] {
  const { preflight: checks = [] } = runbook.journal;
  const warnings = checks.filter(({ outcome }) => outcome === 'warn');
  return [
    `checks: ${countOutcomes(checks)}`,
    ...warnings.slice(0, 8).map((check) => `warning ${describeCheck(check)}`),
  ];
}

export function countOutcomes(checks: Check[]): string {
  const count = (outcome: Check['outcome']): number => checks.filter((check) => check.outcome === outcome).length;
  return `${count('pass')} passed, ${count('warn')} warnings, ${count('fail')} failed`;
}

function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function describeCheck({ name, side, found, fix }: Check): string {
  return `${name} (${side}): ${found}${fix ? `; fix: ${fix}` : ''}`;
}
