// After acceptance, for every migration: the source is kept for as long as the plan says, looked at meanwhile, and retired only when
// nobody holds it.
import { isCancellation, patched } from '@temporalio/workflow';
import type { CreatedObject, LookRecord } from '../../journal/types';
import { parseDurationMs } from '../../plan/duration';
import type { GateName } from '../../plan/gates';
import { describeHolds, openHolds } from '../holds';
import { describeFailure } from '../logbook';
import { Interrupted, type Runbook } from '../runbook';
import { needed, type Migration } from './migration';

/** A year of weeks; a longer retention goes on without looks. */
const mostLooks = 52;
const foundListed = 20;

/** How one kind of migration keeps its source. */
export interface Retention {
  /** How it is kept: "fenced". */
  words: string;
  /** What retiring means, a line each. */
  evidence: string[];
  /** How often both sides are looked at for leftovers, in milliseconds, and how. */
  looks?: { everyMs: number; find: () => Promise<CreatedObject[]> };
}

/** Keeps the source for the retention time, then, when nobody holds it, asks whether it may be retired. */
export async function retain(migration: Migration, retention: Retention): Promise<'approved' | 'rejected'> {
  const { runbook, plan } = migration;
  runbook.phase('retention');
  await keep(migration, retention);
  await untilReleased(runbook);
  runbook.phase('retire');
  return askUnlessHeld(runbook, 'retire-source', [
    `the source was kept for ${plan.retainSource}`,
    ...retention.evidence,
  ]);
}

/** One timer where the time is shorter than that between two looks: as in every history that was begun before there were looks. */
async function keep({ runbook, plan }: Migration, { words, looks }: Retention): Promise<void> {
  const retentionMs = needed(parseDurationMs(plan.retainSource), 'retainSource');
  const until = runbook.now().getTime() + retentionMs;
  const summary = `The source is kept, ${words}, for ${plan.retainSource}`;
  const leftMs = (): number => until - runbook.now().getTime();
  for (let look = 1; looks && look <= mostLooks && leftMs() > looks.everyMs; look += 1) {
    if (!patched('looks-while-kept')) break;
    await runbook.wait(() => false, `${summary}; until the next look for leftovers`, looks.everyMs);
    await lookForLeftovers(runbook, looks.find);
  }
  // A timer of nothing would be no timer.
  await runbook.wait(() => false, summary, Math.max(Math.min(1, retentionMs), leftMs()));
}

/** Never ends the migration, whatever it finds or cannot find: what it finds is noted. */
export async function lookForLeftovers(runbook: Runbook, find: () => Promise<CreatedObject[]>): Promise<void> {
  const { journal } = runbook;
  const record: LookRecord = { at: runbook.now().toISOString(), found: [] };
  try {
    const present = (await runbook.interruptible(find)).filter(({ state }) => state === 'present');
    record.found = present.slice(0, foundListed).map(({ kind, name, where }) => `${kind} ${name} on the ${where}`);
  } catch (error) {
    if (error instanceof Interrupted || isCancellation(error)) throw error;
    record.failure = describeFailure(error).slice(0, 300);
  }
  const before = journal.looks?.at(-1);
  journal.looks = [...(journal.looks ?? []), record];
  const news = record.failure ?? record.found.join(', ');
  if (news && news !== (before?.failure ?? before?.found.join(', ')))
    runbook.note(
      record.failure
        ? `Looking for leftovers failed: ${record.failure}`
        : `Left behind, as seen while the source is kept: ${news}.`,
    );
  runbook.show();
}

/** As `ask`; a hold that comes while the gate is open closes it, and it opens again when the last one is released. */
export async function askUnlessHeld(
  runbook: Runbook,
  name: GateName,
  evidence: string[],
  words?: string,
): Promise<'approved' | 'rejected'> {
  for (;;) {
    const answer = await runbook.ask(name, evidence, words);
    const withdrawn = runbook.journal.gates.at(-1)?.state === 'withdrawn';
    await untilReleased(runbook);
    if (!withdrawn) return answer;
  }
}

/** Nothing is waited for, and nothing enters the history, where nobody holds the source. */
export async function untilReleased(runbook: Runbook): Promise<void> {
  const { journal } = runbook;
  if (openHolds(journal).length === 0) return;
  const before = journal.phase;
  runbook.phase('held');
  await runbook.wait(() => openHolds(journal).length === 0, `Held by ${describeHolds(journal)}: waiting for release`);
  runbook.phase(before);
}
