// The rule of every validation: each record is kept for the report, and what could not be verified is not passed.
import { ApplicationFailure } from '@temporalio/workflow';
import type { ValidationRecord } from '../../journal/types';
import { needed, type Migration } from './migration';

/** Keeps the records for the report, newest of each name, and fails the step unless all of them passed. @throws VerificationMismatch */
export function requirePassed({ runbook }: Migration, records: ValidationRecord[]): ValidationRecord[] {
  const { journal } = runbook;
  const names = new Set(records.map(({ name }) => name));
  journal.validation = [...(journal.validation ?? []).filter(({ name }) => !names.has(name)), ...records];
  runbook.show();
  const bad = records.filter(({ outcome }) => outcome === 'fail' || outcome === 'unverifiable');
  if (bad.length > 0) {
    const what = bad.slice(0, 5).map(({ name, outcome, source, target, differences }) => {
      const values =
        source === undefined && target === undefined ? '' : ` (source ${source ?? 'n/a'}, target ${target ?? 'n/a'})`;
      return `${name}: ${outcome}${values}${differences?.length ? `: ${differences.slice(0, 5).join(', ')}` : ''}`;
    });
    throw ApplicationFailure.nonRetryable(
      `${bad.length} of ${records.length} validations did not pass: ${what.join(' | ')}. Find out why before anything else: retry checks again, rollback goes back.`,
      'VerificationMismatch',
    );
  }
  return records;
}

export function describeRecords(records: ValidationRecord[]): string {
  const passed = countPassed(records);
  return records.length === 0
    ? 'the plan asks for none'
    : `${passed} of ${records.length} passed${passed < records.length ? ', the others skipped' : ''}`;
}

/** "validation: 24 of 25 passed" for the people at a gate. */
export function recordsEvidence({ runbook }: Migration): string {
  const records = needed(runbook.journal.validation, 'validation');
  return `validation: ${countPassed(records)} of ${records.length} passed`;
}

function countPassed(records: ValidationRecord[]): number {
  return records.filter(({ outcome }) => outcome === 'pass').length;
}
