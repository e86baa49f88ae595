// Reads pieces in both databases at once, some sessions on each side, and notes what came out. What cannot be read is noted as
// such; a lost server ends the attempt, and the next one goes on from what was noted.
import { DatabaseError, type Client } from 'pg';
import type { PostgresConnections } from '../connection';
import { valueSettings } from '../copy/copy-format';
import { postgresFailure, withoutRows } from '../errors';
import { takeTurns } from '../lanes';
import type { PostgresScope } from '../scope';
import { noteResult, type DigestSide, type Piece, type PieceResult } from './pieces';
import { identityOf, nameOf, type Relation } from './relations';
import { countSql, digestSql, type Hash } from './row-digest';

export interface Reading {
  connections: PostgresConnections;
  scope: PostgresScope;
  attempt: string;
  lanes: number;
  hash: Hash;
  signal: AbortSignal;
  /** The session whose ledger takes the results. */
  ledger: Client;
  relations: Record<DigestSide, Relation[]>;
  onDone(piece: Piece): void;
}

/** Reads all pieces, `lanes` at a time on each side. @throws SourceUnavailable, TargetUnavailable (retryable) */
export async function readPieces(pieces: Piece[], reading: Reading): Promise<void> {
  let noting: Promise<unknown> = Promise.resolve();
  const note = (piece: Piece, result: PieceResult): Promise<unknown> => {
    noting = noting
      .then(() => noteResult(reading.ledger, reading.attempt, piece, result))
      .catch((error: unknown) => {
        throw postgresFailure(error, 'target', `Noting the digest of ${nameOf(piece)}`);
      });
    return noting;
  };
  const sides: DigestSide[] = ['source', 'target'];
  const results = await Promise.allSettled(
    sides.map((side) =>
      readSide(
        side,
        pieces.filter((piece) => piece.side === side),
        reading,
        note,
      ),
    ),
  );
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

async function readSide(
  side: DigestSide,
  pieces: Piece[],
  reading: Reading,
  note: (piece: Piece, result: PieceResult) => Promise<unknown>,
): Promise<void> {
  const { connections, scope, lanes, hash, signal, relations } = reading;
  const byName = new Map(relations[side].map((relation) => [identityOf(relation), relation]));
  await takeTurns(pieces, lanes, (next) =>
    connections.withSession(
      scope[side],
      { side, purpose: 'digest', signal, settings: { ...valueSettings } },
      async (client) => {
        for (let piece = next(); piece; piece = next()) {
          await note(piece, await readPiece(client, piece, byName.get(identityOf(piece)), hash, signal));
          reading.onDone(piece);
        }
      },
    ),
  );
}

async function readPiece(
  client: Client,
  piece: Piece,
  relation: Relation | undefined,
  hash: Hash,
  signal: AbortSignal,
): Promise<PieceResult> {
  const started = Date.now();
  if (!relation) return { failure: 'it is not there any more', durationMs: 0 };
  try {
    const sql = piece.mode === 'rows' ? digestSql(relation, piece, hash) : countSql(relation, piece);
    const { rows } = await client.query<{ rows: string; high: string | null; low: string | null }>(sql);
    return { ...rows[0], durationMs: Date.now() - started };
  } catch (error) {
    const { reason } = unreadable(error);
    if (signal.aborted || reason === undefined) throw error;
    return { failure: reason, durationMs: Date.now() - started };
  }
}

/** Lost rights, a vanished table, a time limit: trying again by itself would not help. A lost server is not among them. */
export function unreadable(error: unknown): { reason?: string } {
  if (!(error instanceof DatabaseError) || !error.code) return {};
  if (/^(08|57P|40|53)/.test(error.code)) return {};
  return { reason: `${withoutRows(error)} (SQLSTATE ${error.code})` };
}
