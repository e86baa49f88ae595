// After the switch, for every migration: watch the new side, and let people accept it.
import type { Journal, TriggerRecord } from '../../journal/types';
import { parseDurationMs, formatDurationMs } from '../../plan/duration';
import { Interrupted } from '../runbook';
import { describeTriggers, mergeTriggers } from './triggers';
import { needed, type Migration } from './migration';
import { recordsEvidence } from './proof';

/** Of all breaches; more say nothing new. */
const breachesListed = 20;

/** What one look at the new side saw. */
export interface Seen {
  samples: number;
  errors: number;
  errorRatePercent: number;
  slowdownPercent?: number;
  breaches: string[];
  /** What each trigger beside the error rate saw. */
  triggers?: TriggerRecord[];
}

/** How one kind of migration watches. */
export interface Watch {
  /** Looks until `untilIso`, or until a breach that is not among the `accepted`: those that people have let pass. */
  look: (time: { startedIso: string; untilIso: string }, accepted: string[]) => Promise<Seen>;
  /** After a breach that people let pass: until the same one would not be seen again at once. */
  windowMs: number;
  /** What going back would lose, in one line. */
  loses: string;
  /** Whether going back loses nothing: then a breach goes back by itself. */
  lossless?: () => boolean;
  /** What else the people at `accept` should see, beside validation, watch and downtime. */
  evidence: () => string[];
  /** Before and after the figure, in the words of this kind: "writes were stopped for". */
  downtimeWords: string;
}

/**
 * Watches for the planned time; a breach asks people at once, and nothing goes on until one of them says so or sends a rollback.
 * @param round so that a second watch, after a rejected acceptance, is a step of its own
 */
export async function monitor(migration: Migration, watch: Watch, round = 1): Promise<void> {
  const { runbook, plan } = migration;
  runbook.phase('monitor');
  const until = new Date(runbook.now().getTime() + needed(parseDurationMs(plan.monitor), 'monitor'));
  for (let look = 1; ; look += 1) {
    const breaches = await watchUntil(migration, watch, until, `${round}${look === 1 ? '' : `-${look}`}`);
    if (breaches.length === 0) return;
    if (watch.lossless?.()) throw new Interrupted('way-back', `rolled back by a trigger: ${breaches.join('; ')}`);
    await runbook.insist('continue-after-breach', [...breaches, ...figuresOf(migration), watch.loses]);
    // The same breach would be seen again at once: a new look after ever more of the window.
    const pauseMs = watch.windowMs * 2 ** Math.min(look - 1, 10);
    if (runbook.now().getTime() + pauseMs >= until.getTime()) return;
    await runbook.wait(() => false, 'Until the target is watched again', pauseMs);
  }
}

/** What people decide by, whichever trigger it was. */
function figuresOf({ runbook }: Migration): string[] {
  const { monitoring } = runbook.journal;
  if (!monitoring) return [];
  const { samples, errors, errorRatePercent, triggers } = monitoring;
  return [`all in all ${errors} errors in ${samples} samples, ${errorRatePercent} %`, ...describeTriggers(triggers)];
}

async function watchUntil({ runbook }: Migration, { look }: Watch, until: Date, round: string): Promise<string[]> {
  const { journal } = runbook;
  const seen = await runbook.step(
    round === '1' ? 'monitor' : `monitor-${round}`,
    `Watch the target until ${until.toISOString()}`,
    () =>
      look(
        { startedIso: runbook.now().toISOString(), untilIso: until.toISOString() },
        journal.monitoring?.breaches ?? [],
      ),
    {
      skippable: true,
      describe: ({ samples, errorRatePercent, breaches }) =>
        `${samples} samples, ${errorRatePercent} % errors${breaches.length > 0 ? `; BREACH: ${breaches.join('; ')}` : ''}`,
    },
  );
  if (!seen) return [];
  const before: NonNullable<Journal['monitoring']> = journal.monitoring ?? {
    samples: 0,
    errors: 0,
    errorRatePercent: 0,
    breaches: [],
  };
  const samples = before.samples + seen.samples;
  const errors = before.errors + seen.errors;
  journal.monitoring = {
    samples,
    errors,
    errorRatePercent: samples === 0 ? 0 : Math.round((errors / samples) * 10_000) / 100,
    slowdownPercent: seen.slowdownPercent,
    breaches: [...before.breaches, ...seen.breaches].slice(0, breachesListed),
    ...mergeTriggers(before.triggers, seen.triggers),
  };
  return seen.breaches;
}

/** Asks whether the target is kept; who says no has it watched for another time, and may send a rollback. */
export async function accept(migration: Migration, watch: Watch): Promise<void> {
  const { runbook, plan } = migration;
  for (let round = 1; ; round += 1) {
    runbook.phase('accept');
    const { monitoring, downtime } = runbook.journal;
    const evidence = [
      recordsEvidence(migration),
      monitoring
        ? `watched for ${plan.monitor}: ${monitoring.samples} samples, ${monitoring.errors} errors`
        : 'the watch was skipped',
      ...(monitoring?.breaches ?? []).map((breach) => `BREACH: ${breach}`),
      ...describeTriggers(monitoring?.triggers),
      `${watch.downtimeWords} ${formatDurationMs(downtime?.durationMs ?? 0)}`,
      ...watch.evidence(),
    ];
    if ((await runbook.ask('accept', evidence)) === 'approved') return;
    runbook.note(
      'Not accepted: the target is watched for another time. To go back, send rollback: it says what would be lost and which words to add.',
    );
    await monitor(migration, watch, round + 1);
  }
}
