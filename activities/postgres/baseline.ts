// Runbook section 1, "record baseline metrics": how the source is before the migration, in numbers that the report compares with later.
import type { Client } from 'pg';
import type { BaselineMetrics } from '../../journal/types';
import type { NamedQuery, RollbackTriggers } from '../../plan/postgres';
import { measureErrorRate } from '../application/error-rate';
import type { ArtifactReference } from '../artifacts/store';
import type { PostgresDependencies } from '../dependencies';
import { failure } from '../errors';
import { withHeartbeat } from '../heartbeat';
import { applicationNamePrefix } from './connection';
import { quoteQualified } from './identifier';
import { latestUpdate } from './latest-update';
import { planSession } from './plan-query';
import { timeQueries } from './query-times';
import type { PostgresScope } from './scope';
import { listTables, type SelectedTable } from './tables';

export interface QueryTime {
  name: string;
  /** Planning and execution in the server, without sending the rows. */
  medianMs: number;
}

export interface Baseline {
  metrics: BaselineMetrics;
  performance: QueryTime[];
  /** JSON: `{ measuredAt, tables: [{ table, rows, bytes }] }`, every selected table. */
  counts: ArtifactReference;
}

const readOnly = { default_transaction_read_only: 'on' };
const countingSessions = 2;

/** `environment` is the worker's own, for the token of Prometheus. */
type BaselineDependencies = PostgresDependencies & { environment?: NodeJS.ProcessEnv };

export function createBaselineActivities({ connections, artifacts, environment }: BaselineDependencies) {
  return {
    /**
     * Exact row counts of every selected table, size, last update, connections, lag of the standbys, and the plan's queries timed; with `triggers`
     * the error rate by their probes and by Prometheus as well, so that the one after the switch can be compared with it.
     * Changes nothing. @throws SourceUnavailable (retryable), AuthDenied, PreconditionFailed
     */
    async measureBaseline({
      scope,
      queries,
      triggers,
    }: {
      scope: PostgresScope;
      queries: NamedQuery[];
      triggers?: Pick<RollbackTriggers, 'probes' | 'interval' | 'prometheus'>;
    }): Promise<Baseline> {
      return withHeartbeat({ counted: 0, tables: 0 }, async ({ signal, report }) => {
        const measuredAt = new Date().toISOString();
        // Before the counting, which is a load of its own.
        const errors = triggers && (await measureErrorRate(triggers, { environment, signal }));
        const session = { side: 'source', signal, settings: readOnly } as const;
        const start = await connections.withSession(
          scope.source,
          { ...session, purpose: 'baseline' },
          async (source) => {
            const tables = await listTables(source, scope.tables);
            return { tables, ...(await databaseFigures(source)), latest: await latestUpdate(source, tables) };
          },
        );
        const { tables } = start;
        const counts = new Map<string, string>();
        const queue = [...tables].sort((left, right) => left.bytes - right.bytes);
        const counting = Array.from({ length: countingSessions }, () =>
          connections.withSession(scope.source, { ...session, purpose: 'counting rows' }, async (source) => {
            for (let table = queue.pop(); table; table = queue.pop()) {
              signal.throwIfAborted();
              counts.set(table.oid, await countRows(source, table));
              report({ counted: counts.size, tables: tables.length });
            }
          }),
        );
        // One that fails ends the others after their table, and none is left running behind the failure.
        const ended = await Promise.allSettled(
          counting.map((one) => one.catch((error: unknown) => ((queue.length = 0), Promise.reject(error as Error)))),
        );
        for (const one of ended) if (one.status === 'rejected') throw one.reason;
        const listed = tables.map(({ oid, schema, name, bytes }) => ({
          table: `${schema}.${name}`,
          rows: counts.get(oid) ?? '0',
          bytes,
        }));
        const rows = listed.reduce((sum, { rows: some }) => sum + BigInt(some), 0n);
        return {
          metrics: {
            measuredAt,
            databaseBytes: start.databaseBytes,
            tables: tables.length,
            rows: String(rows),
            ...(start.latest ? { latestUpdate: start.latest } : {}),
            connections: start.connections,
            ...(start.lag === undefined ? {} : { replicationLagBytes: start.lag }),
            ...errors,
          },
          performance: await connections.withSession(
            scope.source,
            { side: 'source', purpose: 'timing queries', signal, settings: planSession },
            (source) => timed(source, 'source', queries),
          ),
          counts: await artifacts.put(
            scope.migration,
            'baseline-counts.json',
            JSON.stringify({ measuredAt, tables: listed }, undefined, 1),
          ),
        };
      });
    },

    /** Medians of the named queries on one side. Each runs five times, in a read-only session. @throws PreconditionFailed naming the query that failed */
    async measurePerformance({
      scope,
      side,
      queries,
    }: {
      scope: PostgresScope;
      side: 'source' | 'target';
      queries: NamedQuery[];
    }): Promise<QueryTime[]> {
      return withHeartbeat(undefined, ({ signal }) =>
        connections.withSession(
          scope[side],
          { side, purpose: 'timing queries', signal, settings: planSession },
          (session) => timed(session, side, queries),
        ),
      );
    },
  };
}

async function countRows(source: Client, { schema, name, extensionCondition }: SelectedTable): Promise<string> {
  const { rows } = await source.query<{ n: string }>(
    `select count(*) as n from only ${quoteQualified(schema, name)} ${extensionCondition ?? ''}`,
  );
  return rows[0]?.n ?? '0';
}

interface Figures {
  databaseBytes: number;
  connections: number;
  lag?: number;
}

/** Sessions of others in this database, and how far the slowest standby is behind. */
async function databaseFigures(source: Client): Promise<Figures> {
  const { rows } = await source.query<{ bytes: string; connections: string; lag: string | null }>(
    `select pg_database_size(current_database()) as bytes,
       (select count(*) from pg_stat_activity where datname = current_database() and backend_type = 'client backend'
          and pid <> pg_backend_pid() and application_name not like $1 || ' %') as connections,
       (select max(greatest(0, pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end, replay_lsn)))::bigint
          from pg_stat_replication where application_name not like $1 || ' %') as lag`,
    [applicationNamePrefix],
  );
  const lag = rows[0]?.lag ?? undefined;
  return {
    databaseBytes: Number(rows[0]?.bytes),
    connections: Number(rows[0]?.connections),
    ...(lag === undefined ? {} : { lag: Number(lag) }),
  };
}

/** @throws PreconditionFailed naming the query that cannot be timed */
async function timed(session: Client, side: 'source' | 'target', queries: NamedQuery[]): Promise<QueryTime[]> {
  return (await timeQueries(session, queries)).map((time) => {
    if (!('error' in time)) return time;
    throw failure(
      'PreconditionFailed',
      `Timing the query "${time.name}" failed on the ${side}: ${time.error}. Correct it in plan.validation.performance.queries.`,
    );
  });
}
