// Before the outage it is known how long it will be: what the freeze has to do is done once while the source is in use, and passes are made
// until the last one fits. While people think at the gate, passes go on; a change of the schema stops the way.
import { ApplicationFailure, CancellationScope, condition, isCancellation, sleep } from '@temporalio/workflow';
import type { FreezeForecast, PassRecord } from '../../../../journal/types';
import { formatDurationMs, parseDurationMs } from '../../../../plan/duration';
import { run } from '../../../activity-options';
import { describeFailure } from '../../../logbook';
import { needed } from '../../migration';
import { requireSameSchema } from '../schema-unchanged';
import { compareSchemas } from '../validation';
import { forecastFreeze } from './forecast';
import type { PassMigration } from './migration';
import { describePass, makePass } from './pass';

/** Passes while a gate is open: after this, then ever more rarely. */
const firstPauseMs = 15_000;
const growth = 1.5;
/** Months at a gate must stay far from what a history can hold. */
const longestPauseMs = 6 * 3_600_000;
/** A source in use is left alone for at least so many times as long as the last pass took. */
const restAfterPass = 4;
/** What was brought over so recently needs no other pass before the freeze. */
const freshMs = 10_000;
const shownPasses = 3;

/** Measures what no pass is, then makes passes until the last one fits or another one would bring nothing. */
export async function makeReady(migration: PassMigration): Promise<void> {
  const { runbook } = migration;
  runbook.phase('catch-up');
  migration.misfitAccepted = false;
  await rehearseFreeze(migration);
  await runbook.step(
    'passes',
    'Make passes until what is left fits into the freeze',
    async () => {
      await requireSameSchema(migration);
      return passUntilItFits(migration);
    },
    { describe: ({ verdict }) => verdict },
  );
}

/** What the freeze will have to do beside the last pass, done once while nobody waits for it. */
async function rehearseFreeze(migration: PassMigration): Promise<void> {
  const { runbook, plan, scope, facts } = migration;
  const { journal } = runbook;
  const timed = async (work: () => Promise<unknown>): Promise<number> => {
    const started = runbook.now().getTime();
    await work();
    return runbook.now().getTime() - started;
  };
  let attempt = 0;
  await runbook.step(
    'measure-proof',
    'Compare every row while it moves, to know how long the proof will take',
    async () => {
      attempt += 1;
      const viewsMs = await timed(() =>
        run('long', 'Refresh materialized views').refreshFollowingViews({ scope, leg: 0 }),
      );
      const objectsMs =
        (facts?.largeObjects ?? 0) > 0
          ? await timed(() => run('long', 'Copy large objects').copyLargeObjects({ scope }))
          : 0;
      const compareMs = await timed(() =>
        run('long', 'Digest every table in both databases').compareTables({
          scope,
          checksum: plan.validation.checksum,
          lanes: plan.copy.lanes,
          attempt: `${journal.runId}-measured-${runbook.now().getTime()}-${attempt}`,
          takeApart: false,
        }),
      );
      // Views and large objects are brought over and then compared.
      migration.besides = { compareMs, restMs: 2 * (viewsMs + objectsMs) };
      return migration.besides;
    },
    {
      describe: ({ compareMs, restMs }) =>
        `every row in ${formatDurationMs(compareMs)}, views and large objects in ${formatDurationMs(restMs)}`,
    },
  );
  // After the large objects: their owners and privileges are part of the schema.
  const schemasMs = await timed(() => compareSchemas(migration, false));
  const { compareMs, restMs } = needed(migration.besides, 'measured proof');
  migration.besides = { compareMs, restMs: restMs + schemasMs };
}

/** One pass at least, since what was measured before has no end in it; then as many as bring it nearer. */
async function passUntilItFits(migration: PassMigration): Promise<FreezeForecast> {
  migration.series = [];
  for (;;) {
    await makePass(migration, 'until the freeze can begin');
    // A time with a pause in it tells nothing.
    if (migration.series.length === 0) continue;
    const { again, forecast } = judge(migration);
    if (!again) return forecast;
  }
}

function judge(migration: PassMigration): { again: boolean; forecast: FreezeForecast } {
  const { runbook, plan, series } = migration;
  const { again, ...forecast } = forecastFreeze({
    series,
    ...needed(migration.besides, 'measured proof'),
    limitMs: needed(parseDurationMs(plan.maxDowntime), 'maxDowntime'),
    maxPasses: plan.incremental.maxPasses,
  });
  runbook.journal.forecast = { ...forecast, madeAt: runbook.now().toISOString() };
  runbook.show();
  return { again, forecast: runbook.journal.forecast };
}

/** Opens the gate, and goes on making passes beside it, ever more rarely. */
export async function passingBeside(migration: PassMigration, openGate: () => Promise<void>): Promise<void> {
  const { runbook } = migration;
  const told = runbook.journal.forecast;
  const beside = new CancellationScope();
  const passing = beside.run(() => passNowAndThen(migration));
  passing.catch(() => undefined);
  try {
    await openGate();
  } finally {
    beside.cancel();
    await CancellationScope.nonCancellable(() => passing.catch(() => undefined));
  }
  const byPeople = runbook.journal.gates.findLast(({ name }) => name === 'cutover')?.state === 'approved';
  migration.misfitAccepted = byPeople && told?.fits === false;
}

async function passNowAndThen(migration: PassMigration): Promise<void> {
  const { runbook } = migration;
  let lastWords = '';
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * growth, longestPauseMs)) {
    const restMs = restAfterPass * (migration.series.at(-1) ?? 0);
    await sleep(Math.max(pauseMs, Math.min(restMs, longestPauseMs)), { summary: 'Until another pass is made' });
    await condition(() => !runbook.paused);
    try {
      await requireSameSchema(migration);
      await makePass(migration, 'while the gate is open', { beside: true });
      if (migration.series.length > 0) judge(migration);
    } catch (error) {
      // Only to keep the last one small: what is needed for a freeze is looked at again before it.
      if (isCancellation(error)) throw error;
      const words = describeFailure(error);
      if (words !== lastWords) runbook.note(`While gate cutover is open: ${words}`);
      lastWords = words;
    }
  }
}

/** After the gate: the schema is as it was, and nothing much is left. What cannot end in time is not begun, unless people have said so. */
export async function lastLook(migration: PassMigration): Promise<void> {
  const { runbook } = migration;
  runbook.phase('catch-up');
  let tries = 0;
  await runbook.step(
    'ready',
    'Look whether a freeze may begin',
    async () => {
      tries += 1;
      await requireSameSchema(migration);
      const { forecast } = runbook.journal;
      const fresh = runbook.now().getTime() - (migration.caughtUpAt?.getTime() ?? 0) < freshMs;
      const now = tries === 1 && fresh && forecast ? forecast : await passUntilItFits(migration);
      if (!now.fits && !migration.misfitAccepted)
        throw ApplicationFailure.nonRetryable(
          `The freeze would not end in time: ${now.verdict}. Send retry to make passes anew; skip begins the freeze all the same, and after maxDowntime the source is opened again.`,
          'PreconditionFailed',
        );
      return now;
    },
    { skippable: true, describe: ({ verdict }) => verdict },
  );
}

/** What the people at the gate should see. */
export function passesEvidence({ runbook }: PassMigration): string[] {
  const { forecast, passes = [], copy } = runbook.journal;
  const parts = forecast
    ? `: the last pass ${formatDurationMs(forecast.passMs)}, comparing every row ${formatDurationMs(forecast.compareMs)}, the rest ${formatDurationMs(forecast.restMs)}`
    : '';
  return [
    `predicted freeze: ${forecast?.verdict ?? 'unknown'}${parts}`,
    ...(forecast?.fits === false
      ? [`IT DOES NOT FIT: approve only if the source may be opened again without a switch`]
      : []),
    `copied while the source was in use: ${copy?.rows ?? 'unknown'} rows; ${passes.length + (runbook.journal.passesNotListed ?? 0)} passes since`,
    ...passes.slice(-shownPasses).map(passLine),
    'passes go on while this gate is open, and one more is made after it; nothing is copied again when the time runs out',
    'going back after the switch loses what was written since: there is no reverse stream',
  ];
}

function passLine(record: PassRecord): string {
  const { pass, durationMs } = record;
  return `pass ${pass}: ${durationMs === undefined ? 'not finished' : formatDurationMs(durationMs)}, ${describePass(record)}`;
}
