// The lock on the schema of the source: event triggers that refuse DDL of everybody but us while rows stream. They refuse what a
// fingerprint would notice, at the moment that somebody tries it; both stop the same changes.
//
// Let pass: sessions of ours (by application name), temporary objects, and what changes no definition that streamed rows depend on:
// REFRESH MATERIALIZED VIEW (what it does inside is temporary or its own), REINDEX, comments, privileges, statistics, publications and
// subscriptions of others. ANALYZE, VACUUM, CLUSTER, TRUNCATE, dumps and autovacuum fire no event trigger at all.
import type { Client } from 'pg';
import type { PostgresDependencies } from '../../dependencies';
import { failure } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import { applicationNamePrefix } from '../connection';
import { requireNotGivenUp } from '../given-up';
import { quoteIdentifier, quoteLiteral, quoteQualified } from '../identifier';
import { ledgerSchema, type PostgresScope } from '../scope';
import { markerSchemaComment } from '../stream/marker';
import { streamPrefix } from '../stream/names';

/**
 * Of the event triggers, and of their one function in the schema `cutover`: `cutover_1f3a5c7e90_ddl`, which refuses what was made or altered;
 * with `_drop` what was dropped, with `_rewrite` long rewrites before they begin.
 */
export function guardName(migration: string): string {
  return `${streamPrefix(migration)}ddl`;
}

const triggers = [
  { suffix: '', event: 'ddl_command_end' },
  { suffix: '_drop', event: 'sql_drop' },
  { suffix: '_rewrite', event: 'table_rewrite' },
];

/** Waiting for these locks would make every DDL of the application wait too. */
const settings = { lock_timeout: '5s', statement_timeout: '30s' };
/** Below the time limit of its activity (60 s). */
const raiseWithinMs = 50_000;

export function createGuardActivities({ connections }: PostgresDependencies) {
  return {
    /**
     * Puts the guard on the source up, or takes it away. Idempotent. What was under way when it went up is not refused: read the fingerprint after it.
     * @returns whether it is up
     * @throws PreconditionFailed when the role may not make event triggers; SourceUnavailable (retryable)
     */
    guardDdl: ({ scope, on }: { scope: PostgresScope; on: boolean }): Promise<{ on: boolean }> => {
      const startedAt = Date.now();
      return withHeartbeat(undefined, ({ signal }) =>
        connections.withSession(
          scope.source,
          { side: 'source', purpose: on ? 'guard the schema' : 'release the schema', signal, settings },
          async (source) => {
            await inTransaction(source, async () => {
              if (!on) return lower(source, scope.migration);
              await raise(source, scope.migration);
              // Woken when the migration is over, nobody would take it away again.
              requireNotGivenUp(
                startedAt,
                raiseWithinMs,
                'The guard against changes of the schema was not up',
                'source',
              );
            });
            return { on };
          },
        ),
      );
    },
  };
}

async function raise(source: Client, migration: string): Promise<void> {
  const name = guardName(migration);
  const fn = quoteQualified(ledgerSchema, name);
  try {
    const schema = await source.query(`select from pg_namespace where nspname = '${ledgerSchema}'`);
    if (schema.rowCount === 0) {
      await source.query(`create schema ${ledgerSchema}`);
      await source.query(`comment on schema ${ledgerSchema} is ${quoteLiteral(markerSchemaComment)}`);
    }
    await source.query(refusingSql(fn, migration));
    const there = new Set(await guardsThere(source, name));
    for (const { suffix, event } of triggers) {
      if (there.has(name + suffix)) continue;
      const trigger = quoteIdentifier(name + suffix);
      await source.query(`create event trigger ${trigger} on ${event} execute function ${fn}()`);
      await source.query(
        `comment on event trigger ${trigger} is ${quoteLiteral(`Refuses changes of the schema while the migration ${migration} streams; removed by it`)}`,
      );
    }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === '42501')) throw error;
    throw failure(
      'PreconditionFailed',
      `The guard against changes of the schema could not be made on the source: ${error.message}. Connect as a superuser, or set cdc.ddl to "watch" in the plan.`,
      { sqlState: '42501' },
    );
  }
}

async function lower(source: Client, migration: string): Promise<void> {
  const name = guardName(migration);
  for (const trigger of await guardsThere(source, name)) {
    await source.query(`drop event trigger if exists ${quoteIdentifier(trigger)}`);
  }
  await source.query(`drop function if exists ${quoteQualified(ledgerSchema, name)}()`);
}

async function guardsThere(source: Client, name: string): Promise<string[]> {
  const { rows } = await source.query<{ name: string }>(
    `select evtname as name from pg_event_trigger where evtname = any($1)`,
    [triggers.map(({ suffix }) => name + suffix)],
  );
  return rows.map((row) => row.name);
}

const passing = [
  ...[
    'REFRESH MATERIALIZED VIEW',
    'REINDEX',
    'COMMENT',
    'SECURITY LABEL',
    'GRANT',
    'REVOKE',
    'ALTER DEFAULT PRIVILEGES',
  ],
  ...['PUBLICATION', 'SUBSCRIPTION', 'STATISTICS'].flatMap((kind) => [
    `CREATE ${kind}`,
    `ALTER ${kind}`,
    `DROP ${kind}`,
  ]),
];

/** In PL/pgSQL, of which every database has the language. Runs as whoever tries DDL, and needs no privilege of theirs. */
function refusingSql(fn: string, migration: string): string {
  const refusal = quoteLiteral(
    `Changes of the schema are refused while the migration ${migration.replaceAll('%', '%%')} streams this database: % %`,
  );
  const body = `
declare
  object text;
begin
  if current_setting('application_name') like ${quoteLiteral(`${applicationNamePrefix} %`)} or tg_tag in (${passing.map(quoteLiteral).join(', ')}) then
    return;
  end if;
  if tg_event = 'ddl_command_end' then
    select coalesce(c.object_identity, '') into object from pg_event_trigger_ddl_commands() c
     where c.schema_name is distinct from 'pg_temp' and c.command_tag not in (${passing.map(quoteLiteral).join(', ')}) limit 1;
  elsif tg_event = 'sql_drop' then
    select d.object_identity into object from pg_event_trigger_dropped_objects() d
     where d.original and not d.is_temporary and d.address_names[1] is distinct from 'pg_temp' limit 1;
  else
    select c.oid::regclass::text into object from pg_class c
     where c.oid = pg_event_trigger_table_rewrite_oid() and c.relpersistence <> 't';
  end if;
  if found then
    raise exception ${refusal}, tg_tag, object
      using errcode = 'object_not_in_prerequisite_state', hint = 'Wait until the migration has ended, or ask whoever runs it.';
  end if;
end`;
  return `create or replace function ${fn}() returns event_trigger language plpgsql set search_path to pg_catalog, pg_temp as ${quoteLiteral(body)}`;
}

/** One at a time: two attempts at once would fail on each other's objects. The lock is that of the schema `cutover`. */
async function inTransaction(source: Client, work: () => Promise<void>): Promise<void> {
  await source.query('begin');
  try {
    await source.query(`select pg_advisory_xact_lock(hashtextextended('${ledgerSchema} ledger', 0))`);
    await work();
    await source.query('commit');
  } catch (error) {
    await source.query('rollback').catch(() => undefined);
    throw error;
  }
}
