// A complete pg_dump archive of the source, straight into the artifact store, with the exact row counts of the very
// snapshot that it holds: so a restored copy can be compared exactly although the source goes on living.
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import type { Client } from 'pg';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import { failure } from '../../errors';
import type { Beat } from '../../heartbeat';
import { runTool } from '../client-tools';
import { applicationNamePrefix } from '../connection';
import { quoteQualified } from '../identifier';
import type { PostgresScope } from '../scope';
import { listTables } from '../tables';
import { toolFailure } from './tool-failure';

/** What the heartbeat of a snapshot shows. `databaseBytes` is the size of the database, of which an archive is a compressed part. */
export interface SnapshotProgress {
  doing: string;
  bytes: number;
  bytesPerSecond: number;
  databaseBytes: number;
}

const pollMs = 1_000;

/** @throws PreconditionFailed without pg_dump or with a full artifact directory; SourceUnavailable; AuthDenied */
export async function dumpSource(
  { connections, tools, artifacts }: PostgresDependencies,
  scope: PostgresScope,
  name: string,
  { signal, report }: Beat<SnapshotProgress>,
): Promise<{ artifact: ArtifactReference; counts: ArtifactReference }> {
  const { pgDump } = tools;
  if (!pgDump)
    throw failure(
      'PreconditionFailed',
      'There is no pg_dump on this worker for the snapshot of the source. Install the PostgreSQL client tools on every worker, then retry.',
    );
  const applicationName = snapshotApplicationName(scope.migration);
  const environment = { ...(await connections.toolEnvironment(scope.source)), PGAPPNAME: applicationName };
  return connections.withSession(
    scope.source,
    { side: 'source', purpose: 'snapshot counts', signal },
    async (session) => {
      await endOrphans(session, applicationName);
      await session.query('begin isolation level repeatable read read only');
      const { rows } = await session.query<{ id: string; bytes: string }>(
        'select pg_export_snapshot() as id, pg_database_size(current_database()) as bytes',
      );
      const { id = '', bytes = '0' } = rows[0] ?? {};
      const args = [
        '--format=custom',
        '--compress=1',
        '--no-password',
        '--lock-wait-timeout=60s',
        '--quote-all-identifiers',
        `--snapshot=${id}`,
      ];
      const dump = artifacts.put(scope.migration, `${name}.dump`, async (path) => {
        const polling = pollSize(path, Number(bytes), report);
        try {
          const { exitCode, stderr } = await runTool(pgDump, [...args, `--file=${path}`], { environment, signal });
          if (exitCode === 0) return;
          // The store knows how to say that its disk is full.
          if (/no space left on device|disk quota exceeded/i.test(stderr))
            throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
          throw toolFailure('pg_dump', 'source', exitCode, stderr);
        } finally {
          clearInterval(polling);
        }
      });
      // Settled together: the snapshot lives as long as this session's transaction.
      const [dumped, counted] = await Promise.allSettled([dump, countRows(session, scope)]);
      if (dumped.status === 'rejected') throw dumped.reason;
      if (counted.status === 'rejected') throw counted.reason;
      const counts = await artifacts.put(scope.migration, `${name}.counts.json`, JSON.stringify(counted.value));
      return { artifact: dumped.value, counts };
    },
  );
}

/** By which the pg_dump of one migration is known on the source; a name of the server has room for 63 bytes. */
export function snapshotApplicationName(migration: string): string {
  return `${applicationNamePrefix} snapshot ${createHash('sha256').update(migration).digest('hex').slice(0, 16)}`;
}

/** The pg_dump of a worker that was killed goes on without it, keeps its locks, and nobody waits for what it writes. */
async function endOrphans(session: Client, applicationName: string): Promise<void> {
  await session.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and usename = current_user and pid <> pg_backend_pid() and application_name = $1`,
    [applicationName],
  );
}

/** Exact rows of each selected table: `[schema, table, rows]`. */
export type RowCounts = [schema: string, table: string, rows: string][];

/** Counts in the session's own snapshot. */
export async function countRows(session: Client, scope: PostgresScope): Promise<RowCounts> {
  const counts: RowCounts = [];
  for (const { schema, name } of await listTables(session, scope.tables)) {
    const { rows } = await session.query<{ rows: string }>(
      `select count(*) as rows from only ${quoteQualified(schema, name)}`,
    );
    counts.push([schema, name, rows[0]?.rows ?? '0']);
  }
  return counts;
}

function pollSize(path: string, databaseBytes: number, report: (progress: SnapshotProgress) => void): NodeJS.Timeout {
  const started = Date.now();
  return setInterval(() => {
    stat(path).then(
      ({ size }) =>
        report({
          doing: 'dumping',
          bytes: size,
          bytesPerSecond: Math.round((size / (Date.now() - started)) * 1_000),
          databaseBytes,
        }),
      () => undefined,
    );
  }, pollMs);
}
