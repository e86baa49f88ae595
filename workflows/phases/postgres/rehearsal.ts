// Runbook section 3: the backup is restored on a scratch server, and the whole migration is carried out there first, with its way back. What it
// measured is the evidence of the gate, and the prediction.
import {
  ApplicationFailure,
  CancellationScope,
  ChildWorkflowCancellationType,
  executeChild,
  isCancellation,
  ParentClosePolicy,
} from '@temporalio/workflow';
import type { ScratchInventories } from '../../../activities/postgres/rehearsal';
import type { SnapshotResult } from '../../../activities/postgres/snapshot';
import { predictFromRehearsal, predictionEvidence } from '../../../journal/prediction';
import { formatCount } from '../../../journal/quantities';
import type { Journal, RehearsalRecord } from '../../../journal/types';
import { formatDurationMs } from '../../../plan/duration';
import type { RehearsalServers } from '../../../plan/rehearsal';
import { run } from '../../activity-options';
import { describeFailure } from '../../logbook';
import type { MigrationResult } from '../../messages';
import type { postgresMigration } from '../../postgres-migration';
import { rehearsalPlan } from '../../rehearsal-plan';
import { needed } from '../migration';
import type { PostgresMigration } from './migration';
import { rejectsWords } from './transformations';

/** The scratch databases of one migration, from where they were found empty to where they are empty again. */
interface Scratch {
  servers: RehearsalServers;
  inventories?: ScratchInventories;
  /** Nothing of ours is there any more: a rollback weeks later does not need these servers. */
  emptied?: boolean;
  /** `servers`, bound to what the guard of the last rehearsal has seen. */
  bound?: RehearsalServers;
  /** Workflow ids of the rehearsals. */
  children: string[];
}

/** Restores, rehearses, and opens the gate. A rehearsal that failed blocks: `retry` restores and runs another one, the gate never opens for it. */
export async function rehearse(
  migration: PostgresMigration,
  servers: RehearsalServers,
  taken: SnapshotResult,
): Promise<void> {
  const { runbook, scope, plan } = migration;
  const scratch: Scratch = { servers, children: [] };
  runbook.phase('rehearsal');
  const guarded = await runbook.step(
    'scratch',
    'Look at the scratch servers: apart from production, and empty',
    async () => {
      const prepared = await run('long', 'Guard of the rehearsal; scratch databases are empty').prepareScratch({
        scope,
        rehearsal: servers,
        filledByHand: taken.artifact === undefined,
      });
      scratch.inventories = prepared.inventories;
      return prepared;
    },
    {
      undoTitle: 'Empty the scratch databases',
      undo: () => emptyScratch(migration, scratch),
      describe: ({ evidence }) => evidence.join('; ').slice(0, 600),
    },
  );
  const restored = await runbook.step(
    'verify-snapshot',
    taken.artifact ? 'Prove that the backup restores, into the scratch source' : 'Verify the backup',
    () => restore(migration, scratch, taken),
    { describe: ({ method, evidence }) => `${method}: ${evidence.join('; ')}`.slice(0, 400) },
  );
  await runbook.step(
    'rehearse',
    'Carry the migration and its way back out on the scratch servers',
    async () => {
      // Whatever another one has left: it begins with what was restored.
      if (scratch.children.length > 0) {
        await emptyScratch(migration, scratch);
        await restore(migration, scratch, taken);
      }
      return rehearseOnce(migration, scratch);
    },
    { describe: (record) => describeRehearsal(record) },
  );
  await runbook.step(
    'empty-scratch',
    'Empty the scratch databases',
    async () => {
      const said = await emptyScratch(migration, scratch);
      scratch.emptied = true;
      return said;
    },
    { skippable: true, describe: (said) => said },
  );
  const record = needed(runbook.journal.rehearsal, 'rehearsal');
  const prediction = predictFromRehearsal(record, runbook.journal.baseline?.databaseBytes ?? 0, runbook.now());
  runbook.journal.prediction = prediction;
  await runbook.gate('go-live', [
    `the backup was verified by ${restored?.method}`,
    ...rehearsalEvidence(record),
    ...(plan.strategy === 'dual-write'
      ? [
          'not rehearsed, since no application writes to scratch servers: its repeats, rows that they change during the backfill, the switch, and the way back after it',
        ]
      : []),
    ...predictionEvidence(prediction),
    ...(restored?.evidence ?? []),
    ...(guarded?.evidence ?? []),
  ]);
}

async function restore({ scope, plan }: PostgresMigration, { servers, inventories }: Scratch, result: SnapshotResult) {
  const inventory = inventories?.source;
  return run('long', 'Restore the backup into the scratch source').verifySnapshot({
    scope,
    snapshot: plan.snapshot,
    result,
    ...(inventory ? { restore: { servers, inventory } } : {}),
  });
}

/** One child, to its end. @throws PreconditionFailed with what it failed by; what stops the migration itself passes */
async function rehearseOnce(migration: PostgresMigration, scratch: Scratch): Promise<RehearsalRecord> {
  const { runbook, plan, scope } = migration;
  const { journal } = runbook;
  const attempt = scratch.children.length + 1;
  const child = `${scope.migration}-rehearsal-${attempt}`;
  const followed = plan.strategy === 'cdc' && plan.reverseReplication;
  // It goes on for hours, on other workers too: its servers are bound to what the guard has seen.
  const { servers = scratch.servers } = await run('undo', 'Guard of the rehearsal').guardRehearsal({
    scope,
    rehearsal: scratch.servers,
  });
  scratch.bound = servers;
  const started = runbook.now();
  const record: RehearsalRecord = {
    startedAt: started.toISOString(),
    errors: [],
    planDigest: journal.plan.digest,
    child,
    attempt,
    rollback: { rehearsed: false, way: followed ? 'hand-over' : 'undo' },
  };
  journal.rehearsal = record;
  scratch.children.push(child);
  try {
    note(record, await runChild(migration, servers, child), journal.baseline);
  } catch (error) {
    record.errors.push(isCancellation(error) ? `${child} was cancelled` : describeFailure(error));
    if (isCancellation(error) && CancellationScope.current().consideredCancelled) throw error;
  } finally {
    record.outcome = record.errors.length === 0 ? 'passed' : 'failed';
    record.endedAt = runbook.now().toISOString();
    record.durationMs = runbook.now().getTime() - started.getTime();
    runbook.show();
  }
  if (record.outcome === 'passed') return record;
  throw ApplicationFailure.nonRetryable(
    `The rehearsal ${child} failed: ${record.errors.join('; ')}. Production was not touched. Mend the cause and retry: the backup is restored and rehearsed anew; if the plan is wrong, roll back and start again with a better one.`,
    'PreconditionFailed',
  );
}

async function runChild(
  { plan, scope }: PostgresMigration,
  servers: RehearsalServers,
  child: string,
): Promise<MigrationResult> {
  return executeChild<typeof postgresMigration>('postgresMigration', {
    workflowId: child,
    args: [rehearsalPlan(plan, servers), { rehearse: 'rollback' }],
    // Who ends the migration has its rehearsal go back as well, and waits for that.
    parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
    cancellationType: ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
    staticSummary: `Rehearses ${scope.migration} on scratch servers, there and back`,
  });
}

/** What the child told, as errors where it is no pass. */
function note(record: RehearsalRecord, result: MigrationResult, production: Journal['baseline']): void {
  const { rehearsal: found, rows, reportArtifact } = result;
  record.rows = rows;
  record.report = reportArtifact;
  if (!found) {
    record.errors.push('it told nothing of what it found');
    return;
  }
  const { reached, failure, validationPassed, validations, rollbackMs, left, steps, databaseBytes, rejects } = found;
  Object.assign(record, { steps, validations, databaseBytes, ...(rejects ? { rejects } : {}) });
  record.validationPassed = validationPassed;
  record.sizeRatio = ratioOf(production, { rows, databaseBytes });
  if (!reached) record.errors.push(failure ?? 'it went back before its end');
  else if (validationPassed !== true) record.errors.push('its validation did not pass');
  if (left.length > 0) record.errors.push(`left behind: ${left.join(', ')}`);
  if (record.rollback && reached && left.length === 0)
    Object.assign(record.rollback, { rehearsed: true, durationMs: rollbackMs });
}

function ratioOf(
  production: Journal['baseline'],
  { rows = '0', databaseBytes = 0 }: { rows?: string; databaseBytes?: number },
): number | undefined {
  if (!production) return undefined;
  if (BigInt(rows) > 0n) return Number(production.rows) / Number(rows);
  return databaseBytes > 0 ? production.databaseBytes / databaseBytes : undefined;
}

/** Everything that a rehearsal made, whether it went back by itself or not. @throws when something cannot be removed */
async function emptyScratch({ runbook, scope, plan }: PostgresMigration, scratch: Scratch): Promise<string> {
  const { servers, inventories, children } = scratch;
  if (scratch.emptied) return 'was emptied before';
  if (!inventories) return 'nothing was made there';
  const last = children.at(-1);
  if (plan.strategy === 'cdc' && last !== undefined && runbook.journal.rehearsal?.outcome !== 'passed') {
    // It may have died halfway, and a slot that is left holds back WAL.
    const { source, target, sourceFromTarget, targetFromSource } = scratch.bound ?? servers;
    await run('undo', `Remove the streams of ${last}`).removeStreams({
      scope: { migration: last, source, target, tables: scope.tables, links: { sourceFromTarget, targetFromSource } },
    });
  }
  const { dropped, left } = await run('undo', 'Empty the scratch databases').emptyScratch({
    scope,
    rehearsal: servers,
    inventories,
  });
  if (left.length > 0) throw new Error(`still on the scratch servers: ${left.slice(0, 10).join('; ')}`);
  return `${dropped} objects removed`;
}

function describeRehearsal({ rows, durationMs, rollback }: RehearsalRecord): string {
  return `${formatCount(rows ?? '0')} rows, there and back in ${formatDurationMs(durationMs ?? 0)}, the way back in ${formatDurationMs(rollback?.durationMs ?? 0)}`;
}

/** Of a gate's evidence: the longest steps by name; the report has all. */
const stepsNamed = 8;

/** The runbook's table of the dry run, a line each. */
export function rehearsalEvidence(record: RehearsalRecord): string[] {
  const {
    child,
    outcome,
    durationMs,
    rows,
    errors,
    validationPassed,
    validations,
    rollback,
    steps = [],
    report,
    planDigest,
  } = record;
  const longest = [...steps].sort((left, right) => right.durationMs - left.durationMs).slice(0, stepsNamed);
  const way =
    rollback?.way === 'hand-over' ? 'by a hand-over back, without a loss' : 'by undoing everything before the switch';
  return [
    `rehearsal ${child}: ${outcome}, there and back in ${formatDurationMs(durationMs ?? 0)}`,
    `rows migrated: ${formatCount(rows ?? 'unknown')}; errors: ${errors.length === 0 ? 'none' : errors.join('; ')}`,
    `validation: ${validationPassed ? 'passed' : 'did not pass'}${validations ? `, ${validations.passed} of ${validations.of}` : ''}`,
    `rollback rehearsed: ${rollback?.rehearsed ? `yes, ${way}, in ${formatDurationMs(rollback.durationMs ?? 0)}` : 'no'}`,
    `steps: ${longest.map(({ id, durationMs: ms }) => `${id} ${formatDurationMs(ms)}`).join(', ')}`,
    ...rejectsWords(record.rejects),
    ...(planDigest ? [`the plan that was rehearsed has the digest ${planDigest}`] : []),
    ...(report ? [`its report: ${report}`] : []),
  ];
}
