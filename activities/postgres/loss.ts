// What going back would lose: the rows written to the target since the switch, counted by the server's own statistics.
// Sessions report theirs within some seconds of their last statement and at the latest when they end; TRUNCATE and DDL are not counted.
import { z } from 'zod';
import type { Client } from 'pg';
import type { ArtifactReference } from '../artifacts/store';
import type { PostgresDependencies } from '../dependencies';
import { withHeartbeat } from '../heartbeat';
import { ledgerSchema, type PostgresScope } from './scope';

/** The target at the switch. `era` changes when its statistics are reset, as a crash of the server does. */
export interface WriteMark {
  /** ISO 8601. */
  markedAt: string;
  era: string;
  /** Next transaction id, as text. */
  xid: string;
  lsn: string;
  /** Counters of every table, as JSON. */
  counters: ArtifactReference;
}

export interface MeasuredLoss {
  /** Rows inserted, updated and deleted since the mark, as text; a lower bound where not `exact`. */
  writes: string;
  /** The twenty tables written most, then what else is to be known. */
  detail: string[];
  exact: boolean;
}

interface TableCounters {
  oid: string;
  table: string;
  inserted: string;
  updated: string;
  deleted: string;
}

const countersSchema = z.array(
  z.strictObject({
    oid: z.string(),
    table: z.string(),
    inserted: z.string(),
    updated: z.string(),
    deleted: z.string(),
  }),
);
const listed = 20;

/** 2613: pg_largeobject, whose rows are pages of large objects. */
const countersSql = `
select c.oid::text as oid, case c.oid when 2613 then 'large objects (pages)' else n.nspname || '.' || c.relname end as table,
       pg_stat_get_tuples_inserted(c.oid)::text as inserted, pg_stat_get_tuples_updated(c.oid)::text as updated, pg_stat_get_tuples_deleted(c.oid)::text as deleted
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.oid = 2613 or (c.relkind = 'r' and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', '${ledgerSchema}'))`;

/** Crash recovery begins all statistics anew, and leaves its time in all of the server's own; a reset by hand leaves it in the database's. */
const eraSql = `
select case when a.stats_reset = b.stats_reset then a.stats_reset::text else '-' end || ' ' || coalesce(d.stats_reset::text, '-') as era,
       pg_snapshot_xmax(pg_current_snapshot())::text as xid, pg_current_wal_insert_lsn()::text as lsn
  from pg_stat_archiver a, pg_stat_bgwriter b, pg_stat_database d where d.datname = current_database()`;

export function createLossActivities({ connections, artifacts }: PostgresDependencies) {
  function onTarget<Result>(scope: PostgresScope, work: (session: Client) => Promise<Result>): Promise<Result> {
    return connections.withSession(
      scope.target,
      { side: 'target', purpose: 'write counters', settings: { statement_timeout: '50s' } },
      work,
    );
  }

  return {
    /** Notes the write counters of the target at the switch, when nobody writes. @throws TargetUnavailable, ArtifactStoreUnavailable (retryable) */
    markWrites: ({ scope }: { scope: PostgresScope }): Promise<WriteMark> =>
      withHeartbeat({}, () =>
        onTarget(scope, async (session) => {
          const counters = await readCounters(session);
          const now = await readEra(session);
          const stored = await artifacts.put(scope.migration, 'write-counters.json', JSON.stringify(counters));
          return { markedAt: new Date().toISOString(), ...now, counters: stored };
        }),
      ),

    /** Counts what was written since the mark. @throws TargetUnavailable, ArtifactStoreUnavailable (retryable); VerificationMismatch when the mark's file has changed */
    measureLoss: async ({ scope, mark }: { scope: PostgresScope; mark: WriteMark }): Promise<MeasuredLoss> => {
      const before = countersSchema.parse(JSON.parse(await artifacts.read(mark.counters)));
      return onTarget(scope, async (session) => {
        const after = await readCounters(session);
        const { era, xid } = await readEra(session);
        const transactions = (BigInt(xid) - BigInt(mark.xid)).toString();
        return summarize(before, after, { reset: era !== mark.era, transactions, since: mark.markedAt });
      });
    },
  };
}

async function readCounters(session: Client): Promise<TableCounters[]> {
  return (await session.query<TableCounters>(countersSql)).rows;
}

async function readEra(session: Client): Promise<{ era: string; xid: string; lsn: string }> {
  const { rows } = await session.query<{ era: string; xid: string; lsn: string }>(eraSql);
  return rows[0] ?? { era: '', xid: '0', lsn: '0/0' };
}

interface Written {
  table: string;
  inserted: bigint;
  updated: bigint;
  deleted: bigint;
  total: bigint;
}

function summarize(
  before: TableCounters[],
  after: TableCounters[],
  facts: { reset: boolean; transactions: string; since: string },
): MeasuredLoss {
  const known = new Map(before.map((row) => [row.oid, row]));
  const there = new Set(after.map(({ oid }) => oid));
  const gone = before.filter(({ oid }) => !there.has(oid));
  const fellBack = after.some((row) => BigInt(row.inserted) < BigInt(known.get(row.oid)?.inserted ?? 0));
  const written = after
    .map((row) => writtenTo(row, facts.reset ? undefined : known.get(row.oid)))
    .filter(({ total }) => total > 0n)
    .sort((left, right) => (left.total < right.total ? 1 : left.total > right.total ? -1 : 0));
  const writes = written.reduce((sum, { total }) => sum + total, 0n);
  const lines = written
    .slice(0, listed)
    .map(
      ({ table, inserted, updated, deleted }) =>
        `${table}: ${inserted} inserted, ${updated} updated, ${deleted} deleted`,
    );
  if (written.length > listed) lines.push(`and ${written.length - listed} more tables`);
  if (gone.length > 0)
    lines.push(
      `${gone.length} tables were dropped, their writes are not counted: ${gone
        .slice(0, 5)
        .map(({ table }) => table)
        .join(', ')}`,
    );
  const exact = !facts.reset && !fellBack && gone.length === 0;
  if (facts.reset || fellBack) {
    lines.push(
      `the statistics of the target were reset after ${facts.since} (a crash does that): counted is a lower bound; ${facts.transactions} writing transactions in the whole server since`,
    );
  }
  return { writes: writes.toString(), detail: lines, exact };
}

/** A counter that is lower than it was has begun anew: what it says now was written since, and more may have been. */
function writtenTo(now: TableCounters, then?: TableCounters): Written {
  const since = (key: 'inserted' | 'updated' | 'deleted'): bigint => {
    const [from, to] = [BigInt(then?.[key] ?? 0), BigInt(now[key])];
    return to >= from ? to - from : to;
  };
  const [inserted, updated, deleted] = [since('inserted'), since('updated'), since('deleted')];
  return { table: now.table, inserted, updated, deleted, total: inserted + updated + deleted };
}
