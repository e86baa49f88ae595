// Executes entries of an archive inside the caller's transaction, many at a time, and names the one that failed.
import type { Client } from 'pg';
import { failure } from '../../errors';
import { postgresFailure } from '../errors';
import type { ArchiveEntry, SchemaArchive } from './archive';

/** One pg_restore process and one round trip for so many entries. */
const atOnce = 25;

export interface RunOptions {
  /** Changes the SQL of a piece before it runs. */
  rewrite?: (sql: string) => string;
  /** Called after each piece with the number of entries done. */
  done?: (entries: number) => void;
}

/**
 * Runs the entries in order. The transaction must be open; after an error it must be rolled back.
 * @throws the failure of the first entry that cannot be made: PreconditionFailed, TargetConflict, AuthDenied; or TargetUnavailable (retryable)
 */
export async function runEntries(
  target: Client,
  archive: SchemaArchive,
  entries: ArchiveEntry[],
  { rewrite = (sql) => sql, done = () => undefined }: RunOptions = {},
): Promise<void> {
  for (let start = 0; start < entries.length; start += atOnce) {
    const piece = entries.slice(start, start + atOnce);
    const sql = rewrite(await archive.sql(piece));
    const [only] = piece;
    if (piece.length === 1 && only) await runOne(target, only, sql);
    else {
      await target.query('savepoint cutover_entries');
      const error: unknown = await target.query(sql).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      if (error !== undefined) {
        // Which of them it was is not told by every error: undo the piece and go one by one.
        await target.query('rollback to savepoint cutover_entries').catch(() => {
          throw postgresFailure(error, 'target', 'Restoring the schema');
        });
        for (const entry of piece) await runOne(target, entry, rewrite(await archive.sql([entry])));
      }
      await target.query('release savepoint cutover_entries');
    }
    done(start + piece.length);
  }
}

async function runOne(target: Client, entry: ArchiveEntry, sql: string): Promise<void> {
  try {
    await target.query(sql);
  } catch (error) {
    throw explain(error, entry, sql);
  }
}

/** Definitions that may hold a password are never shown. */
const silent = new Set(['USER MAPPING', 'SERVER', 'FOREIGN SERVER', 'SUBSCRIPTION']);

function explain(error: unknown, entry: ArchiveEntry, sql: string): Error {
  const object = `${entry.kind} ${entry.label}`;
  const { code, position, message } = error as { code?: string; position?: string; message?: string };
  const statement = silent.has(entry.kind) ? '' : ` Statement: ${statementAt(sql, Number(position ?? 0))}.`;
  if (code === '42704' || code === '42883' || code === '42P01' || code === '3F000') {
    return failure(
      'PreconditionFailed',
      `Restoring ${object} failed on the target: ${message} (SQLSTATE ${code}).${statement} Something that it needs is not there: create the role, tablespace or extension on the target, include the table in the plan, or, where a function relies on search_path, give it one by ALTER FUNCTION … SET search_path on the source; then retry.`,
      { sqlState: code, entry: entry.id },
      error,
    );
  }
  return postgresFailure(error, 'target', `Restoring ${object}${statement ? ` (${statement.trim()})` : ''}`);
}

function statementAt(sql: string, position: number): string {
  const at = position > 0 ? position : sql.search(/^(CREATE|ALTER|COMMENT|GRANT|REVOKE|REFRESH|SECURITY)\b/m) + 1;
  const before = sql.lastIndexOf(';\n', Math.max(0, at - 1));
  const text = sql
    .slice(before === -1 ? 0 : before + 2)
    .replaceAll(/^--.*\n/gm, '')
    .trim();
  const end = text.indexOf(';\n');
  const statement = (end === -1 ? text : text.slice(0, end)).replaceAll(/\s+/g, ' ');
  return statement.length > 300 ? `${statement.slice(0, 300)}…` : statement;
}
