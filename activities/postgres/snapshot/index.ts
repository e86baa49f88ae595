// Runbook step 4a: the last backup before the migration, and the proof that it is one. A gzip that opens proves nothing:
// with a scratch server the archive is restored and counted, without one its digest and its table of contents are checked.
import { parseDurationMs } from '../../../plan/duration';
import type { Snapshot } from '../../../plan/postgres';
import type { ConnectionReference } from '../../../plan/reference';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import { failure } from '../../errors';
import { attemptFacts, withHeartbeat } from '../../heartbeat';
import { runTool } from '../client-tools';
import { restoreForRehearsal, type RestorePlace } from '../rehearsal/restore';
import type { PostgresScope } from '../scope';
import { listTables } from '../tables';
import { commandEnvironment, runCommand } from './command';
import { dumpDatabase, type SnapshotProgress } from './dump';
import { takeRdsSnapshot, verifyRdsSnapshot, type RdsProgress, type RdsSnapshotReference } from './rds';
import { restoreToScratch } from './scratch';
import { toolFailure } from './tool-failure';

export interface SnapshotResult {
  kind: Snapshot['kind'];
  artifact?: ArtifactReference;
  /** Exact rows of every selected table in the archive, as JSON. */
  counts?: ArtifactReference;
  bytes?: number;
  /** Of the kind `rds`. */
  rds?: RdsSnapshotReference;
  /** What a command printed last, at most 2000 characters, credentials masked; for `none` the reason of the plan. */
  output?: string;
  /** ISO 8601. */
  takenAt: string;
  durationMs: number;
}

export interface SnapshotVerification {
  /** `describe`: what the service says of it; nothing was restored. */
  method: 'list+checksum' | 'restore' | 'command' | 'describe' | 'none';
  evidence: string[];
  durationMs: number;
}

/** The side that a backup is of. */
type Backed = 'source' | 'target';

export function createSnapshotActivities(dependencies: PostgresDependencies) {
  const { artifacts, tools, connections, environment = process.env } = dependencies;

  function command(scope: PostgresScope, line: string[], timeout: string, signal: AbortSignal): Promise<string> {
    const passed = commandEnvironment(environment, [scope.source, scope.target]);
    return runCommand(line, { environment: passed, timeoutMs: parseDurationMs(timeout) ?? 0, signal });
  }

  async function listArchive(scope: PostgresScope, side: Backed, path: string, signal: AbortSignal): Promise<string[]> {
    if (!tools.pgRestore)
      throw failure(
        'PreconditionFailed',
        'There is no pg_restore on this worker to verify the snapshot. Install the PostgreSQL client tools on every worker, then retry.',
      );
    const { exitCode, stdout, stderr } = await runTool(tools.pgRestore, ['--list', path], { signal });
    if (exitCode !== 0) throw toolFailure('pg_restore --list', side, exitCode, stderr);
    const entries = stdout.split('\n').filter((line) => /^\d+;/.test(line));
    const tables = await connections.withSession(scope[side], { side, purpose: 'snapshot check', signal }, (session) =>
      listTables(session, scope.tables),
    );
    const missing = missingTables(entries, tables);
    if (missing.length > 0) {
      throw failure(
        'VerificationMismatch',
        `The snapshot lacks the rows of ${missing.length} selected tables: ${missing.slice(0, 20).join(', ')}. Take it again; tables made since then are not in it.`,
      );
    }
    return [
      `pg_restore reads its table of contents: ${entries.length} entries, the rows of all ${tables.length} selected tables among them`,
    ];
  }

  return {
    /**
     * Takes the snapshot that the plan asks for. Cancellation ends pg_dump and leaves no partial artifact.
     * A command whose worker died is run again: it should be one that may be repeated. A snapshot by RDS that was begun is found again and waited for.
     * @throws PreconditionFailed for a missing tool, a failing command, a full artifact directory, a snapshot by RDS that failed or took too long; AuthDenied; SourceUnavailable and ArtifactStoreUnavailable (retryable)
     */
    takeSnapshot: ({
      scope,
      snapshot,
      name,
      side = 'source',
    }: {
      scope: PostgresScope;
      snapshot: Snapshot;
      name: string;
      /** Of which the backup is; the source where nothing is said. */
      side?: Backed;
    }): Promise<SnapshotResult> => {
      const initial: SnapshotProgress = {
        doing: snapshot.kind,
        bytes: 0,
        bytesPerSecond: 0,
        databaseBytes: 0,
      };
      return withHeartbeat<SnapshotProgress | RdsProgress, SnapshotResult>(initial, async (beat) => {
        const started = Date.now();
        const { kind } = snapshot;
        const done = (rest: Partial<SnapshotResult>): SnapshotResult => ({
          kind,
          ...rest,
          takenAt: new Date(started).toISOString(),
          durationMs: Date.now() - started,
        });
        switch (kind) {
          case 'none':
            return done({ output: snapshot.reason });
          case 'command':
            return done({ output: await command(scope, snapshot.command, snapshot.timeout, beat.signal) });
          case 'rds': {
            const { runId = '', scheduledAt = started } = attemptFacts();
            const occasion = { migration: scope.migration, runId, begunAt: scheduledAt };
            return done({ rds: await takeRdsSnapshot(occasion, snapshot, { environment, ...beat }) });
          }
          case 'pg_dump': {
            const { artifact, counts } = await dumpDatabase(dependencies, scope, { name, side }, beat);
            return done({ artifact, counts, bytes: artifact.bytes });
          }
        }
      });
    },

    /**
     * Verifies it: restored into the scratch source where there is one, in which the rows then stay; otherwise by digest and table of contents; a command by its `verify`.
     * @throws VerificationMismatch when rows or tables are missing or the file has changed; PreconditionFailed; TargetConflict; the retryable ones
     */
    verifySnapshot: ({
      scope,
      snapshot,
      result,
      restore,
      scratch,
      side = 'source',
    }: {
      scope: PostgresScope;
      snapshot: Snapshot;
      result: SnapshotResult;
      /** The scratch source of a rehearsal: what is restored stays there. */
      restore?: RestorePlace;
      /** A server where it is restored into a database of its own, which is dropped again. */
      scratch?: ConnectionReference;
      side?: Backed;
    }): Promise<SnapshotVerification> =>
      withHeartbeat('verifying the snapshot', async ({ signal, report }) => {
        const started = Date.now();
        const done = (method: SnapshotVerification['method'], evidence: string[]): SnapshotVerification => ({
          method,
          evidence,
          durationMs: Date.now() - started,
        });
        if (snapshot.kind === 'none')
          return done('none', [`taken by somebody else and not looked at: ${snapshot.reason}`]);
        if (snapshot.kind === 'command') {
          if (!snapshot.verify)
            return done('none', ['the command ended with exit code 0; the plan names no verify command']);
          const output = await command(scope, snapshot.verify, snapshot.timeout, signal);
          return done('command', [
            `${snapshot.verify[0] ?? ''} ended with exit code 0`,
            ...(output ? [output.slice(-300)] : []),
          ]);
        }
        if (snapshot.kind === 'rds')
          return done('describe', await verifyRdsSnapshot(snapshot, result.rds, { environment, signal }));
        const { artifact, counts } = result;
        if (!artifact)
          throw failure('PreconditionFailed', 'The snapshot to verify has no artifact. Take the snapshot again.');
        const path = await artifacts.fetch(artifact);
        try {
          const evidence = [
            `sha256 ${artifact.sha256.slice(0, 12)}… of all ${artifact.bytes} bytes is as it was written`,
            ...(await listArchive(scope, side, path, signal)),
          ];
          if (!(restore ?? scratch) || !counts) return done('list+checksum', evidence);
          report('restoring the snapshot on the scratch server');
          const restoring = { scope, path, counts: await artifacts.read(counts), signal };
          const restored = restore
            ? await restoreForRehearsal(dependencies, { ...restoring, place: restore })
            : scratch
              ? await restoreToScratch(dependencies, { ...restoring, side, scratch })
              : [];
          return done('restore', [...evidence, ...restored]);
        } finally {
          await artifacts.release?.(artifact);
        }
      }),
  };
}

/** Lines of a table of contents read `3388; 0 16397 TABLE DATA public orders owner`: names are not quoted, so they are looked up as prefixes. */
function missingTables(entries: string[], tables: { schema: string; name: string }[]): string[] {
  const oneLine = (text: string): string => text.replaceAll(/[\r\n]/g, ' ');
  const rows = entries.flatMap((line) => line.split(' TABLE DATA ').slice(1, 2)).sort(compareText);
  return tables.flatMap(({ schema, name }) => {
    const prefix = oneLine(`${schema} ${name} `);
    let low = 0;
    let high = rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareText(rows[middle] ?? '', prefix) < 0) low = middle + 1;
      else high = middle;
    }
    return rows[low]?.startsWith(prefix) ? [] : [`${schema}.${name}`];
  });
}

function compareText(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
