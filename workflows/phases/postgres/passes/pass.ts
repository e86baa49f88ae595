// One pass: every table of the target brought up to the source, in lanes. Its marks live in the target's ledger; what is here is its record.
import { condition } from '@temporalio/workflow';
import type { PassSummary } from '../../../../activities/postgres/incremental';
import { formatBytes } from '../../../../journal/quantities';
import type { Journal, PassRecord } from '../../../../journal/types';
import type { IncrementalSettings } from '../../../../plan/incremental';
import { run } from '../../../activity-options';
import { runInLanes } from '../lanes';
import type { PassMigration } from './migration';

/** Kept from the beginning and from the end; what lies between is only counted. */
const mostListed = 25;
/** While a gate is open, a source in use comes first. */
const lanesBeside = 4;

export interface PassOptions {
  /** Every row of these tables is compared, whatever the plan says; all tables when left out. */
  repair?: { tables?: string[] };
  /** All tables as of the same moment, by one lane: so that rows find those that they refer to. */
  oneSnapshot?: boolean;
  /** Beside an open gate: it has no say in what stops the migration, and months of it must fit into the history. */
  beside?: boolean;
  /** The application stands still: sparing the source would only make that longer. */
  underFence?: boolean;
}

/**
 * Makes one pass to its end.
 * @param why for people: "before indexes are built"
 */
export async function makePass(migration: PassMigration, why: string, options: PassOptions = {}): Promise<PassRecord> {
  const { runbook } = migration;
  const { repair } = options;
  migration.pass += 1;
  const { pass } = migration;
  const began = runbook.now();
  const record = list(runbook.journal, {
    pass,
    why,
    startedAt: began.toISOString(),
    tables: 0,
    tablesChanged: 0,
    rows: '0',
    deleted: '0',
    bytes: 0,
  });
  runbook.show();
  const paused = await bring(migration, record, options).catch((error: unknown) => {
    record.stopped = true;
    runbook.show();
    throw error;
  });
  if (paused) record.paused = true;
  if (!repair) {
    migration.caughtUpAt = began;
    if (!paused) migration.series.push(record.durationMs ?? 0);
  }
  runbook.show();
  return record;
}

/** @returns whether a pause fell into it */
async function bring(
  migration: PassMigration,
  record: PassRecord,
  { repair, oneSnapshot, beside, underFence }: PassOptions,
): Promise<boolean> {
  const { runbook, plan, scope } = migration;
  const settings = underFence ? { ...plan.incremental, pressure: notSpared(plan.incremental) } : plan.incremental;
  const { pass } = record;
  await run('long', `Begin pass ${pass}: ${record.why}`).beginPass({
    scope,
    pass,
    settings,
    ...(repair ? { changes: 'digest' as const, ...(repair.tables ? { tables: repair.tables } : {}) } : {}),
    ...(oneSnapshot ? { oneSnapshot } : {}),
  });
  const { paused } = await runInLanes(migration, {
    name: `pass ${pass}`,
    lane: (lane) => run('long', `Pass ${pass}, lane ${lane + 1}`).passLane({ scope, pass, lane, settings }),
    isDone: async () => {
      const summary = await run('brisk', `Is pass ${pass} done`).summarizePass({ scope, pass });
      tell(record, summary);
      if (summary.done) {
        record.durationMs = summary.durationMs;
        delete record.tablesDone;
        delete record.etaMs;
      }
      return summary.done;
    },
    waiting: 'Before the tables that are left',
    ...(beside
      ? {
          mostLanes: lanesBeside,
          untilResumed: async () => {
            if (!runbook.paused) return false;
            await condition(() => !runbook.paused);
            return true;
          },
        }
      : {
          measure: async () => {
            const summary = await run('brisk', `How far is pass ${pass}`).summarizePass({ scope, pass });
            // The answer may come when the lanes have ended.
            if (record.durationMs !== undefined) return;
            tell(record, summary);
            foretell(record, summary, migration.series.at(-1));
          },
        }),
  });
  return paused;
}

function notSpared({ pressure: { interval } }: IncrementalSettings): IncrementalSettings['pressure'] {
  return { maxConnectionsPercent: 100, interval };
}

function tell(record: PassRecord, { tables, tablesChanged, rows, deleted, bytes }: PassSummary): void {
  Object.assign(record, { tables, tablesChanged, rows, deleted, bytes });
}

/** By the pass before as long as that lasted longer, else by the tables that are done. */
function foretell(
  record: PassRecord,
  { tablesDone, bytesDone, bytesTotal, durationMs }: PassSummary,
  formerMs = 0,
): void {
  record.tablesDone = tablesDone;
  const byTables = bytesDone > 0 ? Math.round((durationMs * (bytesTotal - bytesDone)) / bytesDone) : undefined;
  const etaMs = formerMs > durationMs ? formerMs - durationMs : byTables;
  if (etaMs === undefined) delete record.etaMs;
  else record.etaMs = etaMs;
}

function list(journal: Journal, record: PassRecord): PassRecord {
  journal.passes = [...(journal.passes ?? []), record];
  if (journal.passes.length > 2 * mostListed) {
    journal.passes.splice(mostListed, 1);
    journal.passesNotListed = (journal.passesNotListed ?? 0) + 1;
  }
  return record;
}

/** "1200 rows written, 3 deleted, in 2 of 14 tables, 412 kB" */
export function describePass({ rows, deleted, tables, tablesChanged, bytes }: PassRecord): string {
  return `${rows} rows written, ${deleted} deleted, in ${tablesChanged} of ${tables} tables, ${formatBytes(bytes)}`;
}
