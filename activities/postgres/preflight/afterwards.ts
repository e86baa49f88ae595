// What the plan wants done after the switch, weeks from now: whether it can be done is asked today. Only for plans that name it.
import { askPrometheus } from '../../application/prometheus';
import { resolveSecret } from '../../secret';
import { listed, pass, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';
import { missingPrograms } from './snapshot';
import { clientToolsFor } from './versions';

const prometheusCheck: PreflightCheck = {
  name: 'prometheus',
  title: 'The Prometheus query gives a number, and not one too high already',
  side: 'application',
  needs: [],
  look: prometheus,
};

const programsCheck: PreflightCheck = {
  name: 'afterwards-commands',
  title: 'Commands that are run after the switch are there',
  side: 'worker',
  needs: [],
  look: programs,
};

const targetBackupCheck: PreflightCheck = {
  name: 'target-backup-tools',
  title: 'pg_dump and pg_restore fit the target, whose backup the plan asks for',
  side: 'worker',
  needs: ['target'],
  look: (context) => clientToolsFor(context, 'target'),
};

export const afterwardsChecks: readonly PreflightCheck[] = [prometheusCheck, programsCheck, targetBackupCheck];

/** The checks that this plan needs. */
export function afterwardsChecksFor(context: CheckContext): PreflightCheck[] {
  return [
    ...(context.input.triggers?.prometheus ? [prometheusCheck] : []),
    ...(commandsOf(context).length > 0 ? [programsCheck] : []),
    ...(context.input.afterwards?.targetBackup?.kind === 'pg_dump' ? [targetBackupCheck] : []),
  ];
}

async function prometheus({ input, dependencies, signal }: CheckContext): Promise<Finding> {
  const trigger = input.triggers?.prometheus;
  if (!trigger) return pass('the plan has none');
  const { environment } = dependencies;
  if (trigger.token) await resolveSecret(trigger.token, environment);
  const answer = await askPrometheus(trigger, { environment, signal });
  if ('error' in answer) {
    return {
      outcome: 'fail',
      found: answer.error,
      expected: 'one finite number: a scalar, or a vector of one sample',
      fix: 'correct plan.rollbackTriggers.prometheus; a query without traffic can end in "or vector(0)"',
    };
  }
  if (answer.value <= trigger.maxValue) return pass(`${answer.value}, at most ${trigger.maxValue} is allowed`);
  return {
    outcome: 'fail',
    found: `the query gives ${answer.value} before anything was migrated`,
    expected: `at most ${trigger.maxValue}: otherwise the watch after the switch would begin with a breach`,
    fix: 'raise plan.rollbackTriggers.prometheus.maxValue, or wait until the application is well',
  };
}

async function programs(context: CheckContext): Promise<Finding> {
  const wanted = commandsOf(context);
  const missing = await missingPrograms(wanted);
  if (missing.length === 0) return pass(listed(wanted));
  return {
    outcome: 'fail',
    found: `not found on the worker, or not executable: ${listed(missing)}`,
    expected: 'the commands of plan.afterwards and plan.retire on every worker',
    fix: 'install them on every worker, or give their full path in the plan',
  };
}

function commandsOf({ input: { afterwards, retire } }: CheckContext): string[] {
  const backup = afterwards?.targetBackup;
  const lines = [
    ...(backup?.kind === 'command' ? [backup.command, backup.verify] : []),
    ...(typeof retire === 'object' ? [retire.command] : []),
  ];
  return lines.flatMap((line) => line?.slice(0, 1) ?? []);
}
