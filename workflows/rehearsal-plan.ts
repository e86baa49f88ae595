// The plan of a rehearsal: that of the migration, on scratch servers, with nobody to ask and nothing of production in it. Pure.
import type { PostgresPlan, PostgresPlanInput } from '../plan/postgres';
import type { RehearsalServers } from '../plan/rehearsal';

/**
 * What is left out of the plan names production, or people: its application and everything reached by URL, its links between the servers,
 * its backups, its gates, its waiting, its retirement. Strategy, tables, copy, validation in SQL and all else is as it will be.
 */
export function rehearsalPlan(plan: PostgresPlan, servers: RehearsalServers): PostgresPlanInput {
  const { source, target, sourceFromTarget, targetFromSource } = servers;
  const rest: PostgresPlanInput = { ...plan };
  delete rest.application;
  return {
    ...rest,
    source,
    target,
    rehearsal: { skip: 'it is a rehearsal itself' },
    snapshot: { kind: 'none', reason: 'a rehearsal: what it migrates was restored from the backup' },
    gates: 'auto',
    cdc: { ...plan.cdc, sourceFromTarget, targetFromSource },
    validation: { ...plan.validation, smoke: plan.validation.smoke.filter((test) => 'sql' in test) },
    rollbackTriggers: { ...plan.rollbackTriggers, probes: [], prometheus: undefined },
    // What comes after acceptance is never reached; nothing of it could be taken from scratch servers for good in any case.
    afterwards: { lookEvery: plan.afterwards.lookEvery },
    retire: 'keep-fenced',
    monitor: '0s',
    retainSource: '0s',
  };
}
