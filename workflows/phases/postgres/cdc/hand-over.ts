// The hand-over of writing from one side to the other, the same unit in both directions. Until the point of no return everything is undone when
// the deadline passes; the point lies before the new side is opened, and at that time the other one follows it already, so what comes
// after is undone by another hand-over. Never two writable sides.
import { otherSide, writingSide } from '../../../../journal/sides';
import type { HandOverRecord, ValidationRecord } from '../../../../journal/types';
import { formatDurationMs, parseDurationMs } from '../../../../plan/duration';
import { run } from '../../../activity-options';
import { endDowntime } from '../../downtime';
import { needed } from '../../migration';
import { requirePassed } from '../../proof';
import { stopWrites } from '../freeze';
import type { CdcMigration } from './migration';

/** @param why for the report: "gate cutover was approved" @throws Interrupted `deadline` when the switch was not reached in time */
export async function handOver(migration: CdcMigration, why: string): Promise<void> {
  const { runbook, plan } = migration;
  const from = writingSide(migration.leg);
  const to = otherSide(from);
  const record: HandOverRecord = {
    from,
    to,
    startedAt: runbook.now().toISOString(),
    outcome: 'under-way',
    parts: [],
    why,
  };
  runbook.journal.handOvers = [...(runbook.journal.handOvers ?? []), record];
  const limitMs = needed(parseDurationMs(plan.maxDowntime), 'maxDowntime');
  const deadline = {
    summary: `Writes may be stopped for ${plan.maxDowntime}`,
    over: `${formatDurationMs(limitMs)} without writes have passed before the ${to} was switched to`,
  };
  try {
    await rememberAccess(migration);
    if (!plan.application) await stopWrites(migration, from);
    await runbook.withDeadline(limitMs, deadline, async () => {
      if (plan.application) await stopWrites(migration, from);
      await freeze(migration, record);
      await turn(migration, record);
      runbook.pointOfNoReturn();
      migration.leg += 1;
      migration.following = plan.reverseReplication;
      migration.pending = undefined;
      forgetTheLegBefore(migration);
      // An application that cannot be switched in time goes back; on the way back itself there is nowhere else to go.
      if (plan.reverseReplication && to === 'target') await open(migration, record);
    });
    if (!plan.reverseReplication || to === 'source') await open(migration, record);
    await complete(migration, record);
  } catch (error) {
    record.outcome = 'given-up';
    throw error;
  }
}

/** What was seen of the streams, of the target and of its losses was seen of another time: nobody may decide by it. */
function forgetTheLegBefore({ runbook: { journal }, leg }: CdcMigration): void {
  delete journal.replication;
  delete journal.loss;
  if (writingSide(leg) !== 'target') return;
  delete journal.monitoring;
  delete journal.reason;
}

async function complete(migration: CdcMigration, record: HandOverRecord): Promise<void> {
  const { runbook } = migration;
  await switchByHand(migration);
  endDowntime(migration);
  record.outcome = 'switched';
  record.outageMs = runbook.now().getTime() - Date.parse(runbook.journal.downtime?.startedAt ?? record.startedAt);
}

/** Neither side takes writes. */
export function isFrozen({ runbook: { journal } }: CdcMigration): boolean {
  return journal.downtime !== undefined && journal.downtime.endedAt === undefined;
}

/** After the point of no return one side has to be in use, whatever else was asked for meanwhile: does what is left, if anything is. */
export async function finishHandOver(migration: CdcMigration): Promise<void> {
  const record = migration.runbook.journal.handOvers?.findLast(({ to }) => to === writingSide(migration.leg));
  if (!record || !isFrozen(migration)) return;
  await open(migration, record);
  await complete(migration, record);
}

/** Read once and before the outage: under a fence it would read the fence. */
async function rememberAccess(migration: CdcMigration): Promise<void> {
  const { runbook, scope } = migration;
  if (migration.access.source) return;
  migration.access.source = await runbook.step(
    'inspect-access',
    'Record who may connect to the source now',
    () => run('brisk', 'Record access to the source before the fence').inspectAccess({ scope, side: 'source' }),
    { describe: ({ connectionLimit, mechanism }) => `connection limit ${connectionLimit}, fence by ${mechanism}` },
  );
  migration.sourceAccess = migration.access.source;
}

/** The old side is shut, nothing writes to it, and everything that was written has arrived on the other. */
async function freeze(migration: CdcMigration, record: HandOverRecord): Promise<void> {
  const { runbook, scope, leg } = migration;
  const from = writingSide(leg);
  const former = needed(migration.access[from], `access to the ${from}`);
  const { source, target } = migration.fingerprints;
  await runbook.step(
    'fence',
    `Raise the fence on the ${from}, prove silence, and see that everything has arrived`,
    async () => {
      const frozen = await run('brisk', `Fence, silence and drain of the ${from}`).freezeAndDrain({
        scope,
        leg,
        former,
        ...(source && target ? { fingerprints: { source, target } } : {}),
      });
      record.parts.push(...frozen.parts);
      return frozen;
    },
    {
      downtime: true,
      evenPaused: true,
      givesUp: true,
      undoTitle: `Lower the fence on the ${from}`,
      undo: async () => {
        const { lowered } = await run('quickUndo', `Lower the fence on the ${from}`).lowerFence({
          scope,
          side: from,
        });
        return lowered ? `the ${from} takes writes again` : 'the fence was not up';
      },
      describe: ({ endedSessions, holes, evidence }) =>
        `${endedSessions} sessions ended; ${evidence.join('; ')}${holes.length > 0 ? `; not kept out: ${holes.join(', ')}` : ''}`,
    },
  );
}

/** Sequences, what streams do not carry, a last comparison, and the stream the other way; all at once, since nobody writes anywhere. */
async function turn(migration: CdcMigration, record: HandOverRecord): Promise<void> {
  const { runbook, plan, scope, leg, pending } = migration;
  const { cdc, reverseReplication } = plan;
  await runbook.step(
    'turn',
    `Carry sequences, compare once more, ${reverseReplication ? 'turn the stream round' : 'note the write counters'}`,
    async () => {
      const [carried, compared, turned] = await together(
        run('long', 'Sequences, unlogged tables').carryUnderFence({
          scope,
          leg,
          margin: cdc.sequenceMargin,
          largeObjects: cdc.largeObjects === 'copy-under-fence' && leg === 0,
          refreshViews: cdc.materializedViews === 'under-fence',
        }),
        run('long', 'Compare the hottest tables').compareUnderFence({
          scope,
          leg,
          budgetBytes: Math.round(cdc.freezeDigestMegabytes * 1_000_000),
          ...(pending ? { pending } : {}),
        }),
        turnRound(migration),
      );
      record.parts.push(...carried.parts, ...compared.parts, ...turned.parts);
      keepRecords(migration, compared.records);
      return { sequences: carried.sequences, tables: compared.records.length };
    },
    {
      downtime: true,
      evenPaused: true,
      givesUp: true,
      undoTitle: 'Turn the stream back',
      undo: async () => {
        if (!reverseReplication) return 'there is no stream the other way';
        await run('undo', 'Turn the stream back').turnBack({ scope, leg });
        return 'the streams are as before';
      },
      describe: ({ sequences, tables }) => `${sequences} sequences; ${tables} comparisons under the fence`,
    },
  );
}

/** Waits for all of them, also when one fails: nothing may still be at work when that is undone. */
async function together<One, Two, Three>(
  one: Promise<One>,
  two: Promise<Two>,
  three: Promise<Three>,
): Promise<[One, Two, Three]> {
  await Promise.allSettled([one, two, three]);
  return Promise.all([one, two, three]);
}

/** The stream the other way; and the mark from which is counted what going back would lose, should that stream not be there or break. */
async function turnRound(migration: CdcMigration): Promise<{ parts: HandOverRecord['parts'] }> {
  const { plan, scope, leg } = migration;
  const marking =
    writingSide(leg) === 'source'
      ? run('brisk', 'Write counters of the target at the switch').markWrites({ scope })
      : Promise.resolve(undefined);
  const turning = plan.reverseReplication
    ? run('brisk', 'Turn the stream round').turnStreams({ scope, leg })
    : Promise.resolve({ parts: [] });
  await Promise.allSettled([marking, turning]);
  migration.writeMark = (await marking) ?? migration.writeMark;
  return turning;
}

/** Beside those of the moving data; whatever differs under the fence stops the hand-over. */
function keepRecords(migration: CdcMigration, records: ValidationRecord[]): void {
  requirePassed(migration, records);
}

/** The new side is opened and the application switched to it. The point of no return lies behind: a failure is undone by going back. */
async function open(migration: CdcMigration, record: HandOverRecord): Promise<void> {
  const { runbook, plan, scope, leg } = migration;
  const { application } = plan;
  const to = writingSide(leg);
  runbook.phase('switch');
  const timed = async <Result>(name: string, work: () => Promise<Result>): Promise<Result> => {
    const started = runbook.now().getTime();
    const result = await work();
    record.parts.push({ name, ms: runbook.now().getTime() - started });
    return result;
  };
  await timed('open', () =>
    runbook.step(
      'open',
      `Open the ${to} for writes`,
      () => run('brisk', `Lower the fence on the ${to}`).lowerFence({ scope, side: to }),
      { downtime: true, evenPaused: true, againByItself: true, describe: () => `the ${to} takes writes` },
    ),
  );
  if (!application) return;
  const name = to === 'target' ? application.switchTarget : application.switchSource;
  await timed('switch-datastore', () =>
    runbook.step(
      'switch-datastore',
      `Switch the application to ${name}`,
      () => run('application', `POST /admin/switch-datastore ${name}`).switchDatastore({ application, to }),
      { downtime: true, evenPaused: true, againByItself: true, describe: () => `uses ${name}` },
    ),
  );
  await timed('normal-mode', () =>
    runbook.step(
      'normal-mode',
      `Take the application back to normal mode, on the ${to}`,
      () => run('application', 'POST /admin/normal-mode').setNormalMode({ application }),
      {
        downtime: true,
        evenPaused: true,
        againByItself: true,
        describe: () => `the application writes to the ${to}`,
      },
    ),
  );
}

/** Where the plan names no application. The new side is open, the old one shut: it has to be done before anything can go on. */
async function switchByHand({ runbook, plan, leg }: CdcMigration): Promise<void> {
  if (plan.application) return;
  const to = writingSide(leg);
  await runbook.insist('switch-application', [
    `the ${to} is open and complete; the ${otherSide(to)} is fenced and follows it`,
    `point the application at the ${to}, let it write, and approve`,
  ]);
}

/** After the outage: what the application saw, and an end to the streams of the old direction, which hold back WAL. */
export async function afterHandOver(migration: CdcMigration): Promise<void> {
  const { runbook } = migration;
  const { application } = migration.plan;
  const record = runbook.journal.handOvers?.at(-1);
  if (application && record) {
    await runbook.step(
      'measure-freeze',
      'Ask the application how long it could not write',
      async () => {
        const { freezeMs } = await run('application', 'GET /admin/status').measureFreeze({ application });
        record.freezeMs = freezeMs;
        return freezeMs;
      },
      {
        skippable: true,
        describe: (ms) => (ms === undefined ? 'it does not tell' : `${ms} ms between its last and its first write`),
      },
    );
  }
  await settle(migration);
  if (migration.following) await rehearseTurn(migration);
}

/** What a hand-over leaves to do once nobody waits: an end to the streams of before, which hold back WAL, and the next one prepared. */
export async function settle(migration: CdcMigration): Promise<void> {
  const { runbook, plan, scope, leg } = migration;
  if (migration.settledLeg < leg) {
    await runbook.step(
      'drop-old-streams',
      `Drop the streams to the ${writingSide(leg)}`,
      () => run('long', 'Drop the streams of before').dropLeg({ scope, leg: leg - 1 }),
      { againByItself: true, describe: ({ dropped }) => `${dropped.length} objects dropped` },
    );
    migration.settledLeg = leg;
  }
  if (plan.reverseReplication && migration.preparedLeg <= leg) await prepareNextLeg(migration);
}

/** Publication, replica identities and marker of the stream the other way: what can be made before an outage. */
export async function prepareNextLeg(migration: CdcMigration): Promise<void> {
  const { runbook, plan, scope, leg } = migration;
  const { tablesWithoutKey } = plan.cdc;
  await runbook.step(
    'prepare-way-back',
    `Prepare the stream from the ${otherSide(writingSide(leg))} to the ${writingSide(leg)}`,
    () => run('long', 'Prepare the other direction').prepareStreaming({ scope, leg: leg + 1, tablesWithoutKey }),
    { againByItself: true, describe: ({ tables }) => `${tables} tables` },
  );
  migration.preparedLeg = leg + 1;
}

/** The whole road of a turn, tried with a marker alone: connection, privileges, free slots and workers. */
export async function rehearseTurn({ runbook, scope, leg }: CdcMigration): Promise<void> {
  await runbook.step(
    'rehearse-turn',
    `Try the stream from the ${otherSide(writingSide(leg))} to the ${writingSide(leg)}`,
    () => run('long', 'Rehearse the turn of the streams').rehearseTurn({ scope, leg }),
    { describe: ({ ms, evidence }) => `${evidence.join('; ')} (${formatDurationMs(ms)})` },
  );
}
