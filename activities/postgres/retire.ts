// Runbook section 7, the end of the source: what the plan wants done with it once it is archived and a person has said so.
// The one activity that deletes production data: it refuses whatever is not exactly as it was when people decided.
import type { Client } from 'pg';
import { parseDurationMs } from '../../plan/duration';
import type { PostgresDependencies } from '../dependencies';
import { failure } from '../errors';
import { withHeartbeat } from '../heartbeat';
import { requireFence } from './fence/door';
import { quoteIdentifier } from './identifier';
import type { PostgresScope } from './scope';
import { commandEnvironment, runCommand } from './snapshot/command';

/** `environment` is the worker's own, for the plan's command. */
type RetireDependencies = PostgresDependencies & { environment?: NodeJS.ProcessEnv };

const namedSessions = 5;

export function createRetireActivities({ connections, environment = process.env }: RetireDependencies) {
  /** Something in it that is not as it was when it was decided. */
  async function requireUnused(scope: PostgresScope, database: string, signal: AbortSignal): Promise<void> {
    await connections.withSession(scope.source, { side: 'source', purpose: 'retire', signal, database }, (session) =>
      requireFence(session, { migration: scope.migration, side: 'source' }),
    );
  }

  async function requireTargetElsewhere(
    scope: PostgresScope,
    database: string,
    identifier: string,
    signal: AbortSignal,
  ): Promise<void> {
    const target = await connections.withSession(
      scope.target,
      { side: 'target', purpose: 'retire', signal },
      async (session) => ({
        identifier: await systemIdentifier(session),
        database: (await session.query<{ name: string }>('select current_database() as name')).rows[0]?.name,
      }),
    );
    if (target.identifier !== identifier || target.database !== database) return;
    throw failure(
      'PreconditionFailed',
      `The database ${database} was not dropped: it is the target of this migration as well. Correct the references of the plan on the worker.`,
    );
  }

  return {
    /**
     * Drops the database of the source. Nobody is thrown out: a session of anybody else is a reason not to. Gone already is fine.
     * @param database its name when people decided
     * @throws PreconditionFailed when the reference leads elsewhere by now, the fence is down, somebody is connected; AuthDenied;
     * SourceUnavailable, TargetUnavailable (retryable): nothing is dropped while the target does not answer
     */
    dropSourceDatabase: ({
      scope,
      database,
    }: {
      scope: PostgresScope;
      database: string;
    }): Promise<{ dropped: boolean }> =>
      withHeartbeat(`dropping ${database}`, async ({ signal }) => {
        const address = await connections.address(scope.source);
        if (address.database !== database) {
          throw failure(
            'PreconditionFailed',
            `Nothing was dropped: the reference of the source leads to the database ${address.database} by now, and ${database} was approved. Put the reference right on every worker, then retry.`,
          );
        }
        await connections.endWaiting(scope.source);
        const elsewhere = database === 'postgres' ? 'template1' : 'postgres';
        return connections.withSession(
          scope.source,
          { side: 'source', purpose: 'drop database', signal, database: elsewhere },
          async (session) => {
            if (!(await exists(session, database))) return { dropped: false };
            await requireTargetElsewhere(scope, database, await systemIdentifier(session), signal);
            await requireUnused(scope, database, signal);
            await requireAlone(session, database);
            await session.query(`drop database ${quoteIdentifier(database)}`);
            return { dropped: true };
          },
        );
      }),

    /**
     * Runs the command of the plan, without the connection strings of this migration in its environment. It may be run again when a worker dies.
     * @throws PreconditionFailed when it is not there, fails or takes too long
     */
    runRetireCommand: ({
      scope,
      command,
      timeout,
    }: {
      scope: PostgresScope;
      command: string[];
      timeout: string;
    }): Promise<{ output: string }> =>
      withHeartbeat(command[0], async ({ signal }) => ({
        output: await runCommand(command, {
          environment: commandEnvironment(environment, [scope.source, scope.target]),
          timeoutMs: parseDurationMs(timeout) ?? 0,
          signal,
          section: 'retire',
        }),
      })),
  };
}

async function exists(session: Client, database: string): Promise<boolean> {
  const { rows } = await session.query('select from pg_database where datname = $1', [database]);
  return rows.length > 0;
}

async function systemIdentifier(session: Client): Promise<string> {
  const { rows } = await session.query<{ id: string }>('select system_identifier as id from pg_control_system()');
  return rows[0]?.id ?? '';
}

async function requireAlone(session: Client, database: string): Promise<void> {
  const { rows } = await session.query<{ who: string }>(
    `select 'pid ' || pid || ' of ' || coalesce(usename, backend_type) || coalesce(' (' || nullif(application_name, '') || ')', '') as who
       from pg_stat_activity where datname = $1 order by pid`,
    [database],
  );
  if (rows.length === 0) return;
  const named = rows.slice(0, namedSessions).map(({ who }) => who);
  throw failure(
    'PreconditionFailed',
    `The database ${database} was not dropped: ${rows.length} sessions use it: ${named.join(', ')}. Find out who needs it; end them, then retry.`,
  );
}
