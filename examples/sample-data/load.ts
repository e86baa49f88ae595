// Loads the sample shop into an empty database: some 500 MB with the default size, in steps that are told as they are done.
// Contract: a database that holds the finished shop is left as it is; one where loading was interrupted is loaded afresh.
import { Client, escapeIdentifier, escapeLiteral } from 'pg';
import {
  analyzeStatements,
  foreignKeyStatements,
  indexStatements,
  keySql,
  privilegeSql,
  programSql,
  sequenceSql,
} from './constraints';
import { pickSql, rowBatches, shopSize, type RowBatch } from './rows';
import { tablesSql } from './tables';

/** Orders of the default size: about 500 MB with indexes (measured on 15.18). */
export const defaultRows = 300_000;

export interface SampleDataOptions {
  /** Orders; everything else grows with them. */
  rows?: number;
  /** The application's role: made, or given the password and its rights. `<roleName>_reporting`, which only reads, comes with it. */
  roleName?: string;
  rolePassword?: string;
  /** False leaves out the contracts, whose documents are large objects: logical replication carries none. */
  documents?: boolean;
  /** True gives a key to the tables that have none on purpose: for what must tell every row from every other. */
  everyTableKeyed?: boolean;
  /** Told one line a step. */
  say?: (line: string) => void;
  /** Ends the loading after the running batch. */
  signal?: AbortSignal;
}

export interface LoadedSampleData {
  /** False when the shop was there already. */
  loaded: boolean;
  databaseBytes: number;
  durationMs: number;
}

const loading = 'Sample shop, not complete yet';
const complete = 'Sample shop';
const lanes = 2;

/** @param url of a role that may create schemas, roles and large objects, in the database to fill. Needs PostgreSQL 14 or newer. */
export async function loadSampleData(url: string, options: SampleDataOptions = {}): Promise<LoadedSampleData> {
  const { rows = defaultRows, roleName = 'shop', rolePassword = 'shop', say = () => undefined, signal } = options;
  const { documents = true, everyTableKeyed = false } = options;
  if (!Number.isInteger(rows) || rows < 1) throw new RangeError(`rows is ${rows}; expected a whole number from 1 on`);
  const startedAt = performance.now();
  const sessions = await Promise.all(Array.from({ length: lanes }, () => open(url)));
  const [session] = sessions;
  if (!session) throw new Error('no session');
  try {
    const loaded = (await stateOf(session)) !== 'complete';
    if (loaded) {
      const role = escapeIdentifier(roleName);
      const reporting = escapeIdentifier(`${roleName}_reporting`);
      await prepare(session);
      await createRoles(session, roleName, rolePassword);
      const batches = rowBatches(shopSize(rows), documents);
      await inLanes(sessions, batches, (lane, batch) => fill(lane, batch, say, signal));
      say('indexes and constraints');
      await inLanes(sessions, indexStatements, (lane, statement) => run(lane, statement, signal));
      if (everyTableKeyed) await run(session, keySql, signal);
      for (const statement of foreignKeyStatements) await run(session, statement, signal);
      say('views, functions, triggers, privileges');
      await session.query(programSql);
      await session.query(sequenceSql);
      await session.query(privilegeSql(role, reporting));
      say('statistics');
      await inLanes(sessions, analyzeStatements, (lane, statement) => run(lane, statement, signal));
      await session.query(`comment on schema shop is ${escapeLiteral(complete)}`);
    }
    const size = await session.query<{ bytes: string }>('select pg_database_size(current_database())::text as bytes');
    const databaseBytes = Number(size.rows[0]?.bytes);
    const durationMs = Math.round(performance.now() - startedAt);
    say(
      loaded
        ? `sample shop loaded: ${Math.round(databaseBytes / 1e6)} MB in ${(durationMs / 1000).toFixed(1)} s`
        : 'sample shop is there already',
    );
    return { loaded, databaseBytes, durationMs };
  } finally {
    await Promise.all(sessions.map((open) => open.end().catch(() => undefined)));
  }
}

async function open(url: string): Promise<Client> {
  const client = new Client({
    connectionString: url,
    application_name: 'sample data',
    options: '-c synchronous_commit=off -c maintenance_work_mem=128MB -c work_mem=32MB -c TimeZone=UTC',
  });
  client.on('error', () => undefined);
  await client.connect();
  await client.query(pickSql);
  return client;
}

async function stateOf(session: Client): Promise<'none' | 'loading' | 'complete'> {
  const { rows } = await session.query<{ comment: string | null }>(
    `select obj_description(oid, 'pg_namespace') as comment from pg_namespace where nspname = 'shop'`,
  );
  if (!rows[0]) return 'none';
  if (rows[0].comment === complete) return 'complete';
  if (rows[0].comment === loading) return 'loading';
  throw new Error('The database has a schema "shop" that is not the sample shop. Load into another, empty database.');
}

/** What an interrupted loading has left goes first; its comment says that it is ours. */
async function prepare(session: Client): Promise<void> {
  if ((await stateOf(session)) === 'loading') {
    await session.query(`
      do $$ begin
        if to_regclass('shop.contracts') is not null then
          perform lo_unlink(document) from shop.contracts where document in (select oid from pg_largeobject_metadata);
        end if;
      end $$`);
    await session.query(
      'drop schema shop cascade; drop table if exists public.exchange_rates, public."Newsletter Subscribers"',
    );
  }
  await session.query('begin');
  await session.query(`create schema shop; comment on schema shop is ${escapeLiteral(loading)}; ${tablesSql}`);
  await session.query('commit');
}

/** Two nodes may share one server: roles that are there are used. */
async function createRoles(session: Client, name: string, password: string): Promise<void> {
  const make = (role: string, attributes: string) =>
    session.query(`
      do $do$ begin
        if not exists (select from pg_roles where rolname = ${escapeLiteral(role)}) then
          create role ${escapeIdentifier(role)};
        end if;
      end $do$;
      alter role ${escapeIdentifier(role)} ${attributes}`);
  await make(name, `login nosuperuser password ${escapeLiteral(password)}`);
  await make(`${name}_reporting`, 'nologin');
  await session.query(`grant ${escapeIdentifier(`${name}_reporting`)} to ${escapeIdentifier(name)}`);
}

async function fill(
  session: Client,
  { what, count, batch, statement }: RowBatch,
  say: (line: string) => void,
  signal?: AbortSignal,
): Promise<void> {
  const startedAt = performance.now();
  let toldAt = startedAt;
  for (let first = 1; first <= count; first += batch) {
    signal?.throwIfAborted();
    const last = Math.min(count, first + batch - 1);
    await session.query(statement, [first, last]);
    const now = performance.now();
    if (last === count) say(`${what}: ${count} in ${((now - startedAt) / 1000).toFixed(1)} s`);
    else if (now - toldAt > 2_000) {
      toldAt = now;
      say(`${what}: ${last} of ${count} (${Math.round((100 * last) / count)} %)`);
    }
  }
}

async function run(session: Client, statement: string, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  await session.query(statement);
}

/** Each session takes the next piece of work until none is left; after a failure no session takes another. */
async function inLanes<Work>(
  sessions: Client[],
  work: Work[],
  body: (session: Client, work: Work) => Promise<void>,
): Promise<void> {
  const queue = [...work];
  const results = await Promise.allSettled(
    sessions.map(async (session) => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        try {
          await body(session, next);
        } catch (error) {
          queue.length = 0;
          throw error;
        }
      }
    }),
  );
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}
