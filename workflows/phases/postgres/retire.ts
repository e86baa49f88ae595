// Runbook section 7 for PostgreSQL: a backup of the target, the source kept, and what the plan wants done with it at the end. Each part that
// cannot be undone waits for whoever holds the source.
import { rehearsalServers } from '../../../plan/rehearsal';
import { parseDurationMs } from '../../../plan/duration';
import type { PostgresPlan } from '../../../plan/postgres';
import { partsOf, type RetireParts } from '../../../plan/retire';
import { run } from '../../activity-options';
import { typeOfFailure } from '../../logbook';
import { needed } from '../migration';
import { askUnlessHeld, lookForLeftovers, retain, untilReleased } from '../retention';
import { backUp } from './back-up';
import type { PostgresMigration } from './migration';

/** Backs the target up where the plan says so, keeps the source for the retention time, then retires it. Returns whether its fence stays up. */
export async function retainSource(migration: PostgresMigration): Promise<boolean> {
  const { runbook, plan, scope } = migration;
  const backedUp = await backUpTarget(migration);
  const looks = {
    everyMs: needed(parseDurationMs(plan.afterwards.lookEvery), 'lookEvery'),
    find: () =>
      run('undo', 'Look for anything left behind').findLeftovers({
        scope,
        kept: { sourceFence: true, targetFence: false },
      }),
  };
  const answer = await retain(migration, { words: 'fenced', evidence: [meaningOf(plan), ...backedUp.evidence], looks });
  if (answer === 'rejected') {
    runbook.note('The source is kept as it is: its fence stays up.');
    return true;
  }
  const parts = partsOf(plan.retire);
  if (parts) {
    await lookForLeftovers(runbook, looks.find);
    await retireInParts(migration, parts, backedUp);
    return true;
  }
  if (plan.retire === 'keep-fenced') {
    runbook.note('The source is retired: its fence stays up, its data is not deleted.');
    return true;
  }
  await runbook.step('reopen-source', 'Take the fence away from the source', async () => {
    await untilReleased(runbook);
    return run('quickUndo', 'Lower the fence on the source').lowerFence({ scope, side: 'source' });
  });
  return false;
}

/** What is known of the first backup of the target, for those who decide about the source. */
interface TargetBackup {
  /** The plan asks for one, and it was taken or verified by nobody. */
  leftOut: boolean;
  evidence: string[];
}

async function backUpTarget(migration: PostgresMigration): Promise<TargetBackup> {
  const { runbook, plan } = migration;
  const { targetBackup } = plan.afterwards;
  if (!targetBackup)
    return {
      leftOut: false,
      evidence: ['the plan asks for no backup of the target: be sure that one is there and restores'],
    };
  runbook.phase('target-backup');
  const proved = await backUp(migration, {
    id: 'target-backup',
    what: 'the first backup of the target',
    side: 'target',
    snapshot: targetBackup,
    name: `${plan.name}-target`,
    scratch: rehearsalServers(plan.rehearsal)?.target,
  });
  return proved
    ? { leftOut: false, evidence: proved }
    : { leftOut: true, evidence: ['the first backup of the target was left out, or is not verified'] };
}

/** What approving `retire-source` means, in one line. */
function meaningOf({ retire }: PostgresPlan): string {
  const parts = partsOf(retire);
  if (!parts) return `its fence ${retire === 'keep-fenced' ? 'stays up' : 'is taken away'}; nothing is deleted`;
  return [
    'its fence stays up',
    ...(parts.archive ? ['a last archive of it is taken and verified'] : []),
    ...(parts.drop
      ? ['gate drop-source asks once more before its database is dropped']
      : ['its database is not dropped']),
    ...(parts.command ? [`then the worker runs ${parts.command[0]}`] : []),
  ].join('; ');
}

async function retireInParts(migration: PostgresMigration, parts: RetireParts, backedUp: TargetBackup): Promise<void> {
  const { runbook, scope } = migration;
  const archived = parts.archive ? await archive(migration) : undefined;
  if (parts.drop) {
    if (!archived) {
      runbook.note('The source is kept: its archive was left out, and nothing is dropped without one.');
      return;
    }
    if (backedUp.leftOut) {
      runbook.note(
        'The source is kept: the backup of the target that the plan asks for is not verified, and nothing is dropped before that.',
      );
      return;
    }
    if (!(await drop(migration, [...backedUp.evidence, ...archived]))) return;
  }
  const { command, timeout } = parts;
  if (!command) return;
  const before = runbook.journal.sourceRetired;
  const done = await runbook.step(
    'retire-command',
    `Retire the source by the command of the plan (${command[0]})`,
    async () => {
      await untilReleased(runbook);
      runbook.journal.sourceRetired ??= 'by-command';
      return run('deliberate', `Retire the source by ${command[0]}`).runRetireCommand({ scope, command, timeout });
    },
    { skippable: true, describe: ({ output }) => output.slice(-200) || `${command[0]} ended with exit code 0` },
  );
  if (!done) runbook.journal.sourceRetired = before;
}

/** The evidence for dropping what is archived; undefined when it was left out. */
async function archive(migration: PostgresMigration): Promise<string[] | undefined> {
  const { plan, runbook } = migration;
  await untilReleased(runbook);
  return backUp(migration, {
    id: 'archive-source',
    what: 'a last archive of the source',
    side: 'source',
    snapshot: { kind: 'pg_dump' },
    name: `${plan.name}-last`,
    scratch: rehearsalServers(plan.rehearsal)?.source,
  });
}

/** Asked for by a gate of its own, which names the database: nobody approves that by habit. */
async function drop(migration: PostgresMigration, archived: string[]): Promise<boolean> {
  const { runbook } = migration;
  const { database } = needed(migration.sourceAccess, 'access');
  const words = `drop ${database}`;
  await untilReleased(runbook);
  const answer = await askUnlessHeld(
    runbook,
    'drop-source',
    [
      `the database ${database} of the source (${runbook.journal.plan.source}) is dropped for good; its server, roles and other databases stay`,
      ...archived,
      `to approve, give a reason that holds the words: ${words}`,
    ],
    words,
  );
  if (answer === 'rejected') {
    runbook.note(`The database ${database} of the source is kept, fenced; nothing else was done with it.`);
    return false;
  }
  const done = await runbook.step(
    'drop-source',
    `Drop the database ${database} of the source`,
    dropUnlessHeld(migration, database),
    { skippable: true, describe: ({ dropped }) => (dropped ? 'dropped' : 'was gone already') },
  );
  if (done) return true;
  delete runbook.journal.sourceRetired;
  runbook.note(`The database ${database} of the source was not dropped.`);
  return false;
}

/** Failures after which the database is certainly as it was: the server was not asked to drop it, or has refused. */
const leftAlone: ReadonlySet<string | undefined> = new Set(['PreconditionFailed', 'TargetUnavailable', 'AuthDenied']);

/** The action of a step, which may be tried weeks after the gate was approved: every time it waits for those who hold the source by then. */
function dropUnlessHeld({ runbook, scope }: PostgresMigration, database: string): () => Promise<{ dropped: boolean }> {
  let unsure = false;
  return async () => {
    await untilReleased(runbook);
    // From here on there may be nothing to go back to.
    runbook.journal.sourceRetired = 'dropped';
    try {
      return await run('deliberate', `Drop the database ${database} of the source`).dropSourceDatabase({
        scope,
        database,
      });
    } catch (error) {
      unsure ||= !leftAlone.has(typeOfFailure(error));
      if (!unsure) delete runbook.journal.sourceRetired;
      throw error;
    }
  };
}
