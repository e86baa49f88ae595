// The proof that a backup restores, and what the rehearsal then migrates: the archive in the scratch source, counted table by table.
import { z } from 'zod';
import type { RehearsalServers } from '../../../plan/rehearsal';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import { failure } from '../../errors';
import { runTool } from '../client-tools';
import type { PostgresScope } from '../scope';
import { countRows, type RowCounts } from '../snapshot/dump';
import { toolFailure } from '../snapshot/tool-failure';
import { requireApart } from './guard';
import { makeNamedRoles, readNamedRoles } from './roles';
import { emptyDatabase } from './scratch';

const jobs = 2;
const countsSchema = z.array(z.tuple([z.string(), z.string(), z.string()]));

/** Where a backup is restored: the scratch source, which was found empty as `inventory` says. */
export interface RestorePlace {
  servers: RehearsalServers;
  inventory: ArtifactReference;
}

/**
 * Restores and compares. The rows stay, for the rehearsal. What an attempt before has left is removed first.
 * @param counts JSON of the exact rows that the archive holds
 * @throws PreconditionFailed when the scratch source is production in any way, or the archive does not restore; VerificationMismatch when rows differ
 */
export async function restoreForRehearsal(
  dependencies: PostgresDependencies,
  {
    scope,
    place: { servers: planned, inventory },
    path,
    counts,
    signal,
  }: { scope: PostgresScope; place: RestorePlace; path: string; counts: string; signal: AbortSignal },
): Promise<string[]> {
  const { connections, tools } = dependencies;
  const { pgRestore } = tools;
  if (!pgRestore)
    throw failure(
      'PreconditionFailed',
      'There is no pg_restore on this worker to prove that the snapshot restores. Install the PostgreSQL client tools on every worker, then retry.',
    );
  const side = 'scratch' as const;
  const { servers } = await requireApart(connections, { scope, rehearsal: planned }, signal);
  await emptyDatabase(dependencies, { scope, side: 'source', reference: servers.source, inventory, signal });
  const named = await connections.withSession(
    scope.source,
    { side: 'source', purpose: 'roles', signal },
    readNamedRoles,
  );
  await connections.withSession(servers.source, { side, purpose: 'scratch roles', signal }, (session) =>
    makeNamedRoles(session, named, scope.migration),
  );
  const { database } = await connections.address(servers.source);
  const environment = { ...(await connections.toolEnvironment(servers.source)), PGAPPNAME: 'cutover restore snapshot' };
  const args = [
    '--exit-on-error',
    '--no-subscriptions',
    '--no-owner',
    '--no-privileges',
    '--no-password',
    `--jobs=${jobs}`,
    `--dbname=${database}`,
    path,
  ];
  const { exitCode, stderr } = await runTool(pgRestore, args, { environment, signal });
  if (exitCode !== 0) throw toolFailure('pg_restore', side, exitCode, stderr);
  const restored = await connections.withSession(
    servers.source,
    { side, purpose: 'scratch counts', signal },
    async (session) => {
      // A fresh restore has no statistics, and the rehearsal is to be as quick as production.
      await session.query('analyze');
      return countRows(session, scope);
    },
  );
  return compare(countsSchema.parse(JSON.parse(counts)), restored);
}

function compare(expected: RowCounts, restored: RowCounts): string[] {
  const found = new Map(restored.map(([schema, table, rows]) => [JSON.stringify([schema, table]), rows]));
  const different = expected.flatMap(([schema, table, rows]) => {
    const has = found.get(JSON.stringify([schema, table]));
    return has === rows
      ? []
      : [`${schema}.${table}: ${rows} rows in the source's snapshot, ${has ?? 'no table'} restored`];
  });
  if (different.length > 0) {
    throw failure(
      'VerificationMismatch',
      `The restored snapshot differs from the source in ${different.length} tables: ${different.slice(0, 20).join('; ')}. Take the snapshot again; do not go on without one that restores.`,
    );
  }
  const total = restored.reduce((sum, [, , rows]) => sum + BigInt(rows), 0n);
  return [
    'restored into the scratch source without an error (owners and privileges left out)',
    `${total} rows in ${expected.length} tables, each count equal to the source's at the moment of the snapshot`,
  ];
}
