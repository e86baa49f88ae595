// The proof of tables whose columns are other ones on the target: every row of the source, every column by its own expression, against what the
// target holds. Pieces and what came out are in the ledger, so that a killed proof goes on where it was; another attempt reads all anew.
import { DatabaseError, type Client } from 'pg';
import type { TableRecord, ValidationRecord } from '../../../journal/types';
import { tableOf, type Transformation } from '../../../plan/transformations';
import type { PostgresDependencies } from '../../dependencies';
import { failure } from '../../errors';
import { withHeartbeat, type Beat } from '../../heartbeat';
import type { PostgresConnections } from '../connection';
import { copyFailure, on } from '../copy/copy-errors';
import { valueSettings } from '../copy/copy-format';
import { StreamError } from '../copy/copy-stream';
import { unreadable } from '../digest/read-pieces';
import { quoteLiteral, quoteQualified } from '../identifier';
import { takeTurns } from '../lanes';
import { requireLedger } from '../ledger';
import type { PostgresScope } from '../scope';
import { extraKeys } from './extra';
import { comparePiece, type PieceResult } from './piece';
import { notePiece, openPieces, planPieces, readResults, type OpenPiece } from './pieces';
import { countRejects } from './rejects';
import { withoutValues } from './row-errors';
import { readTransformedTable, type TransformedTable } from './table';
import { recordsOfTable } from './verdicts';

export interface CompareTransformedInput {
  scope: PostgresScope;
  transformations: Transformation[];
  /** Pairs of sessions. */
  lanes: number;
  chunkMegabytes: number;
  /** One validation: the same attempt goes on where it was killed, another one reads everything anew. */
  attempt: string;
}

export interface ComparedTransformed {
  records: ValidationRecord[];
  tables: TableRecord[];
}

export interface TransformedProgress {
  piecesDone: number;
  piecesTotal: number;
}

export function createTransformedComparison({ connections }: PostgresDependencies) {
  return {
    /**
     * Compares every row of the transformed tables with what their expressions give. What differs, or could not be read or evaluated, is in the
     * records; that is a result, not an error.
     * @throws SourceUnavailable, TargetUnavailable (retryable; goes on from what was compared); TargetConflict when the ledger is gone,
     *   PreconditionFailed when a table has lost its primary key
     */
    async compareTransformed(input: CompareTransformedInput): Promise<ComparedTransformed> {
      const { scope } = input;
      return withHeartbeat<TransformedProgress, ComparedTransformed>({ piecesDone: 0, piecesTotal: 0 }, (beat) => {
        const session = { purpose: 'compare transformed', signal: beat.signal, settings: { ...valueSettings } };
        return connections.withSession(scope.source, { ...session, side: 'source' }, (source) =>
          connections.withSession(scope.target, { ...session, side: 'target' }, (target) =>
            new Comparison(connections, input, beat, source, target).run(),
          ),
        );
      });
    },
  };
}

class Comparison {
  private readonly started = Date.now();
  private done = 0;

  constructor(
    private readonly connections: PostgresConnections,
    private readonly input: CompareTransformedInput,
    private readonly beat: Beat<TransformedProgress>,
    private readonly source: Client,
    private readonly target: Client,
  ) {}

  async run(): Promise<ComparedTransformed> {
    const { scope, transformations, attempt, chunkMegabytes, lanes } = this.input;
    await requireLedger(this.target, scope.migration);
    const snapshot = await this.holdStill();
    const tables: TransformedTable[] = [];
    for (const one of transformations) tables.push(await readTransformedTable(this.source, this.target, one));
    await planPieces(this.source, this.target, { attempt, transformations, chunkMegabytes });
    const pieces = await openPieces(this.target, attempt);
    const report = (): void => this.beat.report({ piecesDone: this.done, piecesTotal: pieces.length });
    report();
    await takeTurns(pieces, lanes, (next) => this.compareInTurn(snapshot, tables, next, report));
    return this.judge(tables);
  }

  /** One snapshot for all pieces, and locks under which no table is rewritten: ranges of pages then hold every row once. */
  private async holdStill(): Promise<string> {
    const names = this.input.transformations
      .map(tableOf)
      .map(({ schema, name }) => `only ${quoteQualified(schema, name)}`);
    await this.source.query('begin transaction isolation level repeatable read, read only');
    await this.source.query(`lock table ${names.join(', ')} in access share mode`);
    const { rows } = await this.source.query<{ snapshot: string }>('select pg_export_snapshot() as snapshot');
    return rows[0]?.snapshot ?? '';
  }

  private async compareInTurn(
    snapshot: string,
    tables: TransformedTable[],
    next: () => OpenPiece | undefined,
    report: () => void,
  ): Promise<void> {
    const { scope, attempt } = this.input;
    const session = { purpose: 'compare transformed', signal: this.beat.signal, settings: { ...valueSettings } };
    const open = <Result>(work: (source: Client, target: Client) => Promise<Result>): Promise<Result> =>
      this.connections.withSession(scope.source, { ...session, side: 'source' }, (source) =>
        this.connections.withSession(scope.target, { ...session, side: 'target' }, (target) => work(source, target)),
      );
    for (let piece = next(); piece; piece = next()) {
      const { id, schema, name, lower, upper } = piece;
      const table = tables.find((one) => one.schema === schema && one.name === name);
      if (!table) continue;
      // New sessions for each piece: a failed stream leaves none that could be used, and a piece is large.
      const result = await open(async (source, target) => {
        await target.query('set session_replication_role = replica');
        await this.readAsOf(snapshot, source);
        // Before the sessions are let go: what fails through them there is told in the server's words.
        return comparePiece(source, target, table, { lower, upper }).catch((error: unknown) =>
          this.unread(error, piece),
        );
      });
      await notePiece(this.target, attempt, id, result);
      this.done += 1;
      report();
    }
  }

  private async readAsOf(snapshot: string, source: Client): Promise<void> {
    await on('source', source.query('begin transaction isolation level repeatable read, read only'));
    await source.query(`set transaction snapshot ${quoteLiteral(snapshot)}`).catch((error: unknown) => {
      if (!(error instanceof DatabaseError)) throw error;
      throw failure(
        'SourceUnavailable',
        'The snapshot of the proof is gone from the source, with the session that held it. It is tried again by itself, from what was compared; look at the server when that lasts.',
        { sqlState: error.code },
      );
    });
  }

  /** Lost rights, a time limit, an expression that raises what is no answer: a result, which says that nothing was compared. */
  private unread(error: unknown, { schema, name }: OpenPiece): PieceResult {
    this.beat.signal.throwIfAborted();
    const ofSource = error instanceof StreamError && error.side === 'source';
    const shown = ofSource ? error.error : withoutValues(error instanceof StreamError ? error.error : error);
    const { reason } = unreadable(shown);
    if (reason === undefined) throw copyFailure(ofSource ? error : shown, `Comparing ${schema}.${name}`);
    const nothing = { rows: 0, rejects: 0, refused: 0, takeable: 0, missing: 0, differing: {}, lines: [] };
    return { ...nothing, failure: reason };
  }

  private async judge(tables: TransformedTable[]): Promise<ComparedTransformed> {
    const { transformations, attempt } = this.input;
    const rejects = await countRejects(this.target, transformations);
    const compared: ComparedTransformed = { records: [], tables: [] };
    for (const [index, table] of tables.entries()) {
      const { results, bytes } = await readResults(this.target, attempt, table);
      const { rows } = await this.target.query<{ count: string }>(
        `select count(*) as count from only ${quoteQualified(table.schema, table.name)}`,
      );
      const targetRows = Number(rows[0]?.count);
      const sourceRows = results.reduce((sum, result) => sum + result.rows, 0);
      const matched = results.reduce((sum, result) => sum + result.rows - result.rejects - result.missing, 0);
      // What was not read, or cannot be evaluated, could not be told from rows that only the target has.
      const read = results.every(({ failure: unread, refused }) => unread === undefined && refused === 0);
      const extra = read && targetRows > matched ? await extraKeys(this.source, this.target, table) : [];
      const totals = { targetRows, rejects: rejects[index] ?? 0, extra };
      const records = recordsOfTable(table.transformation, results, totals, Date.now() - this.started);
      compared.records.push(...records);
      compared.tables.push({
        table: table.transformation.table,
        rows: String(sourceRows),
        bytes,
        equal: records.every(({ outcome }) => outcome === 'pass'),
      });
    }
    return compared;
  }
}
