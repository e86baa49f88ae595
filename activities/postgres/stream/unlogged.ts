// Unlogged tables leave no WAL, so no stream carries them: they are copied whole while nobody writes, under the fence.
import type { Client } from 'pg';
import type { PostgresDependencies } from '../../dependencies';
import { failure } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import { copyIntoSql, copyOutSql, valueSettings } from '../copy/copy-format';
import { StreamError, streamRows } from '../copy/copy-stream';
import { postgresFailure } from '../errors';
import { requireFence } from '../fence/door';
import type { PostgresScope } from '../scope';
import { listTables, type SelectedTable } from '../tables';
import { otherSide, type WritingSide } from './names';
import { emptyTable } from './release-tables';
import { shownName } from './streamed-tables';

export interface UnloggedCopy {
  scope: PostgresScope;
  /** The fenced side that has written so far. */
  from: WritingSide;
  /** Touches nothing where the fence is down: for attempts that may wake up when the side is in use. */
  fenced?: boolean;
}

/**
 * Empties the unlogged tables of the other side and copies those of `from` into them, in one transaction. One query when there are none.
 * Sessions with `valueSettings`, one on each side.
 * @throws SourceUnavailable, TargetUnavailable (retryable); PreconditionFailed, TargetConflict, VerificationMismatch, AuthDenied (not)
 */
export async function copyUnloggedTables(
  writing: Client,
  following: Client,
  { scope, from, fenced }: UnloggedCopy,
): Promise<{ tables: number; rows: string }> {
  const tables = await unloggedTables(writing, scope);
  if (tables.length === 0) return { tables: 0, rows: '0' };
  return copyInto(writing, following, tables, from, async () => {
    if (fenced) await requireFence(following, { migration: scope.migration, side: otherSide(from) });
  });
}

export function createUnloggedActivities({ connections }: PostgresDependencies) {
  return {
    /** As `copyUnloggedTables`; rows as text. */
    async copyUnlogged({
      scope,
      from,
    }: {
      scope: PostgresScope;
      from: WritingSide;
    }): Promise<{ tables: number; rows: string }> {
      return withHeartbeat({}, ({ signal }) => {
        const session = { purpose: 'copy unlogged tables', signal, settings: { ...valueSettings } };
        return connections.withSession(scope[from], { ...session, side: from }, (writing) =>
          connections.withSession(scope[otherSide(from)], { ...session, side: otherSide(from) }, (following) =>
            copyUnloggedTables(writing, following, { scope, from }),
          ),
        );
      });
    },
  };
}

async function unloggedTables(writing: Client, scope: PostgresScope): Promise<SelectedTable[]> {
  const { rowCount } = await writing.query(
    `select from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'r' and c.relpersistence = 'u' and n.nspname !~ '^pg_' limit 1`,
  );
  if (!rowCount) return [];
  const tables = await listTables(writing, scope.tables);
  return tables.filter(({ persistence, extension }) => persistence === 'u' && extension === undefined);
}

async function copyInto(
  writing: Client,
  following: Client,
  tables: SelectedTable[],
  from: WritingSide,
  mayWrite: () => Promise<void>,
): Promise<{ tables: number; rows: string }> {
  let total = 0n;
  await following.query('set session_replication_role = replica');
  await following.query('begin');
  await mayWrite();
  for (const table of tables) await emptyTable(following, table);
  for (const table of tables) total += BigInt(await copyTable(writing, following, table, from));
  await following.query('commit');
  return { tables: tables.length, rows: String(total) };
}

/** As text: it means the same in every version, and these tables are few. */
async function copyTable(
  writing: Client,
  following: Client,
  { oid, schema, name, columns }: SelectedTable,
  from: WritingSide,
): Promise<number> {
  const own = columns.filter(({ generated }) => !generated).map((column) => column.name);
  const table = { oid, schema, name, columns: own, format: 'text', condition: null, filenode: null } as const;
  const chunk = { id: '', kind: 'table', lower: null, upper: null, bytesEstimated: 0, table } as const;
  const to = otherSide(from);
  const { rowsOut, rowsIn } = await streamRows({
    source: writing,
    target: following,
    out: copyOutSql(chunk),
    into: copyIntoSql(table, false),
  }).catch((error: unknown) => {
    if (!(error instanceof StreamError)) throw error;
    const side = error.side === 'source' ? from : to;
    throw postgresFailure(error.error, side, `Copying the unlogged table ${shownName(table)}`);
  });
  if (rowsOut === rowsIn) return rowsIn;
  throw failure(
    'VerificationMismatch',
    `Of the unlogged table ${shownName(table)} the ${from} sent ${rowsOut} rows and the ${to} took ${rowsIn}. Look for triggers there that refuse rows, and retry.`,
  );
}
