// The proof that a backup restores, and what the rehearsal then migrates: the archive in the scratch source, counted table by table.
import type { RehearsalServers } from '../../../plan/rehearsal';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import type { PostgresScope } from '../scope';
import { countRows } from '../snapshot/dump';
import { requirePgRestore, requireSameCounts, restoreArchive } from '../snapshot/restore-archive';
import { requireApart } from './guard';
import { makeNamedRoles, readNamedRoles } from './roles';
import { emptyDatabase } from './scratch';

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
  const { connections } = dependencies;
  const pgRestore = requirePgRestore(dependencies);
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
  await restoreArchive(pgRestore, { path, database, environment, signal });
  const restored = await connections.withSession(
    servers.source,
    { side, purpose: 'scratch counts', signal },
    async (session) => {
      // A fresh restore has no statistics, and the rehearsal is to be as quick as production.
      await session.query('analyze');
      return countRows(session, scope);
    },
  );
  const { rows, tables } = requireSameCounts(counts, restored, {
    archive: "the source's snapshot",
    origin: 'the source',
  });
  return [
    'restored into the scratch source without an error (owners and privileges left out)',
    `${rows} rows in ${tables} tables, each count equal to the source's at the moment of the snapshot`,
  ];
}
