// Runbook section 1 and 2: is it possible, how is it now, and why this way. Nothing is changed.
import { predictFromSizes, predictionEvidence } from '../../../journal/prediction';
import type { Check } from '../../../journal/types';
import { formatDurationMs, parseDurationMs } from '../../../plan/duration';
import { run } from '../../activity-options';
import { recommendStrategy } from '../../strategies/recommend';
import { checksEvidence, countOutcomes, requireChecks } from '../checks';
import { needed } from '../migration';
import type { PostgresMigration } from './migration';
import { transformationsOf } from './transformations';

export async function preflight(migration: PostgresMigration): Promise<void> {
  const { runbook, plan, scope } = migration;
  const { journal } = runbook;
  runbook.phase('preflight');

  await runbook.step(
    'identify',
    'Resolve the references of the plan',
    async () => {
      const identity = await run('quick', `Resolve the references of ${plan.name}`).identifyPlan({ plan });
      Object.assign(journal.plan, identity);
      return identity;
    },
    { describe: ({ source, target }) => `${source} to ${target}` },
  );

  await runbook.step('preflight', 'Check both sides before anything is changed', () => checkEverything(migration), {
    describe: (checks) => countOutcomes(checks),
  });

  await runbook.step(
    'baseline',
    'Record baseline metrics of the source',
    async () => {
      const baseline = await run('long', 'Baseline: sizes, exact counts, query times').measureBaseline({
        scope,
        queries: plan.validation.performance.queries,
        triggers: plan.rollbackTriggers,
      });
      journal.baseline = baseline.metrics;
      migration.performance = baseline.performance;
      return baseline.metrics;
    },
    { describe: ({ tables, rows, databaseBytes }) => `${tables} tables, ${rows} rows, ${megabytes(databaseBytes)}` },
  );

  recordDecision(migration);
  predict(migration);
}

async function checkEverything(migration: PostgresMigration): Promise<Check[]> {
  const { runbook, plan, scope } = migration;
  const { journal } = runbook;
  const { checks, facts } = await run('long', 'Preflight checks on source and target').preflight({
    scope,
    strategy: plan.strategy,
    roles: plan.roles,
    waivers: plan.waivers,
    snapshot: plan.snapshot,
    validation: plan.validation,
    rehearsal: plan.rehearsal,
    triggers: plan.rollbackTriggers,
    afterwards: plan.afterwards,
    retire: plan.retire,
    ...(plan.strategy === 'cdc' ? { cdc: plan.cdc, reverseReplication: plan.reverseReplication } : {}),
    ...(plan.strategy === 'incremental' ? { incremental: plan.incremental } : {}),
    ...transformationsOf(plan),
  });
  if (plan.application) {
    checks.push(
      await run('application', 'Is the application reachable and does it know us').checkApplication({
        application: plan.application,
      }),
    );
  }
  journal.versions = { source: `PostgreSQL ${facts.sourceVersion}`, target: `PostgreSQL ${facts.targetVersion}` };
  requireChecks(migration, checks);
  migration.facts = facts;
  return checks;
}

function recordDecision({ runbook, plan, facts }: PostgresMigration): void {
  const { decision } = plan;
  const minutes = (amount: number | undefined): number | undefined =>
    amount === undefined ? undefined : amount * 60_000;
  const recommendation = recommendStrategy({
    ...needed(facts, 'facts'),
    acceptableDowntimeMs: minutes(decision.acceptableDowntimeMinutes),
    application: plan.application !== undefined,
  });
  runbook.journal.decision = {
    strategy: plan.strategy,
    recommended: recommendation.recommended,
    reasons: recommendation.reasons,
    rationale: decision.rationale,
    estimatedDurationMs: minutes(decision.estimatedDurationMinutes) ?? recommendation.estimatedFreezeMs,
    acceptableDowntimeMs: minutes(decision.acceptableDowntimeMinutes),
  };
  runbook.show();
}

/** From sizes alone: nothing has been tried yet. */
function predict({ runbook, plan, facts }: PostgresMigration): void {
  const { databaseBytes, tables } = needed(facts, 'facts');
  runbook.journal.prediction = predictFromSizes(
    {
      strategy: plan.strategy,
      databaseBytes,
      tables,
      lanes: plan.copy.lanes,
      maxBytesPerSecond: plan.copy.maxBytesPerSecond,
      dumps: plan.snapshot.kind === 'pg_dump',
    },
    runbook.now(),
  );
  runbook.show();
}

/** What the people at the `start` gate should see. */
export function startEvidence(migration: PostgresMigration): string[] {
  const { runbook, plan, facts } = migration;
  const { baseline, decision } = runbook.journal;
  return [
    ...checksEvidence(migration),
    `source PostgreSQL ${facts?.sourceVersion}, target PostgreSQL ${facts?.targetVersion}`,
    `${baseline?.tables} tables, ${baseline?.rows} rows, ${megabytes(baseline?.databaseBytes ?? 0)}`,
    `strategy ${plan.strategy}; the facts speak for ${decision?.recommended}: ${decision?.reasons.join('; ')}`,
    ...(runbook.journal.prediction ? predictionEvidence(runbook.journal.prediction) : []),
    plan.strategy === 'dual-write'
      ? 'writes are not stopped: the application writes to both sides and changes over by itself'
      : `writes may be stopped for at most ${formatDurationMs(parseDurationMs(plan.maxDowntime) ?? 0)}, then the source is reopened`,
  ];
}

/** 512_000_000 -> "512 MB": decimal megabytes. */
export function megabytes(bytes: number): string {
  return bytes < 10_000_000 ? `${(bytes / 1_000_000).toFixed(1)} MB` : `${Math.round(bytes / 1_000_000)} MB`;
}
