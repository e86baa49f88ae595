// Runbook section 5: the proof. Every row of every table, every object, and whatever the plan declares; what could not be
// verified is not passed.
import { ApplicationFailure } from '@temporalio/workflow';
import type { TableRecord } from '../../../journal/types';
import { run } from '../../activity-options';
import { describeRecords, requirePassed } from '../proof';
import type { PostgresMigration } from './migration';
import { compareTransformed, reshapeTarget, transformationsOf } from './transformations';

export async function validate(migration: PostgresMigration): Promise<void> {
  const { runbook, scope } = migration;
  const { journal } = runbook;
  runbook.phase('validate');
  journal.validation = [];
  let attempt = 0;
  const nextAttempt = () => `${journal.runId}-${(attempt += 1)}`;

  await runbook.step(
    'compare-rows',
    'Compare every row of every table',
    async () => {
      const compared = await compareRows(migration, nextAttempt);
      migration.tables = compared.artifact;
      journal.tables = mergeTables(journal.tables ?? [], compared.tables);
      journal.tablesNotListed = compared.tablesNotListed;
      return requirePassed(migration, compared.records);
    },
    { downtime: true, describe: describeRecords },
  );

  await compareTransformed(migration, nextAttempt);

  await runbook.step(
    'compare-objects',
    'Compare sequences and large objects',
    async () => {
      // Unlogged sequences are reset by a crash as well.
      await run('long', 'Carry sequences again').carrySequences({ scope, margin: '0' });
      const sequences = await run('long', 'Compare sequences').compareSequences({ scope });
      const largeObjects = await run('long', 'Compare large objects').compareLargeObjects({ scope });
      return requirePassed(migration, [sequences, largeObjects]);
    },
    { downtime: true, describe: describeRecords },
  );

  await runbook.step(
    'compare-materialized-views',
    'Compare materialized views with the source or with their own query',
    async () =>
      requirePassed(migration, await run('long', 'Compare materialized views').compareMaterializedViews({ scope })),
    { downtime: true, skippable: true, describe: describeRecords },
  );

  await compareSchemas(migration, true);
  await reshapeTarget(migration);
  await checkTarget(migration, true);
}

/** Object by object, in normal form. @param downtime whether the application cannot write meanwhile */
export async function compareSchemas(migration: PostgresMigration, downtime: boolean): Promise<void> {
  const { runbook, plan, scope } = migration;
  const { journal } = runbook;
  const { validation } = plan;
  await runbook.step(
    'fidelity',
    'Compare the schemas of both sides, object by object',
    async () => {
      const compared = await run('long', 'Fidelity of the schema').compareFidelity({
        scope,
        accept: validation.acceptDifferences,
        ...transformationsOf(plan),
      });
      journal.fidelity = {
        compared: compared.compared,
        accepted: compared.accepted,
        differences: compared.differences,
      };
      const unused = compared.unused ?? [];
      if (unused.length > 0)
        runbook.note(`acceptDifferences names what is not there: ${unused.slice(0, 10).join(' | ')}`);
      if (compared.total > 0) {
        throw ApplicationFailure.nonRetryable(
          `${compared.total} differences between the schemas: ${compared.differences.slice(0, 10).join(' | ')}. Mend the target and retry, or roll back and accept them in the plan.`,
          'VerificationMismatch',
        );
      }
      return compared;
    },
    {
      downtime,
      describe: ({ compared, accepted }) =>
        `${compared} properties equal${accepted.length > 0 ? `, ${accepted.length} differences accepted` : ''}`,
    },
  );
}

/** What the plan declares of the target: checks, smoke tests in SQL, query times. */
export async function checkTarget(migration: PostgresMigration, downtime: boolean): Promise<void> {
  const { runbook, plan, scope } = migration;
  const { validation } = plan;
  await runbook.step(
    'declared-checks',
    'Check what the plan declares: no NULLs, assertions',
    async () => requirePassed(migration, await run('long', 'Declared checks').checkDeclared({ scope, validation })),
    { downtime, describe: describeRecords },
  );

  const sqlSmoke = validation.smoke.filter((test) => 'sql' in test);
  if (sqlSmoke.length > 0) {
    await runbook.step(
      'smoke-sql',
      'Smoke tests on the target database',
      async () =>
        requirePassed(
          migration,
          await run('long', 'SQL smoke tests on the target').runSmokeTests({ scope, smoke: sqlSmoke, side: 'target' }),
        ),
      { downtime, skippable: true, describe: describeRecords },
    );
  }

  await runbook.step(
    'performance',
    `Compare the named queries with the baseline (at most ${validation.performance.maxRegressionPercent} % slower)`,
    async () =>
      requirePassed(
        migration,
        await run('long', 'Time the named queries on the target').comparePerformance({
          scope,
          performance: validation.performance,
          baseline: migration.performance,
        }),
      ),
    { downtime, skippable: true, describe: describeRecords },
  );
}

/** Each is one crash of the target between a comparison and the one before; a server that goes on crashing is for people. */
const mostCopiedAgain = 3;

/**
 * A crash of the target empties unlogged tables; the ledger knows, and a lane copies them again. That may happen between the lane and the
 * comparison, or during it: then both are done once more. A strategy may have a repair of its own; what it repaired is not verified either.
 */
async function compareRows({ runbook, plan, scope, repairRows }: PostgresMigration, nextAttempt: () => string) {
  const copyEmptied = async (): Promise<boolean> => {
    const { chunks } = await run('long', 'Copy again what a crash of the target has emptied').copyLane({
      scope,
      lane: 0,
      ...transformationsOf(plan),
    });
    return chunks > 0;
  };
  await copyEmptied();
  for (let copiedAgain = 0; ;) {
    const compared = await run('long', 'Digest every table in both databases').compareTables({
      scope,
      checksum: plan.validation.checksum,
      lanes: plan.copy.lanes,
      attempt: nextAttempt(),
      ...(plan.transformations.length > 0 ? { except: plan.transformations.map(({ table }) => table) } : {}),
    });
    if (compared.unequal === 0) return compared;
    if (copiedAgain < mostCopiedAgain && (await copyEmptied())) {
      copiedAgain += 1;
      if (copiedAgain === mostCopiedAgain)
        runbook.note(
          `The target lost rows in a crash and had them copied again ${copiedAgain} times during one comparison. Look at the log of its server before anything is tried once more.`,
        );
      continue;
    }
    if (!(await repairRows?.(compared))) return compared;
  }
}

/** Smoke tests through the application, once it writes to the target. */
export async function smokeTheApplication(migration: PostgresMigration): Promise<void> {
  const { runbook, plan, scope } = migration;
  const smoke = plan.validation.smoke.filter((test) => 'url' in test);
  if (smoke.length === 0) return;
  await runbook.step(
    'smoke-http',
    'Smoke tests through the application',
    async () =>
      requirePassed(
        migration,
        await run('application', 'HTTP smoke tests').runSmokeTests({ scope, smoke, side: 'target' }),
      ),
    { skippable: true, describe: describeRecords },
  );
}

export function mergeTables(copied: TableRecord[], compared: TableRecord[]): TableRecord[] {
  const byName = new Map(copied.map((row) => [row.table, row]));
  return compared.map((row) => {
    const before = byName.get(row.table);
    const copiedBytes = before?.copiedBytes ?? before?.bytes ?? row.bytes;
    return { ...before, ...row, ...(copiedBytes === row.bytes ? {} : { copiedBytes }) };
  });
}

/** What the people at the `accept` gate should see of the schema. */
export function schemaEvidence({ runbook }: PostgresMigration): string {
  return `schema: ${runbook.journal.fidelity?.differences.length ?? 'unknown number of'} differences`;
}
