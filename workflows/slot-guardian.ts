// Watches over the WAL that a migration's slots hold back, for as long as there are any: also when the migration is blocked, terminated or
// its workers are gone. A workflow of its own, so that nothing that happens to the migration ends it.
import {
  CancellationScope,
  condition,
  continueAsNew,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  proxyActivities,
  setCurrentDetails,
  setDefaultSignalHandler,
  setHandler,
  sleep,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { defineSearchAttributeKey } from '@temporalio/common';
import type { MigrationActivities } from '../activities';
import type { GuardReport } from '../activities/postgres/stream/guard-slots';
import type { PostgresScope } from '../activities/postgres/scope';
import { dismissSignal, slotGuardianSignal, type GuardianLevel } from './slot-guardian-messages';

export interface SlotGuardianInput {
  scope: PostgresScope;
  settings: { walBudgetMegabytes: number };
  /** Workflow id. */
  migration: string;
  /** Of the run before this one. */
  carried?: GuardianState;
  /** Other than ten minutes each: for tests. */
  timing?: { watchMs: number; goneMs: number; longestHistory: number };
}

/** All that one run leaves to the next. */
export interface GuardianState {
  level: GuardianLevel;
  detail: string;
  /** ISO 8601, as everything that ends in Iso. */
  startedIso: string;
  slotsSeenIso?: string;
  goneSinceIso?: string;
  /** How often the migration was found running although no slot was there. */
  asked: number;
}

const defaultTiming = { watchMs: 600_000, goneMs: 600_000, longestHistory: 1_000 };
/** For a migration that has not made a slot yet: it may be waiting for people. */
const noneYetMs = 24 * 3_600_000;
/** A migration that goes on without slots is asked less and less often: after this many doublings no more seldom. */
const doublings = 7;

/**
 * Ends when it is dismissed, or when no slot has been there for ten minutes after there was one and the migration runs no more. Never fails
 * by itself: what goes wrong is tried again.
 */
export async function slotGuardian(input: SlotGuardianInput): Promise<{ why: string }> {
  const { timing = defaultTiming } = input;
  const state = input.carried ?? newState();
  const told = { dismissed: false };
  setHandler(dismissSignal, () => void (told.dismissed = true), {
    description:
      'Ends the watch: everything of the migration is cleaned up. Sent by the migration, or by "cutover reap".',
  });
  setDefaultSignalHandler((name) => log.warn('the slot guardian knows only the signal "dismiss"', { name }));
  show(input, state);
  if (!input.carried) announce(state.level);

  for (;;) {
    const watching = new CancellationScope();
    const watched = watching.run(() => watch(input, state, timing.watchMs));
    await Promise.race([watched, condition(() => told.dismissed)]);
    if (told.dismissed) {
      watching.cancel();
      // Its sessions on the two servers are closed when it has ended.
      await watched.catch(() => undefined);
      return { why: 'dismissed' };
    }
    await takeIn(input, state, await watched);
    if (await isOver(input, state, timing.goneMs)) return { why: 'no slot is there any more' };
    if (workflowInfo().historyLength > timing.longestHistory || workflowInfo().continueAsNewSuggested)
      return continueAsNew<typeof slotGuardian>({ ...input, carried: state });
  }
}

function newState(): GuardianState {
  return { level: 'fine', detail: 'The watch begins.', startedIso: new Date(Date.now()).toISOString(), asked: 0 };
}

/** Until the level changes, at most `watchMs`. @returns undefined when it went wrong; a pause has passed then */
async function watch(
  { scope, settings }: SlotGuardianInput,
  { level, slotsSeenIso, goneSinceIso }: GuardianState,
  watchMs: number,
): Promise<GuardReport | undefined> {
  const { guardSlots } = proxyActivities<MigrationActivities>({
    startToCloseTimeout: watchMs + 600_000,
    heartbeatTimeout: '15s',
    // Without an end: nothing is lost by another look.
    retry: { initialInterval: '1s', maximumInterval: '10s' },
    cancellationType: 'WAIT_CANCELLATION_COMPLETED',
    summary: `Watch the slots (${level})`,
  });
  const { walBudgetMegabytes } = settings;
  const untilIso = new Date(Date.now() + watchMs).toISOString();
  try {
    return await guardSlots({ scope, walBudgetMegabytes, level, untilIso, slotsSeenIso, goneSinceIso });
  } catch (error) {
    if (isCancellation(error)) throw error;
    log.warn('the watch over the slots has failed and begins anew', { error });
    await sleep('30s', { summary: 'Before the next watch' });
    return undefined;
  }
}

/** A level that has changed is shown everywhere and told to the migration. */
async function takeIn(input: SlotGuardianInput, state: GuardianState, report: GuardReport | undefined): Promise<void> {
  if (!report) return;
  const { level, detail, slotsSeenIso, goneSinceIso, slots } = report;
  const changed = level !== state.level;
  Object.assign(state, { level, detail, slotsSeenIso, goneSinceIso });
  if (slots > 0) state.asked = 0;
  show(input, state);
  if (!changed) return;
  announce(level);
  await tell(input, state);
}

/** Whether there is nothing to guard any more. A migration that runs may make new slots, so the last thing is to ask for it. */
async function isOver(input: SlotGuardianInput, state: GuardianState, goneMs: number): Promise<boolean> {
  const { goneSinceIso, slotsSeenIso, startedIso, asked } = state;
  const noneYet = slotsSeenIso === undefined;
  const since = goneSinceIso ?? (noneYet ? startedIso : undefined);
  if (since === undefined) return false;
  const patienceMs = (noneYet ? noneYetMs : goneMs) * 2 ** Math.min(asked, doublings);
  if (Date.now() - Date.parse(since) < patienceMs) return false;
  if (!(await tell(input, state))) return true;
  state.asked += 1;
  return false;
}

/** @returns whether the migration runs */
async function tell({ migration }: SlotGuardianInput, { level, detail }: GuardianState): Promise<boolean> {
  try {
    await getExternalWorkflowHandle(migration).signal(slotGuardianSignal, { level, detail });
    return true;
  } catch (error) {
    if (isCancellation(error)) throw error;
    // Anything but "not found" says nothing about the migration.
    return !(error instanceof Error && /not found/i.test(error.message));
  }
}

function announce(level: GuardianLevel): void {
  upsertSearchAttributes([
    { key: defineSearchAttributeKey('MigrationKind', 'KEYWORD'), value: 'slot-guardian' },
    { key: defineSearchAttributeKey('MigrationPhase', 'KEYWORD'), value: level },
  ]);
}

function show({ migration, settings }: SlotGuardianInput, { level, detail }: GuardianState): void {
  const budget =
    settings.walBudgetMegabytes > 0
      ? `${settings.walBudgetMegabytes} MB, as the plan says`
      : "by the server's own limits";
  setCurrentDetails(
    [
      `## ${level}`,
      '',
      detail,
      '',
      `* guards the replication slots of the migration \`${migration}\`, and goes on when that one is blocked or terminated`,
      `* budget of WAL that they may hold back: ${budget}; 50 % alert, 70 % slow the copy, 85 % pause it, 95 % drop the slot`,
      '* ends by itself when the slots are gone; what a terminated migration has left is removed by `cutover reap PLAN`',
    ].join('\n'),
  );
}
