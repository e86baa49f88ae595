// A plan that is wrong fails the workflow at once; status and details say so as well, for people who look there first.
import { ApplicationFailure } from '@temporalio/workflow';
import type { Journal } from '../../journal/types';
import { describeIssues, type PlanIssue } from '../../plan/parse';
import { listen } from '../handlers';
import { newJournal } from '../logbook';
import { Runbook } from '../runbook';

/** The failure InvalidPlan, naming every issue; nothing was started. */
export function refusePlan(kind: Journal['kind'], issues: PlanIssue[]): ApplicationFailure {
  const journal = newJournal(kind, { name: 'refused', digest: '', source: 'unknown', target: 'unknown' });
  journal.reason = `The plan is refused; nothing was started.\n${describeIssues(issues)}`;
  const runbook = new Runbook(journal, {});
  runbook.ending = true;
  listen(runbook, { rollbackAfterNoReturn: () => undefined, tune: () => 'the plan is refused' });
  runbook.announce();
  runbook.phase('failed');
  return ApplicationFailure.nonRetryable(journal.reason, 'InvalidPlan');
}
