// Runbook section 1, "record baseline metrics": how the source is before the migration, in numbers that the report compares with later.
import type { Client } from 'pg';
import type { BaselineMetrics } from '../../journal/types';
import type { NamedQuery } from '../../plan/postgres';
import type { ArtifactReference } from '../artifacts/store';
import type { PostgresDependencies } from '../dependencies';
import { withHeartbeat } from '../heartbeat';
import { applicationNamePrefix } from './connection';
import { quoteQualified } from './identifier';
import { latestUpdate } from './latest-update';
import type { PostgresScope } from './scope';
import { singleStatement } from './single-statement';
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
/** For one query of the plan; a query that takes longer is no baseline. */
const queryTimeout = { statement_timeout: '10min' };
const runs = 5;
const countingSessions = 2;

export function createBaselineActivities({ connections, artifacts }: PostgresDependencies) {
  return {
    /**
     * Exact row counts of every selected table, size, last update, connections, lag of the standbys, and the plan's queries timed.
     * Changes nothing. @throws SourceUnavailable (retryable), AuthDenied, PreconditionFailed
     */
    async measureBaseline({ scope, queries }: { scope: PostgresScope; queries: NamedQuery[] }): Promise<Baseline> {
      return withHeartbeat({ counted: 0, tables: 0 }, async ({ signal, report }) => {
        const measuredAt = new Date().toISOString();
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
        await Promise.all(
          Array.from({ length: Math.min(countingSessions, Math.max(tables.length, 1)) }, () =>
            connections.withSession(scope.source, { ...session, purpose: 'counting rows' }, async (source) => {
              for (let table = queue.pop(); table; table = queue.pop()) {
                signal.throwIfAborted();
                counts.set(table.oid, await countRows(source, table));
                report({ counted: counts.size, tables: tables.length });
              }
            }),
          ),
        );
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
          },
          performance: await timeQueries(connections, scope.source, 'source', queries, signal),
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
      return withHeartbeat(undefined, ({ signal }) => timeQueries(connections, scope[side], side, queries, signal));
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

type Connections = PostgresDependencies['connections'];

async function timeQueries(
  connections: Connections,
  reference: PostgresScope['source'],
  side: 'source' | 'target',
  queries: NamedQuery[],
  signal: AbortSignal,
): Promise<QueryTime[]> {
  const times: QueryTime[] = [];
  for (const { name, sql } of queries) {
    const options = { side, purpose: `Timing "${name}"`, signal, settings: { ...readOnly, ...queryTimeout } };
    const measured = await connections.withSession(reference, options, async (session) => {
      const all: number[] = [];
      for (let run = 0; run < runs; run += 1) all.push(await timeOnce(session, sql));
      return all;
    });
    times.push({ name, medianMs: Math.round(median(measured) * 1_000) / 1_000 });
  }
  return times;
}

/** The server's own clock: rows stay there, however many they are, and the way to the worker does not count. */
async function timeOnce(session: Client, sql: string): Promise<number> {
  const { rows } = await session.query<Record<string, string>>(
    singleStatement(`explain (analyze, timing off, buffers off, format json) ${sql}`),
  );
  const [plan] = JSON.parse(Object.values(rows[0] ?? {})[0] ?? '[]') as {
    'Planning Time': number;
    'Execution Time': number;
  }[];
  if (!plan) throw new Error('the server gave no times');
  return plan['Planning Time'] + plan['Execution Time'];
}

function median(values: number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
