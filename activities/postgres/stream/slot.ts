// Replication slots of ours: how they stand, made, and removed together with whoever still holds them.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientBase } from 'pg';
import { failure } from '../../errors';
import type { Side } from '../errors';
import { quoteLiteral } from '../identifier';
import type { Stream } from './names';

/** A slot as the writing server shows it. */
export interface Slot {
  name: string;
  /** Of the walsender that holds it. */
  activePid?: string;
  /** `reserved`, `extended`, `unreserved` or `lost`. */
  walStatus: string;
  /** Why the server has given it up, where the version tells. */
  invalidation?: string;
  /** Not yet confirmed by the other side. */
  lagBytes: number;
  /** WAL that is kept because of it. */
  retainedBytes: number;
  /** LSN as text. */
  confirmedLsn?: string;
}

interface SlotRow {
  name: string;
  active_pid: string | null;
  wal_status: string | null;
  invalidation: string | null;
  lag: string | null;
  retained: string | null;
  confirmed: string | null;
}

const slotsSql = `
select s.slot_name as name, s.active_pid, s.wal_status, to_jsonb(s) ->> 'invalidation_reason' as invalidation,
       pg_wal_lsn_diff(pg_current_wal_flush_lsn(), s.confirmed_flush_lsn)::text as lag,
       pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::text as retained, s.confirmed_flush_lsn::text as confirmed
  from pg_replication_slots s where s.slot_name = any ($1) and s.database = current_database()`;

/** Those of the named slots that are there, by name. */
export async function readSlots(client: ClientBase, names: string[]): Promise<Map<string, Slot>> {
  const { rows } = await client.query<SlotRow>(slotsSql, [names]);
  return new Map(
    rows.map((row) => [
      row.name,
      {
        name: row.name,
        walStatus: row.wal_status ?? 'lost',
        lagBytes: Math.max(0, Number(row.lag ?? 0)),
        retainedBytes: Math.max(0, Number(row.retained ?? 0)),
        ...(row.active_pid === null ? {} : { activePid: row.active_pid }),
        ...(row.invalidation === null ? {} : { invalidation: row.invalidation }),
        ...(row.confirmed === null ? {} : { confirmedLsn: row.confirmed }),
      },
    ]),
  );
}

/** Why nothing can be streamed from a slot any more; undefined while it can. */
export function slotLoss(slot: Slot | undefined, name: string, side: Side): string | undefined {
  if (!slot) return `the replication slot ${name} is gone from the ${side}`;
  if (slot.walStatus !== 'lost' && slot.invalidation === undefined) return undefined;
  return `the replication slot ${name} of the ${side} has been invalidated by the server (${slot.invalidation ?? 'WAL it needs was removed: max_slot_wal_keep_size'})`;
}

/** Whoever makes a logical slot wait: writing transactions of the whole server, open for `olderThanMs`, and prepared ones. One line each, the first five. */
export async function inTheWayOfSlots(client: ClientBase, olderThanMs: number): Promise<string[]> {
  const { rows } = await client.query<{ line: string }>(
    `select format('an open writing transaction: pid %s, role %s, database %s, since %s', pid, usename, datname, date_trunc('second', xact_start)) as line
       from pg_stat_activity
      where backend_xid is not null and pid <> pg_backend_pid() and backend_type = 'client backend'
        and xact_start < clock_timestamp() - $1 * interval '1 millisecond'
     union all
     select format('the prepared transaction %s of database %s, since %s', gid, database, date_trunc('second', prepared))
       from pg_prepared_xacts where prepared < clock_timestamp() - $1 * interval '1 millisecond'
     limit 5`,
    [olderThanMs],
  );
  return rows.map(({ line }) => line);
}

const madeWithinMs = 10_000;

/**
 * Makes the slot, or finds it.
 * @throws NotReadyYet (retryable) naming what writes on the server and makes the slot wait
 */
export async function makeSlot(client: ClientBase, { name, from }: Stream, signal?: AbortSignal): Promise<void> {
  if (await isMade(client, name, signal)) return;
  try {
    await client.query(
      `set local statement_timeout = ${madeWithinMs}; select pg_create_logical_replication_slot(${quoteLiteral(name)}, 'pgoutput')`,
    );
  } catch (error) {
    if (!(typeof error === 'object' && error !== null && 'code' in error && error.code === '57014')) throw error;
    const inTheWay = await inTheWayOfSlots(client, 0);
    throw failure(
      'NotReadyYet',
      `The replication slot ${name} could not be made on the ${from} within ${madeWithinMs / 1_000} s; it waits for ${inTheWay.length > 0 ? inTheWay.join('; ') : 'transactions that write'}. It is tried again by itself; end them when it lasts.`,
    );
  }
}

/** A slot that an attempt before this one is still making, in a session that nobody waits for, is waited for. */
async function isMade(client: ClientBase, name: string, signal?: AbortSignal): Promise<boolean> {
  const deadline = Date.now() + madeWithinMs;
  for (;;) {
    signal?.throwIfAborted();
    const slot = (await readSlots(client, [name])).get(name);
    if (!slot || slot.confirmedLsn !== undefined || Date.now() > deadline) return slot !== undefined;
    await sleep(5, undefined, { signal });
  }
}

const heldForMs = 15_000;

/**
 * Drops a slot, ending the walsender that holds it. @returns whether it was there
 * @throws NotReadyYet (retryable) when somebody takes it again and again
 */
export async function dropSlot(client: ClientBase, name: string, side: Side, signal?: AbortSignal): Promise<boolean> {
  const deadline = Date.now() + heldForMs;
  for (;;) {
    const { rows } = await client.query<{ active_pid: string | null }>(
      `select active_pid from pg_replication_slots where slot_name = $1 and database = current_database()`,
      [name],
    );
    const [slot] = rows;
    if (!slot) return false;
    if (slot.active_pid !== null) await client.query('select pg_terminate_backend($1)', [slot.active_pid]);
    try {
      await client.query('select pg_drop_replication_slot($1)', [name]);
      return true;
    } catch (error) {
      const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
      if (code === '42704') return true;
      if (code !== '55006') throw error;
    }
    if (Date.now() > deadline) {
      throw failure(
        'NotReadyYet',
        `The replication slot ${name} of the ${side} is held by process ${slot.active_pid ?? 'unknown'}, which does not end. It is tried again by itself; end that process when it lasts.`,
      );
    }
    await sleep(5, undefined, { signal });
  }
}

/** Waits until nobody holds the slots, ending walsenders whose subscriber is gone: one that comes back at once finds them free. */
export async function freeSlots(client: ClientBase, names: string[], signal?: AbortSignal): Promise<void> {
  const deadline = Date.now() + heldForMs;
  for (;;) {
    const { rows } = await client.query<{ pid: string }>(
      `select active_pid as pid from pg_replication_slots
        where slot_name = any ($1) and active_pid is not null and database = current_database() and pg_terminate_backend(active_pid)`,
      [names],
    );
    if (rows.length === 0 || Date.now() > deadline) return;
    await sleep(5, undefined, { signal });
  }
}
