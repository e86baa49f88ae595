// Everything that can be known before the switch: parity for so many rounds, schemas, declared checks; then people decide while rounds go on.
import { run } from '../../../activity-options';
import { recordsEvidence, requirePassed } from '../../proof';
import { checkTarget, compareSchemas, schemaEvidence } from '../validation';
import { untilParity } from './reconcile';
import type { DualWriteMigration } from './migration';
import { countFailedRepeats, reconciliationOf, whileRoundsGoOn } from './rounds';

export async function makeReady(migration: DualWriteMigration): Promise<void> {
  const { runbook, plan, scope } = migration;
  const { dualWrite } = plan;
  runbook.phase('reconcile');
  await untilParity(migration, {
    rounds: dualWrite.parityRounds,
    repair: dualWrite.repair,
    maxRows: dualWrite.maxRepairRows,
  });
  runbook.phase('validate');
  runbook.journal.validation = [];
  keepParity(migration);
  // The target follows the source as in the first leg of a stream: what refreshes its views needs to know no more.
  await runbook.step(
    'refresh-views',
    'Refresh the materialized views of the target',
    () => run('long', 'Refresh materialized views').refreshFollowingViews({ scope, leg: 0 }),
    { skippable: true, describe: ({ views }) => (views === 0 ? 'there are none' : `${views} refreshed`) },
  );
  await compareSchemas(migration, false);
  await checkTarget(migration, false);
}

/** Parity as a line of the validation table. */
function keepParity(migration: DualWriteMigration): void {
  const { rounds, parityWanted, rows, tables, moving } = reconciliationOf(migration);
  const what = `${rows} rows in ${tables} tables`;
  requirePassed(migration, [
    {
      name: `rows of both sides while both are written to, ${parityWanted} rounds in a row (of ${rounds}), ${moving} moving in the last`,
      source: what,
      target: what,
      outcome: 'pass',
      durationMs: migration.runbook.journal.steps
        .filter(({ id }) => id === 'reconcile')
        .reduce((sum, { durationMs = 0 }) => sum + durationMs, 0),
    },
  ]);
}

export async function decide(migration: DualWriteMigration): Promise<void> {
  const { runbook } = migration;
  await rememberAccess(migration);
  await countFailedRepeats(migration);
  runbook.phase('cutover');
  await whileRoundsGoOn(migration, () => runbook.gate('cutover', cutoverEvidence(migration)));
}

/** For the fence after the target is accepted, and for a way back from there. */
async function rememberAccess(migration: DualWriteMigration): Promise<void> {
  const { runbook, scope } = migration;
  migration.sourceAccess = await runbook.step(
    'inspect-access',
    'Record who may connect to the source now',
    () => run('quick', 'Record access to the source').inspectAccess({ scope, side: 'source' }),
    { describe: ({ connectionLimit, mechanism }) => `connection limit ${connectionLimit}, fence by ${mechanism}` },
  );
}

function cutoverEvidence(migration: DualWriteMigration): string[] {
  const { rounds, parityInARow, rows, moving, repaired, repeatsFailed, measuredAt } = reconciliationOf(migration);
  return [
    `both sides agreed for ${parityInARow} round(s) in a row (of ${rounds}), ${rows} rows, last at ${measuredAt}; ${moving} rows were moving then`,
    repaired.repairs === 0
      ? 'nothing had to be repaired'
      : `${repaired.repairs} repairs: ${repaired.inserted} rows inserted, ${repaired.updated} updated, ${repaired.deleted} deleted`,
    repeatsFailed === undefined
      ? 'the application does not tell how many repeats failed'
      : `${repeatsFailed} repeats failed, as the application tells`,
    recordsEvidence(migration),
    schemaEvidence(migration),
    'the application goes over to the target without maintenance mode; until the target is accepted the source gets every write, and rollback loses nothing',
  ];
}
