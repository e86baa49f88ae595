// The proof that an archive restores: into a new database of its own on a scratch server, counted table by table, dropped again.
// Never on the server that the archive is of, never into a database that was there before.
import { createHash } from 'node:crypto';
import type { Client } from 'pg';
import type { ConnectionReference } from '../../../plan/reference';
import type { PostgresDependencies } from '../../dependencies';
import { failure, failureType } from '../../errors';
import type { PostgresConnections } from '../connection';
import { quoteIdentifier, quoteLiteral } from '../identifier';
import { dropNamedRoles, makeNamedRoles, readNamedRoles } from '../rehearsal/roles';
import type { PostgresScope } from '../scope';
import { countRows } from './dump';
import { requirePgRestore, requireSameCounts, restoreArchive } from './restore-archive';

export const scratchPrefix = 'cutover_verify_';

/** The scratch database of a migration: at most 63 bytes, different for different migrations. */
export function scratchDatabase(migration: string): string {
  const slug = migration
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '_')
    .slice(0, 32);
  return `${scratchPrefix}${slug}_${createHash('sha256').update(migration).digest('hex').slice(0, 8)}`;
}

/**
 * Restores and compares.
 * @param counts JSON of the exact rows that the archive holds
 * @throws PreconditionFailed when the scratch server is that of either side, or the archive does not restore; VerificationMismatch when rows differ; TargetConflict for a strange database of that name
 */
export async function restoreToScratch(
  dependencies: PostgresDependencies,
  {
    scope,
    side: backed,
    scratch: planned,
    path,
    counts,
    signal,
  }: {
    scope: PostgresScope;
    side: 'source' | 'target';
    scratch: ConnectionReference;
    path: string;
    counts: string;
    signal: AbortSignal;
  },
): Promise<string[]> {
  const { connections } = dependencies;
  const pgRestore = requirePgRestore(dependencies);
  const database = scratchDatabase(scope.migration);
  const original = await describeDatabase(connections, scope, backed, signal);
  const side = 'scratch' as const;
  const system = await connections.withSession(planned, { side, purpose: 'scratch server', signal }, systemIdentifier);
  await refuseProduction(connections, scope, { system, backed, signal });
  // Every session from here on ends where the reference leads elsewhere.
  const scratch = { ...planned, system };
  const named = await connections.withSession(
    scope[backed],
    { side: backed, purpose: 'roles', signal },
    readNamedRoles,
  );
  await connections.withSession(scratch, { side, purpose: 'scratch database', signal }, async (session) => {
    await dropScratch(session, database, scope.migration);
    await createScratch(session, database, original, scope.migration);
  });
  try {
    await connections.withSession(scratch, { side, purpose: 'scratch roles', signal }, (session) =>
      makeNamedRoles(session, named, scope.migration),
    );
    const environment = {
      ...(await connections.toolEnvironment(scratch)),
      PGDATABASE: database,
      PGAPPNAME: 'cutover verify snapshot',
    };
    await restoreArchive(pgRestore, { path, database, environment, signal });
    const restored = await connections.withSession(
      scratch,
      { side, purpose: 'scratch counts', signal, database },
      (session) => countRows(session, scope),
    );
    const { rows, tables } = requireSameCounts(counts, restored, {
      archive: 'the snapshot',
      origin: 'what was dumped',
    });
    return [
      'restored into a scratch database without an error (owners and privileges left out), dropped again',
      `${rows} rows in ${tables} tables, each count equal to that at the moment of the snapshot`,
    ];
  } finally {
    // Also after cancellation: nothing of ours stays on somebody's server.
    await connections.withSession(scratch, { side, purpose: 'scratch database' }, async (session) => {
      await dropScratch(session, database, scope.migration);
      const left = await dropNamedRoles(session, scope.migration);
      if (left.length > 0)
        throw failure(
          'NotReadyYet',
          `Roles that were made for the proof are still on the scratch server: ${left.join('; ')}. It is tried again by itself; drop them by hand when that lasts.`,
        );
    });
  }
}

interface DatabaseDescription {
  encoding: string;
  collate: string;
  ctype: string;
}

async function describeDatabase(
  connections: PostgresConnections,
  scope: PostgresScope,
  side: 'source' | 'target',
  signal: AbortSignal,
): Promise<DatabaseDescription> {
  return connections.withSession(scope[side], { side, purpose: 'snapshot check', signal }, async (session) => {
    const { rows } = await session.query<DatabaseDescription>(
      'select pg_encoding_to_char(encoding) as encoding, datcollate as collate, datctype as ctype from pg_database where datname = current_database()',
    );
    if (!rows[0])
      throw failure(
        'PreconditionFailed',
        `The database of the ${side} is not in its own catalogue. Look at the server.`,
      );
    return rows[0];
  });
}

async function systemIdentifier(session: Client): Promise<string> {
  const { rows } = await session.query<{ id: string }>('select system_identifier as id from pg_control_system()');
  return rows[0]?.id ?? '';
}

/** Neither the side that was backed up nor the other one, which is production just as well. */
async function refuseProduction(
  connections: PostgresConnections,
  scope: PostgresScope,
  { system, backed, signal }: { system: string; backed: 'source' | 'target'; signal: AbortSignal },
): Promise<void> {
  for (const side of ['source', 'target'] as const) {
    const asking = connections.withSession(scope[side], { side, purpose: 'snapshot check', signal }, systemIdentifier);
    // One that does not answer is not the scratch server, which has just answered: the proof does not wait for a source that is away by then.
    const found = await (side === backed ? asking : asking.catch(unlessRefused));
    if (found !== system) continue;
    throw failure(
      'PreconditionFailed',
      `The scratch server of the rehearsal is the server of the ${side}, or a physical copy of it (same system identifier): a rehearsal never runs on production. Point rehearsal.${backed} at a server of its own, made by initdb, then retry.`,
    );
  }
}

/** It answered, and may not be asked: it could be any server. */
function unlessRefused(error: unknown): undefined {
  if (failureType(error) === 'AuthDenied' || failureType(error) === undefined) throw error;
}

const ownComment = (migration: string): string => `cutover: verification of the snapshot of ${migration}`;

async function createScratch(
  session: Client,
  database: string,
  original: DatabaseDescription,
  migration: string,
): Promise<void> {
  const name = quoteIdentifier(database);
  const encoding = `create database ${name} template template0 encoding ${quoteLiteral(original.encoding)}`;
  try {
    await session.query(
      `${encoding} lc_collate ${quoteLiteral(original.collate)} lc_ctype ${quoteLiteral(original.ctype)}`,
    );
  } catch (error) {
    // Only the locale may differ, where the scratch server's system lacks it: counts do not depend on it.
    if (!(
      typeof error === 'object' &&
      error !== null &&
      'code' in error &&
      ['22023', '42809'].includes(String(error.code))
    ))
      throw error;
    await session.query(`${encoding} locale 'C'`);
  }
  await session.query(`comment on database ${name} is ${quoteLiteral(ownComment(migration))}`);
}

async function dropScratch(session: Client, database: string, migration: string): Promise<void> {
  const find = async (): Promise<{ comment: string | null } | undefined> =>
    (
      await session.query<{ comment: string | null }>(
        `select shobj_description(oid, 'pg_database') as comment from pg_database where datname = $1`,
        [database],
      )
    ).rows[0];
  const found = await find();
  if (!found) return;
  if (found.comment !== null && found.comment !== ownComment(migration)) {
    throw failure(
      'TargetConflict',
      `The scratch server has a database ${database} that this migration did not make. Rename or drop it, then retry.`,
    );
  }
  await session.query(`drop database if exists ${quoteIdentifier(database)} with (force)`);
  if (await find())
    throw failure(
      'NotReadyYet',
      `The scratch database ${database} is still there after DROP DATABASE. It is tried again by itself; drop it by hand when that lasts.`,
    );
}
