// One lane of the copy: takes the next chunk that nobody has, copies it, notes it, all in one transaction on the target, until
// none is left. Any number of lanes on any number of workers; whatever dies, a chunk is in once or not at all.
// Sizes are bytes of the COPY stream; the ledger's estimates are bytes on the source's disk.
import type { Client } from 'pg';
import { failure } from '../../errors';
import { withHeartbeat, type Beat } from '../../heartbeat';
import type { PostgresDependencies } from '../../dependencies';
import type { PostgresConnections } from '../connection';
import { quoteLiteral, quoteQualified } from '../identifier';
import type { PostgresScope } from '../scope';
import { forgetUnloggedAfterCrash, markDone, takeChunk, type Chunk, type TablePlan } from './chunk-ledger';
import { copyFailure, on } from './copy-errors';
import { copyIntoSql, copyOutSql } from './copy-format';
import { streamRows } from './copy-stream';
import { readUnderGroup, requireOpenGroup, rewritten } from './group-snapshot';
import { mergeStaged, stageSql } from './merge';
import { Rate } from './rate';
import { endEarlierAttempts, namesOfAttempt, requireNotStopped, withCopySessions } from './sessions';
import { readTuning, type CopyTuning } from './settings';
import { Throttle } from './throttle';
import { TuningWatch } from './tuning-watch';
import type { Transformation } from '../../../plan/transformations';
import { requireWithinLimits } from '../transform/rejects';
import { readTransformedTable, stageTransformed, type TransformedTable } from '../transform/table';
import { takeStaged } from '../transform/take';

/** Below this a table is not worth a new file on the target, which FREEZE needs. */
const freezeFromBytes = 1_048_576;

export interface CopyLaneInput {
  scope: PostgresScope;
  /** From 0. */
  lane: number;
  /** Exported by another session of the source that is still there; without it each chunk reads what is committed when it begins. */
  snapshot?: string;
  /** Of CDC: only chunks of this copy group, under its snapshot, which is read from the ledger. */
  group?: number;
  /** The application writes to the target as well: rows whose key is there already stay as they are. */
  merge?: boolean;
  /** Of the plan: rows of these tables go through their expressions. The same as `planChunks` was given. */
  transformations?: Transformation[];
}

/** What a lane shows while it runs. */
export interface LaneProgress {
  lane: number;
  table?: string;
  /** Committed by this attempt. */
  rows: string;
  bytes: number;
  /** Of the chunk under way, not committed. */
  bytesInFlight: number;
  bytesPerSecond: number;
  chunksDone: number;
}

export function createLaneActivities({ connections }: PostgresDependencies) {
  return {
    /**
     * Copies chunks until none is left or the lane is tuned away; gives what this attempt committed. Cancelled, it comes back only when
     * its backends are gone and its unfinished chunk is rolled back.
     * @throws SourceUnavailable, TargetUnavailable (retryable); TargetConflict, VerificationMismatch, PreconditionFailed, AuthDenied, for a
     *   copy group SnapshotLost, and TooManyRejects of transformed tables (not)
     */
    async copyLane(input: CopyLaneInput): Promise<{ rows: string; bytes: number; chunks: number }> {
      return withHeartbeat<LaneProgress, { rows: string; bytes: number; chunks: number }>(
        { lane: input.lane, rows: '0', bytes: 0, bytesInFlight: 0, bytesPerSecond: 0, chunksDone: 0 },
        (beat) => new Lane(connections, input, beat).run(),
      );
    },
  };
}

class Lane {
  private readonly throttle = new Throttle();
  private readonly rate = new Rate();
  private rows = 0n;
  private bytes = 0;
  private chunks = 0;
  private inFlight = 0;
  private chunk?: Chunk;
  private readonly transformed = new Map<string, TransformedTable>();

  constructor(
    private readonly connections: PostgresConnections,
    private readonly input: CopyLaneInput,
    private readonly beat: Beat<LaneProgress>,
  ) {}

  async run(): Promise<{ rows: string; bytes: number; chunks: number }> {
    const { scope, lane } = this.input;
    const { signal } = this.beat;
    const { purpose, earlier } = namesOfAttempt(`copy lane ${lane}`);
    try {
      await withCopySessions(this.connections, { scope, purpose, signal }, async (source, target) => {
        if (earlier) await endEarlierAttempts(target, earlier);
        const tuning = new TuningWatch(this.connections, scope, lane, signal, (next) => this.apply(next));
        try {
          await this.copyChunks(source, target);
        } finally {
          tuning.end();
        }
      });
    } catch (error) {
      signal.throwIfAborted();
      const { table } = this.chunk ?? {};
      throw copyFailure(error, table ? `Copying ${table.schema}.${table.name}` : 'Taking the next chunk of the copy');
    }
    return { rows: String(this.rows), bytes: this.bytes, chunks: this.chunks };
  }

  private async copyChunks(source: Client, target: Client): Promise<void> {
    const { scope, lane, snapshot, group } = this.input;
    await forgetUnloggedAfterCrash(target);
    const { transformations = [] } = this.input;
    if (transformations.length > 0) await requireWithinLimits(target, transformations);
    if (group !== undefined) await readUnderGroup(source, target, group, scope.migration);
    else if (snapshot) {
      await on('source', source.query('begin transaction isolation level repeatable read, read only'));
      await on('source', source.query(`set transaction snapshot ${quoteLiteral(snapshot)}`));
    }
    for (;;) {
      this.beat.signal.throwIfAborted();
      const tuning = await readTuning(target);
      requireNotStopped(tuning);
      this.apply(tuning);
      if (tuning.lanes !== undefined && lane >= tuning.lanes) return;
      await target.query('begin');
      if (group !== undefined) await requireOpenGroup(target, group, scope.migration);
      const chunk = await takeChunk(target, group);
      if (!chunk) {
        await target.query('commit');
        return;
      }
      this.chunk = chunk;
      // Its locks on the source are let go with the savepoint: the application must not wait for the whole copy to truncate a table.
      if (group !== undefined) await on('source', source.query('savepoint chunk'));
      await this.copyChunk(chunk, source, target);
      if (group !== undefined) await on('source', source.query('rollback to savepoint chunk'));
      this.chunk = undefined;
    }
  }

  private async copyChunk(chunk: Chunk, source: Client, target: Client): Promise<void> {
    const { table } = chunk;
    const { signal } = this.beat;
    this.inFlight = 0;
    const { merge } = this.input;
    const transformed = await this.transformedTable(table, source, target);
    const into = transformed
      ? await stageTransformed(target, transformed, table.columns, table.format)
      : merge
        ? await stageSql(target, table)
        : copyIntoSql(table, await mayFreeze(chunk, target));
    const { rowsOut, rowsIn, bytes } = await streamRows({
      source,
      target,
      out: copyOutSql(chunk),
      into,
      onBytes: (length) => {
        this.inFlight += length;
        this.rate.count(length);
        this.report();
        return this.throttle.take(length, signal);
      },
    });
    if (rowsOut !== rowsIn || Number.isNaN(rowsIn)) {
      throw failure(
        'VerificationMismatch',
        `Of ${table.schema}.${table.name} the source sent ${rowsOut} rows and the target took ${rowsIn}. Look for triggers on the target's table that refuse rows, and retry.`,
      );
    }
    if (chunk.kind === 'ctid') await this.requireSameFile(source, table);
    const rows = transformed
      ? (await takeStaged(target, transformed, chunk.id, rowsIn)).rows
      : merge
        ? await mergeStaged(target, table)
        : rowsIn;
    await markDone(target, chunk, { rows, bytes, lane: this.input.lane });
    await target.query('commit');
    if (transformed) await requireWithinLimits(target, [transformed.transformation]);
    this.rows += BigInt(rows);
    this.bytes += bytes;
    this.chunks += 1;
    this.inFlight = 0;
    this.report();
  }

  private async transformedTable(
    { schema, name }: TablePlan,
    source: Client,
    target: Client,
  ): Promise<TransformedTable | undefined> {
    const table = `${schema}.${name}`;
    const transformation = this.input.transformations?.find((one) => one.table === table);
    if (!transformation) return undefined;
    const known = this.transformed.get(table) ?? (await readTransformedTable(source, target, transformation));
    this.transformed.set(table, known);
    return known;
  }

  /** Page ranges mean something only as long as the table is not rewritten (VACUUM FULL, CLUSTER) between two chunks. */
  private async requireSameFile(source: Client, table: TablePlan): Promise<void> {
    if (table.filenode === null) return;
    const { rows } = await on(
      'source',
      source.query<{ filenode: string | null }>('select pg_relation_filenode($1) as filenode', [table.oid]),
    );
    if (rows[0]?.filenode === table.filenode) return;
    const { scope, group } = this.input;
    const name = `${table.schema}.${table.name}`;
    if (group !== undefined) throw rewritten(scope.migration, group, name);
    throw failure(
      'PreconditionFailed',
      `${name} was rewritten on the source while it was copied (VACUUM FULL, CLUSTER or ALTER TABLE). Keep maintenance away from the source, roll back and copy again.`,
    );
  }

  private report(): void {
    const { table } = this.chunk ?? {};
    this.beat.report({
      lane: this.input.lane,
      ...(table ? { table: `${table.schema}.${table.name}` } : {}),
      rows: String(this.rows),
      bytes: this.bytes,
      bytesInFlight: this.inFlight,
      bytesPerSecond: this.rate.perSecond(),
      chunksDone: this.chunks,
    });
  }

  private apply({ lanes, maxBytesPerSecond }: CopyTuning): void {
    this.throttle.limit(maxBytesPerSecond / (lanes || 1));
  }
}

/**
 * A whole table can be loaded frozen, with less WAL and no vacuum to come, if it is truncated in the same transaction. Looks first that
 * there is nothing to lose: rows that are not ours are a conflict.
 */
async function mayFreeze({ kind, bytesEstimated, table }: Chunk, target: Client): Promise<boolean> {
  if (kind !== 'table' || table.condition !== null || bytesEstimated < freezeFromBytes) return false;
  const name = quoteQualified(table.schema, table.name);
  const { rows } = await target.query<{ held: string; referenced: string }>(
    `select exists (select from only ${name}) as held,
       exists (select from pg_constraint where contype = 'f' and confrelid = ${quoteLiteral(name)}::regclass) as referenced`,
  );
  if (rows[0]?.held === 't') {
    throw failure(
      'TargetConflict',
      `${table.schema}.${table.name} on the target holds rows that this migration did not copy. Empty it if nobody needs them, and retry.`,
    );
  }
  if (rows[0]?.referenced === 't') return false;
  await target.query(`truncate only ${name}`);
  return true;
}
