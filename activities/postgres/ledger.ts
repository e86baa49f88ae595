// The ledger: a schema of our own on the target that says what has been done, written in the same transaction as the thing it speaks of.
// Dropped at the end of the migration, whatever the end.
import type { Client } from 'pg';
import { failure } from '../errors';
import { ledgerSchema } from './scope';

const ddl = `
create schema if not exists ${ledgerSchema};
comment on schema ${ledgerSchema} is 'Ledger of a running migration; removed by it at its end';
create table if not exists ${ledgerSchema}.migration (
  only_row boolean primary key default true check (only_row),
  id text not null,
  started_at timestamptz not null default clock_timestamp()
);
create table if not exists ${ledgerSchema}.milestone (
  name text primary key,
  detail jsonb not null default '{}',
  reached_at timestamptz not null default clock_timestamp()
);
`;

/** Creates the ledger, or finds it; for `prepareLedger` alone. One migration owns a target. @throws TargetConflict when another migration owns it */
export async function openLedger(target: Client, migration: string): Promise<void> {
  await target.query('begin');
  try {
    await target.query(`select pg_advisory_xact_lock(hashtextextended('${ledgerSchema} ledger', 0))`);
    await target.query(ddl);
    await target.query(`insert into ${ledgerSchema}.migration (id) values ($1) on conflict do nothing`, [migration]);
    requireOwner(await readLedgerOwner(target), migration);
    await target.query('commit');
  } catch (error) {
    await target.query('rollback').catch(() => undefined);
    throw error;
  }
}

/**
 * Finds the ledger and never makes it: an attempt that wakes after the undo must not revive it.
 * @throws TargetConflict when it is gone or belongs to another migration
 */
export async function requireLedger(target: Client, migration: string): Promise<void> {
  const owner = await readLedgerOwner(target);
  if (owner === undefined) {
    throw failure(
      'TargetConflict',
      `The ledger of ${migration} is gone from the target: the migration was undone. Start a new migration if it is still wanted.`,
    );
  }
  requireOwner(owner, migration);
}

/** Whether the ledger is there and belongs to the migration. */
export async function ownsLedger(target: Client, migration: string): Promise<boolean> {
  return (await readLedgerOwner(target)) === migration;
}

/** The migration that the ledger is of; undefined where there is none. */
export async function readLedgerOwner(target: Client): Promise<string | undefined> {
  const { rows } = await target.query<{ there: string | null }>(
    `select to_regclass('${ledgerSchema}.migration')::text as there`,
  );
  if (!rows[0]?.there) return undefined;
  const owner = await target.query<{ id: string }>(`select id from ${ledgerSchema}.migration`);
  return owner.rows[0]?.id;
}

function requireOwner(owner: string | undefined, migration: string): void {
  if (owner === migration) return;
  throw failure(
    'TargetConflict',
    `The target belongs to the migration "${owner}". Let that one end (roll it back or terminate it), then drop schema ${ledgerSchema} cascade on the target, or take another target.`,
  );
}

/** Removes the ledger if the migration owns it; nothing happens when it is gone. */
export async function dropLedger(target: Client, migration: string): Promise<boolean> {
  if (!(await ownsLedger(target, migration))) return false;
  await target.query('begin');
  try {
    await silenceEventTriggers(target);
    await target.query(`drop schema ${ledgerSchema} cascade`);
    await target.query('commit');
  } catch (error) {
    await target.query('rollback').catch(() => undefined);
    throw error;
  }
  return true;
}

/** The application's event triggers, carried with its schema, may refuse a drop; from PostgreSQL 17 on a superuser can leave them out. */
async function silenceEventTriggers(target: Client): Promise<void> {
  await target.query(
    `select set_config('event_triggers', 'off', true) from pg_settings
      where name = 'event_triggers' and (select rolsuper from pg_roles where rolname = current_user)`,
  );
}

/** What was noted under a milestone, or undefined. */
export async function readMilestone(target: Client, name: string): Promise<Record<string, unknown> | undefined> {
  const { rows } = await target.query<{ detail: string }>(
    `select detail::text as detail from ${ledgerSchema}.milestone where name = $1`,
    [name],
  );
  return rows[0] ? (JSON.parse(rows[0].detail) as Record<string, unknown>) : undefined;
}

/** Notes a milestone; inside the caller's transaction it is exactly as durable as the work it stands for. */
export async function noteMilestone(target: Client, name: string, detail: Record<string, unknown> = {}): Promise<void> {
  await target.query(
    `insert into ${ledgerSchema}.milestone (name, detail) values ($1, $2) on conflict (name) do update set detail = excluded.detail, reached_at = clock_timestamp()`,
    [name, JSON.stringify(detail)],
  );
}
