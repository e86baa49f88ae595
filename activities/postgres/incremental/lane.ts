// One lane of a pass: takes the next table that nobody has, brings it to the source's present, notes that with its new mark, all in one
// transaction on the target, until none is left. Any number of lanes on any number of workers; whatever dies, a table is done or not begun.
import type { Client } from 'pg';
import { parseDurationMs } from '../../../plan/duration';
import type { IncrementalSettings } from '../../../plan/incremental';
import type { Beat } from '../../heartbeat';
import type { PostgresConnections } from '../connection';
import { copyFailure, on } from '../copy/copy-errors';
import { tidRangeScanVersion } from '../copy/cut';
import { Rate } from '../copy/rate';
import { endEarlierAttempts, namesOfAttempt, requireNotStopped, withCopySessions } from '../copy/sessions';
import { readTuning, type CopyTuning } from '../copy/settings';
import { Throttle } from '../copy/throttle';
import { TuningWatch } from '../copy/tuning-watch';
import { nameOf } from '../digest/relations';
import { requireLedger } from '../ledger';
import type { PostgresScope } from '../scope';
import { agreeOnHashing } from './hashing';
import {
  beginAnew,
  claimPass,
  forgetUnloggedOfPass,
  markBrought,
  readsOneSnapshot,
  takePassTable,
  type Changes,
  type PassTable,
} from './ledger';
import { readMark } from './mark';
import { Pressure } from './pressure';
import { PageRanges } from './ranges';
import { updatedSql, youngerSql } from './sql';
import { OwnSnapshot, SharedSnapshot, type Snapshot } from './snapshot';
import { SourceTables } from './subjects';
import { TablePass, type PassSubject } from './table-pass';

export interface PassLaneInput {
  scope: PostgresScope;
  pass: number;
  /** From 0. */
  lane: number;
  settings: IncrementalSettings;
}

/** What one lane brought, by this attempt; all committed. */
export interface PassLaneResult {
  tables: number;
  /** Inserted or replaced. */
  rows: string;
  /** Rows that the source no longer has. */
  deleted: string;
  /** Of the COPY streams. */
  bytes: number;
}

/** What a lane of a pass shows while it runs. */
export interface PassLaneProgress extends PassLaneResult {
  lane: number;
  /** `schema.table` under way. */
  table?: string;
  /** Of the table under way, not committed. */
  bytesInFlight: number;
  bytesPerSecond: number;
  /** Why nothing is read at the moment: the source is under pressure. */
  waiting?: string;
}

type LaneSessions = Omit<ConstructorParameters<typeof TablePass>[1], 'onBytes'> & { known: SourceTables };

export class PassLane {
  private readonly throttle = new Throttle();
  private readonly rate = new Rate();
  private tables = 0;
  private rows = 0n;
  private deleted = 0n;
  private bytes = 0;
  private inFlight = 0;
  private table?: PassTable;
  private waiting?: string;

  constructor(
    private readonly connections: PostgresConnections,
    private readonly input: PassLaneInput,
    private readonly beat: Beat<PassLaneProgress>,
  ) {}

  /** Gives what this attempt committed. */
  async run(): Promise<PassLaneResult> {
    const { scope, lane } = this.input;
    const { signal } = this.beat;
    const { purpose, earlier } = namesOfAttempt(`pass lane ${lane}`);
    try {
      await withCopySessions(this.connections, { scope, purpose, signal }, async (source, target) => {
        if (earlier) await endEarlierAttempts(target, earlier);
        await requireLedger(target, scope.migration);
        const tuning = new TuningWatch(this.connections, scope, lane, signal, (next) => this.apply(next));
        try {
          await this.bringTables(source, target);
        } finally {
          tuning.end();
        }
      });
    } catch (error) {
      signal.throwIfAborted();
      const doing = this.table ? `Bringing the changes of ${nameOf(this.table)}` : 'Taking the next table of the pass';
      throw copyFailure(error, doing);
    }
    return this.result();
  }

  private async bringTables(source: Client, target: Client): Promise<void> {
    const { scope, pass, lane, settings } = this.input;
    const known = await on('source', SourceTables.read(source, scope));
    const hashing = await agreeOnHashing(source, target);
    const ranges = new PageRanges(parseDurationMs(settings.chunkTarget) ?? 5_000, await readsRanges(source));
    const pressure = new Pressure(this.connections, scope, settings.pressure, this.beat.signal, (reason) => {
      this.waiting = reason;
      this.report();
    });
    await forgetUnloggedOfPass(target, pass);
    const shared = (await readsOneSnapshot(target, pass)) ? new SharedSnapshot(source) : undefined;
    if (shared) {
      // One session reads them all; the other lanes leave it to the one that has it.
      if (!(await claimPass(target, pass))) return;
      await beginAnew(target, pass);
    }
    for (;;) {
      this.beat.signal.throwIfAborted();
      const tuning = await readTuning(target);
      requireNotStopped(tuning);
      this.apply(tuning);
      if (tuning.lanes !== undefined && lane >= tuning.lanes) return;
      // Before a table is held: whoever waits may as well leave it to others.
      await pressure.relax();
      await target.query('begin');
      const table = await takePassTable(target, pass);
      if (!table) {
        await target.query('commit');
        return;
      }
      this.table = table;
      const snapshot = shared ?? new OwnSnapshot(source);
      await this.bring(table, snapshot, { source, target, known, hashing, ranges, relax: () => pressure.relax() });
      this.table = undefined;
    }
  }

  /**
   * An update that left its column alone may have freed a unique value that another row has by now: the target still holds it, and would hold
   * it in every pass to come. Comparing the whole table finds both rows.
   */
  private async bring(table: PassTable, snapshot: Snapshot, sessions: LaneSessions): Promise<void> {
    const { target } = sessions;
    await target.query('savepoint cutover_table');
    try {
      await this.bringOnce(table, snapshot, sessions);
    } catch (error) {
      if (table.digest || !isTakenValue(error)) throw error;
      await target.query('rollback to savepoint cutover_table');
      await this.bringOnce({ ...table, digest: true }, snapshot, sessions);
    }
  }

  private async bringOnce(
    table: PassTable,
    snapshot: Snapshot,
    { source, target, known, ...reading }: LaneSessions,
  ): Promise<void> {
    this.inFlight = 0;
    this.report();
    const subject = known.subjectOf(table);
    const since = await snapshot.take();
    const { xmin, age } = await readMark(source, table.mark);
    const bringing = new TablePass(subject, {
      source,
      target,
      ...reading,
      onBytes: (length) => {
        this.inFlight += length;
        this.rate.count(length);
        this.report();
        return this.throttle.take(length, this.beat.signal);
      },
    });
    const { changes, changed, isIndexed = false } = this.howToFind(table, known, subject, age);
    if (changed === undefined) await bringing.bringDifferent();
    else await bringing.bringChanged(changed, { isIndexed });
    await snapshot.letGo();
    const brought = await bringing.putIn();
    await markBrought(target, this.input.pass, table, { xmin, since }, { changes, ...brought });
    await target.query('commit');
    this.tables += 1;
    this.rows += BigInt(brought.rows);
    this.deleted += BigInt(brought.deleted);
    this.bytes += brought.bytes;
    this.inFlight = 0;
    this.report();
  }

  /** What is cheap where it misses nothing that it must not miss; comparing everything where it might. */
  private howToFind(
    table: PassTable,
    known: SourceTables,
    { relation, hasRowVersions }: PassSubject & { hasRowVersions: boolean },
    age: number | undefined,
  ): { changes: Changes; changed?: string; isIndexed?: boolean } {
    const { settings } = this.input;
    if (table.digest || !relation.key || !table.mark || !hasRowVersions) return { changes: 'digest' };
    const column = known.updateColumnOf(table, settings);
    const { since } = table.mark;
    if (column && since !== undefined) {
      const overlapMs = parseDurationMs(settings.overlap) ?? 0;
      const changed = updatedSql(column.name, column.type, since, overlapMs);
      return { changes: 'update-column', changed, isIndexed: column.isIndexed };
    }
    // Since when transactions were open may be hidden; by their numbers the same rows are found, and more.
    if (age === undefined || (settings.changes === 'digest' && !column)) return { changes: 'digest' };
    return { changes: 'row-version', changed: youngerSql(age) };
  }

  private result(): PassLaneResult {
    return { tables: this.tables, rows: String(this.rows), deleted: String(this.deleted), bytes: this.bytes };
  }

  private report(): void {
    this.beat.report({
      lane: this.input.lane,
      ...(this.table ? { table: nameOf(this.table) } : {}),
      ...this.result(),
      bytesInFlight: this.inFlight,
      bytesPerSecond: this.rate.perSecond(),
      ...(this.waiting === undefined ? {} : { waiting: this.waiting }),
    });
  }

  private apply({ lanes, maxBytesPerSecond }: CopyTuning): void {
    this.throttle.limit(maxBytesPerSecond / (lanes || 1));
  }
}

/** Of a unique index or an exclusion constraint of the target. */
function isTakenValue(error: unknown): boolean {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return code === '23505' || code === '23P01';
}

async function readsRanges(source: Client): Promise<boolean> {
  const { rows } = await on(
    'source',
    source.query<{ version: string }>(`select current_setting('server_version_num') as version`),
  );
  return Number(rows[0]?.version ?? 0) >= tidRangeScanVersion;
}
