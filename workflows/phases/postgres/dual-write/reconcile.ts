// Both sides brought to agree: rounds until nothing has differed so many times in a row; what differs and stands still is shown, and then
// repaired after the side that the application uses. Repaired is not verified: the rounds begin anew.
import { ApplicationFailure, sleep } from '@temporalio/workflow';
import type { ComparedLive } from '../../../../activities/postgres/dual-write';
import { otherSide } from '../../../../journal/sides';
import { parseDurationMs } from '../../../../plan/duration';
import { run } from '../../../activity-options';
import { needed } from '../../migration';
import type { DualWriteMigration } from './migration';
import { lookOnce, reconciliationOf } from './rounds';

/** After so many repairs without parity the application is failing to repeat, not now and then but all the time. */
const repairsAtMost = 20;
/** From then on ever longer between two, so that a night of it does not fill the history. */
const firstPauseMs = 10_000;
const growth = 1.5;
const longestPauseMs = 3_600_000;
/** Rounds in a row in which something could not be compared, before a person is told. */
const unreadAtMost = 3;
const rowsShown = 20;

export interface ParityOptions {
  /** Of parity, in a row. */
  rounds: number;
  /**
   * Whether people are asked before a repair. `unless-it-destroys`: only where rows would be deleted, or more than the plan allows be
   * written: a side that is right by rule may have lost what the other still has.
   */
  repair: 'gate' | 'auto' | 'unless-it-destroys';
  /** Repairs at most so many rows; without it any number. */
  maxRows?: number;
}

/** @throws Interrupted `rejected` when a repair was */
export async function untilParity(migration: DualWriteMigration, options: ParityOptions): Promise<void> {
  for (let repairs = 0; ; repairs += 1) {
    const found = await rounds(migration, options, repairs);
    if (!found?.differences) return;
    await repair(migration, found, options);
    if (repairs >= repairsAtMost) {
      const pauseMs = Math.min(firstPauseMs * growth ** (repairs - repairsAtMost), longestPauseMs);
      await sleep(pauseMs, { summary: 'Until both sides are compared again' });
    }
  }
}

/** Rounds to parity, or to the first that has something to repair. */
async function rounds(
  migration: DualWriteMigration,
  { rounds: wanted, maxRows }: ParityOptions,
  repairs: number,
): Promise<ComparedLive | undefined> {
  const { runbook, plan, judge } = migration;
  const intervalMs = needed(parseDurationMs(plan.dualWrite.roundInterval), 'roundInterval');
  let askAPerson = repairs > 0 && repairs % repairsAtMost === 0;
  return runbook.step(
    'reconcile',
    `Compare both sides while both are written to, until ${wanted} round(s) in a row find nothing`,
    async () => {
      runbook.journal.reconciliation = { ...reconciliationOf(migration), parityInARow: 0, parityWanted: wanted };
      if (askAPerson) {
        askAPerson = false;
        throw endless(repairs);
      }
      for (let equal = 0, unread = 0; ;) {
        const found = await lookOnce(migration);
        if (found.differing > 0) {
          if (maxRows !== undefined && found.differing > maxRows) throw tooMany(found, maxRows);
          return found;
        }
        equal = found.equal ? equal + 1 : 0;
        unread = found.equal ? 0 : unread + 1;
        if (equal >= wanted) return undefined;
        if (unread >= unreadAtMost) throw unreadable(found);
        await sleep(intervalMs, { summary: 'Until the next round' });
      }
    },
    {
      againByItself: true,
      describe: (found) =>
        found
          ? `${found.differing} rows differ from the ${judge}`
          : `${wanted} round(s) in a row without a difference, ${reconciliationOf(migration).rows} rows`,
    },
  );
}

async function repair(
  migration: DualWriteMigration,
  found: ComparedLive,
  { repair: how }: ParityOptions,
): Promise<void> {
  const { runbook, scope, judge } = migration;
  const differences = needed(found.differences, 'differences');
  if (how === 'gate') await runbook.gate('repair', repairEvidence(migration, found));
  if (how === 'unless-it-destroys' && destroys(migration, found))
    await runbook.insist('repair', [
      `going back: look first whether the ${judge} has lost rows that the ${otherSide(judge)} still has. Approved, they are gone on both sides`,
      ...repairEvidence(migration, found),
    ]);
  await runbook.step(
    'repair',
    `Make the rows of the ${otherSide(judge)} that differ like those of the ${judge}`,
    async () => {
      const written = await run('long', `Repair rows of the ${otherSide(judge)}`).repairRows({
        scope,
        judge,
        differences,
      });
      const before = reconciliationOf(migration);
      runbook.journal.reconciliation = {
        ...before,
        repaired: {
          repairs: before.repaired.repairs + 1,
          inserted: before.repaired.inserted + written.inserted,
          updated: before.repaired.updated + written.updated,
          deleted: before.repaired.deleted + written.deleted,
        },
      };
      return written;
    },
    {
      describe: ({ inserted, updated, deleted, left }) =>
        `${inserted} inserted, ${updated} updated, ${deleted} deleted${left > 0 ? `; ${left} held by somebody, for the next round` : ''}`,
    },
  );
}

function destroys({ plan }: DualWriteMigration, { byTable, differing }: ComparedLive): boolean {
  return differing > plan.dualWrite.maxRepairRows || byTable.some((table) => table.delete > 0);
}

/** What the people at the gate should see: how much, where, which rows, and what would be done to them. */
function repairEvidence(
  { judge }: DualWriteMigration,
  { differing, byTable, lines, differences }: ComparedLive,
): string[] {
  const other = otherSide(judge);
  return [
    `${differing} rows differ and stand still; the ${judge} is right, the ${other} would be written to`,
    `insert: the ${other} lacks the row; update: it has another version of it; delete: the ${judge} has it no more. These rows are looked at once more under lock: what is written is what the ${judge} has then`,
    ...byTable
      .slice(0, rowsShown)
      .map(
        ({ table, insert, update, delete: remove }) => `${table}: insert ${insert}, update ${update}, delete ${remove}`,
      ),
    ...lines,
    ...(differences ? [`the keys of all of them: ${differences.url}`] : []),
  ];
}

function endless(repairs: number): Error {
  return ApplicationFailure.nonRetryable(
    `${repairs} repairs one after the other, and there is still something to repair: the application goes on failing to repeat its writes, or somebody else writes to one side. Find out from the keys in the report which, then retry.`,
    'VerificationMismatch',
  );
}

function tooMany({ differing, lines }: ComparedLive, most: number): Error {
  return ApplicationFailure.nonRetryable(
    `${differing} rows differ, more than dualWrite.maxRepairRows (${most}): ${lines.slice(0, 5).join(' | ')}. Find out why; retry compares again, rollback goes back.`,
    'VerificationMismatch',
  );
}

function unreadable({ problems }: ComparedLive): Error {
  return ApplicationFailure.nonRetryable(
    `Not everything could be compared: ${problems.slice(0, 5).join(' | ')}. Mend it; it is compared again by itself, or send retry.`,
    'PreconditionFailed',
  );
}
