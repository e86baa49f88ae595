// One look at the slots of a migration on one server: what they hold back, what the server would bear, and the nudge that keeps them moving.
import { statfs } from 'node:fs/promises';
import type { Client } from 'pg';

export interface HeldSlot {
  name: string;
  /** A subscription reads from it, or a session makes it. */
  active: boolean;
  /** `reserved`, `extended`, `unreserved`, `lost`. */
  walStatus: string;
  retainedBytes: number;
}

export interface SlotLook {
  slots: HeldSlot[];
  /** `max_slot_wal_keep_size`; undefined where there is no limit. */
  keepBytes?: number;
  /** On the file system of the WAL, where the server is on this machine. */
  freeBytes?: number;
}

interface LookRow {
  name: string | null;
  active: string;
  wal_status: string | null;
  retained: string;
  keep_megabytes: string;
  folder: string | null;
  address: string | null;
  pid: string;
}

/** A lost slot has no position: it holds nothing back any more. */
const lookSql = `
with here as materialized (
  select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end as lsn
)
select s.slot_name as name, coalesce(s.active, false) as active, s.wal_status,
       greatest(coalesce(pg_wal_lsn_diff(here.lsn, s.restart_lsn), 0), 0) as retained,
       (select setting from pg_settings where name = 'max_slot_wal_keep_size') as keep_megabytes,
       (select setting from pg_settings where name = 'data_directory') as folder,
       host(inet_server_addr()) as address, pg_backend_pid() as pid
  from here left join pg_replication_slots s on s.database = current_database() and starts_with(s.slot_name::text, $1)
 order by retained desc, name`;

/** @param prefix of the migration's slots; only those of the session's database are seen */
export async function lookAtSlots(session: Client, prefix: string): Promise<SlotLook> {
  const { rows } = await session.query<LookRow>(lookSql, [prefix]);
  const keep = Number(rows[0]?.keep_megabytes ?? -1);
  const freeBytes = rows[0] ? await freeBesideUs(rows[0]) : undefined;
  return {
    slots: rows.flatMap(({ name, active, wal_status, retained }) =>
      name === null
        ? []
        : [{ name, active: active === 't', walStatus: wal_status ?? 'lost', retainedBytes: Number(retained) }],
    ),
    ...(keep < 0 ? {} : { keepBytes: keep * 1_048_576 }),
    ...(freeBytes === undefined ? {} : { freeBytes }),
  };
}

/** Undefined for a server elsewhere: a forwarded port looks local too, but its processes are not here. */
async function freeBesideUs({ folder, address, pid }: LookRow): Promise<number | undefined> {
  if (!folder || (address && !/^(127\.|::1$)/.test(address)) || !isProcessHere(Number(pid))) return undefined;
  for (const path of [`${folder}/pg_wal`, folder]) {
    try {
      const { bavail, bsize } = await statfs(path);
      return bavail * bsize;
    } catch {
      // The folder of the WAL may be a link to a disk of its own; it is hidden from other users, and then the data directory must do.
    }
  }
  return undefined;
}

function isProcessHere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return typeof error === 'object' && error !== null && 'code' in error && error.code === 'EPERM';
  }
}

/** A little WAL of our own, so that slots move on a server where nobody writes while other databases do. */
export async function nudge(session: Client): Promise<void> {
  await session.query(`select pg_logical_emit_message(false, 'cutover', '') where not pg_is_in_recovery()`);
}
