// Bringing the target up to the source in passes, without a slot. The first copy is fuzzy: each chunk is read at its own moment. A
// pass then makes every table of the target equal to the source as of one snapshot of that table, in one transaction on the
// target that also writes the table's new mark; killed anywhere, a table is done or not begun.
import type { IncrementalSettings } from '../../../plan/incremental';
import { failure } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import type { PostgresDependencies } from '../../dependencies';
import { requireLedger } from '../ledger';
import type { PostgresScope } from '../scope';
import { listTables } from '../tables';
import { PassLane, type PassLaneInput, type PassLaneProgress, type PassLaneResult } from './lane';
import { countOpenChunks, countPassTables, listCopied, noteFirstMark, openPass, openPassLedger } from './ledger';
import { readMark, readSince } from './mark';
import { SourceTables } from './subjects';
import { readSummary, type PassSummary } from './summary';

export type { PassLaneInput, PassLaneProgress, PassLaneResult, PassSummary };

export interface BeginPassInput {
  scope: PostgresScope;
  /** From 1; the same number again finds the pass that is there. */
  pass: number;
  settings: IncrementalSettings;
  /** Every table of this pass is compared by digest, whatever the settings say: for a repair, or a delta that must miss nothing. */
  changes?: 'digest';
  /** Only these, as `schema.table`, a partitioned table standing for its partitions; left out, all that were copied. */
  tables?: string[];
  /**
   * All tables are read as of the same moment, by one lane, so that rows find those of other tables that they refer to: before foreign keys
   * are built. Without it each table has a moment of its own.
   */
  oneSnapshot?: boolean;
}

const namesShown = 10;

export function createIncrementalActivities({ connections }: PostgresDependencies) {
  return {
    /**
     * Notes the mark of the source before the first row is copied: what is not committed by then is read again by the first pass.
     * Called again it keeps the first mark. Needs the ledger; call it before the first `copyLane`. `tables`: selected on the source.
     * @throws SourceUnavailable, TargetUnavailable (retryable); TargetConflict when the ledger is gone
     */
    async beginIncremental({ scope }: { scope: PostgresScope }): Promise<{ tables: number }> {
      return withHeartbeat({}, ({ signal }) =>
        connections.withSession(
          scope.target,
          { side: 'target', purpose: 'begin incremental', signal },
          async (target) => {
            await requireLedger(target, scope.migration);
            await openPassLedger(target);
            const { mark, tables } = await connections.withSession(
              scope.source,
              { side: 'source', purpose: 'begin incremental', signal },
              async (source) => {
                const since = await readSince(source);
                const { xmin } = await readMark(source);
                return { mark: { xmin, since }, tables: (await listTables(source, scope.tables)).length };
              },
            );
            await noteFirstMark(target, mark);
            return { tables };
          },
        ),
      );
    },

    /**
     * Opens a pass over the copied tables, or finds it by its number. Needs the finished first copy.
     * @throws SourceUnavailable, TargetUnavailable (retryable); PreconditionFailed when the copy is not finished, or a table or an update
     *   column is not there, TargetConflict when the ledger is gone
     */
    async beginPass(input: BeginPassInput): Promise<{ tables: number }> {
      const { scope, pass, settings, changes, tables, oneSnapshot = false } = input;
      return withHeartbeat({}, ({ signal }) =>
        connections.withSession(scope.target, { side: 'target', purpose: 'begin pass', signal }, async (target) => {
          await requireLedger(target, scope.migration);
          await openPassLedger(target);
          const before = await countPassTables(target, pass);
          if (before !== undefined) return { tables: before };
          const open = await countOpenChunks(target);
          if (open > 0) {
            throw failure(
              'PreconditionFailed',
              `${open} chunks of the first copy are not in. Run the lanes of the copy to their end before the first pass.`,
            );
          }
          const known = await connections.withSession(
            scope.source,
            { side: 'source', purpose: 'begin pass', signal },
            (source) => SourceTables.read(source, scope),
          );
          known.requireUpdateColumns(settings);
          requireKnown(known.unknown(tables ?? []));
          const copied = await listCopied(target);
          const chosen = tables ? copied.filter((table) => known.isAmong(table, tables)) : copied;
          await openPass(target, pass, { digest: changes === 'digest', oneSnapshot }, chosen);
          return { tables: (await countPassTables(target, pass)) ?? 0 };
        }),
      );
    },

    /**
     * Brings tables of the pass up to the source until none is left or the lane is tuned away. Cancelled, it comes back only when its
     * backends are gone and its unfinished table is rolled back.
     * @throws SourceUnavailable, TargetUnavailable (retryable); TargetConflict, VerificationMismatch, PreconditionFailed, AuthDenied (not)
     */
    async passLane(input: PassLaneInput): Promise<PassLaneResult> {
      const nothing = { tables: 0, rows: '0', deleted: '0', bytes: 0, bytesInFlight: 0, bytesPerSecond: 0 };
      return withHeartbeat<PassLaneProgress, PassLaneResult>({ lane: input.lane, ...nothing }, (beat) =>
        new PassLane(connections, input, beat).run(),
      );
    },

    /**
     * Makes what a pass has brought so far durable and adds it up.
     * @throws TargetUnavailable (retryable); TargetConflict when the ledger is gone, PreconditionFailed when the pass was not begun
     */
    async summarizePass({ scope, pass }: { scope: PostgresScope; pass: number }): Promise<PassSummary> {
      return withHeartbeat({}, ({ signal }) =>
        connections.withSession(scope.target, { side: 'target', purpose: 'summarize pass', signal }, async (target) => {
          await requireLedger(target, scope.migration);
          return readSummary(target, pass);
        }),
      );
    },
  };
}

function requireKnown(unknown: string[]): void {
  if (unknown.length === 0) return;
  const more = unknown.length - namesShown;
  throw failure(
    'PreconditionFailed',
    `${unknown.slice(0, namesShown).join(', ')}${more > 0 ? ` and ${more} more` : ''}: no such selected table on the source. Name tables as schema.table, as the report prints them.`,
  );
}
