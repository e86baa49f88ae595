// What the report says of the plan, in numbers. Pure.
import type { PlanFacts } from '../../../journal/types';
import { parseDurationMs } from '../../../plan/duration';
import type { PostgresPlan } from '../../../plan/postgres';
import { rehearsalServers, rehearsalSkipped } from '../../../plan/rehearsal';
import { partsOf } from '../../../plan/retire';

export function planFacts(plan: PostgresPlan): PlanFacts {
  const { snapshot, rehearsal, application, validation, rollbackTriggers, afterwards } = plan;
  return {
    snapshot: snapshot.kind,
    rehearsal: rehearsalServers(rehearsal) !== undefined,
    rehearsalSkipped: rehearsalSkipped(rehearsal),
    application: application !== undefined,
    monitorMs: parseDurationMs(plan.monitor),
    retainSourceMs: parseDurationMs(plan.retainSource),
    maxRegressionPercent: validation.performance.maxRegressionPercent,
    triggers: triggerFacts(plan, rollbackTriggers),
    ...(afterwards.targetBackup ? { targetBackup: afterwards.targetBackup.kind } : {}),
    retire: retireWords(plan),
  };
}

function triggerFacts(
  { validation }: PostgresPlan,
  triggers: PostgresPlan['rollbackTriggers'],
): NonNullable<PlanFacts['triggers']> {
  const { errorRatePercent, slowdownPercent, probes, interval, window, prometheus } = triggers;
  const columns = validation.notNull.reduce((count, rule) => count + rule.columns.length, 0);
  const expected = validation.assertions.filter(({ expect }) => expect !== undefined).length;
  return {
    errorRatePercent,
    slowdownPercent,
    probes: probes.length,
    intervalMs: parseDurationMs(interval) ?? 0,
    windowMs: parseDurationMs(window) ?? 0,
    breachesNeeded: triggers.breachesNeeded,
    ...(prometheus ? { prometheusMaxValue: prometheus.maxValue } : {}),
    integrity: triggers.integrity.length + (triggers.declaredChecks ? columns + expected : 0),
    smoke: triggers.smoke ? validation.smoke.length : 0,
  };
}

function retireWords({ retire }: PostgresPlan): string {
  const parts = partsOf(retire);
  if (!parts) return retire === 'reopen' ? 'its fence is taken away' : 'its fence stays up';
  return [
    ...(parts.archive ? ['archived'] : []),
    ...(parts.drop ? ['dropped when a person says so'] : []),
    ...(parts.command ? [`given to ${parts.command[0]}`] : []),
  ].join(', then ');
}
