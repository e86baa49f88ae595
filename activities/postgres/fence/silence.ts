// The proof that nobody writes: a fence that is up shows intent, this shows effect. Two looks with a marker between them:
// nobody there, nothing open, no row changed. Counters are complete once a session is gone, since it flushes them before it leaves.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { failure } from '../../errors';
import type { Side } from '../errors';
import { quoteLiteral } from '../identifier';
import { ledgerSchema } from '../scope';
import type { FormerAccess } from './former';
import { awaitEntering, findHoles, foreignSessions, openWriters, type ForeignSession } from './sessions';

/** Rows ever changed on this database, by its statistics: numbers as text, time ISO 8601. */
export interface WriteCounters {
  /** In tables of users, our ledger left out. */
  rows: string;
  /** In the catalogues: definitions changed. Autoanalyze's statistics left out. */
  definitions: string;
  measuredAt: string;
}

const betweenLooksMs = 100;

/** Servers below 15 collect statistics in a process of its own and show them up to 500 ms old, sent up to 500 ms after the change. */
export function statisticsDelayMs(serverVersion: number): number {
  return serverVersion < 150_000 ? 1_200 : 0;
}

/** 2619, 3429: pg_statistic and pg_statistic_ext_data, which autoanalyze writes. */
export const countersSql = `
select coalesce(sum(writes) filter (where not catalog), 0)::text as rows,
       coalesce(sum(writes) filter (where catalog), 0)::text as definitions
  from (select n.nspname in ('pg_catalog', 'information_schema') and c.oid <> 2613 as catalog,
               pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid) as writes
          from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'm') and not c.relisshared and c.oid not in (2619, 3429) and n.nspname <> '${ledgerSchema}') t`;

/** The counters of everything that was done before the call. */
export async function readCounters(session: Client, signal?: AbortSignal): Promise<WriteCounters> {
  const version = await session.query<{ number: string }>(`select current_setting('server_version_num') as number`);
  await sleep(statisticsDelayMs(Number(version.rows[0]?.number)), undefined, { signal });
  const { rows } = await session.query<{ rows: string; definitions: string }>(countersSql);
  return { rows: rows[0]?.rows ?? '0', definitions: rows[0]?.definitions ?? '0', measuredAt: new Date().toISOString() };
}

export interface Presence {
  sessions: ForeignSession[];
  writers: ForeignSession[];
  prepared: string[];
}

interface Look extends Presence {
  counters: WriteCounters;
}

async function look(session: Client, signal?: AbortSignal): Promise<Look> {
  const sessions = await foreignSessions(session);
  const writers = await openWriters(session);
  const prepared = (
    await session.query<{ gid: string }>('select gid from pg_prepared_xacts where database = current_database()')
  ).rows;
  return { sessions, writers, prepared: prepared.map(({ gid }) => gid), counters: await readCounters(session, signal) };
}

/**
 * Looks twice and leaves a marker in the WAL between.
 * @param since counters of the moment the fence was up: then nothing may have changed since that moment, not only between the looks
 * @throws VerificationMismatch with who or what broke the silence
 */
export async function lookForWriters(
  session: Client,
  options: { side: Side; migration: string; former: FormerAccess; since?: WriteCounters; signal?: AbortSignal },
): Promise<{ evidence: string[]; lsn: string }> {
  const { side, migration, former, since, signal } = options;
  const { database } = former;
  await awaitEntering(session, side, 5_000, signal);
  const first = await look(session, signal);
  const started = Date.now();
  const marker = await session.query<{ lsn: string }>(
    `select pg_logical_emit_message(true, 'cutover', $1)::text as lsn`,
    [migration],
  );
  const lsn = marker.rows[0]?.lsn ?? '';
  await sleep(betweenLooksMs, undefined, { signal });
  await awaitEntering(session, side, 5_000, signal);
  const second = await look(session, signal);
  const apartMs = Date.now() - started;

  const broken = [first, second].flatMap(describe);
  const between = difference(first.counters, second.counters);
  if (between.rows !== 0n || between.definitions !== 0n) {
    broken.push(
      `${between.rows} rows and ${between.definitions} catalogue rows changed between two looks ${apartMs} ms apart`,
    );
  }
  const sinceFence = since && difference(since, second.counters);
  if (sinceFence && sinceFence.rows > 0n)
    broken.push(`${sinceFence.rows} rows changed since the fence was up at ${since.measuredAt}`);
  const holes = await findHoles(session, former);
  const subscriptions = holes.filter((hole) => hole.startsWith('subscription '));
  broken.push(...subscriptions);
  if (broken.length > 0) {
    throw silenceBroken(database, side, broken);
  }
  const wal = await session.query<{ bytes: string }>(
    `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), ${quoteLiteral(lsn)}::pg_lsn)::text as bytes`,
  );
  return {
    lsn,
    evidence: [
      `no session of anybody else on ${database}, in two looks ${apartMs} ms apart`,
      'no open writing transaction, no prepared transaction',
      'no row and no definition changed between the looks',
      ...(since && sinceFence ? [sinceText(since, sinceFence.rows)] : []),
      await doorText(session, former),
      ...holes.map((hole) => `watched, not closed: ${hole}`),
      `marker at ${lsn}; ${wal.rows[0]?.bytes ?? '?'} bytes of WAL after it in the whole server, other databases and vacuum included`,
    ],
  };
}

/** @param broken who or what, one line each; the first ten are told */
export function silenceBroken(database: string, side: Side, broken: string[]): Error {
  return failure(
    'VerificationMismatch',
    `Something still writes, or could at once, to ${database} on the ${side} behind the fence: ${[...new Set(broken)].slice(0, 10).join('; ')}. Stop it (superusers and programs inside the server pass the fence), then retry.`,
  );
}

function sinceText(since: WriteCounters, rows: bigint): string {
  if (rows < 0n)
    return `rows changed since the fence was up at ${since.measuredAt}: unknown, the server's statistics were reset since; the comparison of all rows must tell`;
  return `no row changed since the fence was up at ${since.measuredAt}`;
}

/** For the evidence: how many roles cannot come in any more, and why. */
export async function doorText(session: Client, former: FormerAccess): Promise<string> {
  const { rows } = await session.query<{ refused: string }>(
    `select count(*) filter (where not rolsuper and ($1 = 'connection-limit' or not has_database_privilege(rolname, current_database(), 'CONNECT'))) as refused
       from pg_roles where rolcanlogin`,
    [former.mechanism],
  );
  const by = former.mechanism === 'connection-limit' ? 'connection limit 0' : 'no CONNECT privilege';
  return `new sessions of ${rows[0]?.refused ?? '0'} login roles are refused: ${by}`;
}

/** Who is there that may not be, one line each. */
export function describe({ sessions, writers, prepared }: Presence): string[] {
  return [
    ...sessions.map(({ description }) => `session ${description}`),
    ...writers.map(({ description }) => `open writing transaction ${description}`),
    ...prepared.map((gid) => `prepared transaction ${gid}`),
  ];
}

export function difference(from: WriteCounters, to: WriteCounters): { rows: bigint; definitions: bigint } {
  return { rows: BigInt(to.rows) - BigInt(from.rows), definitions: BigInt(to.definitions) - BigInt(from.definitions) };
}
