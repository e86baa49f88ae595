// The groups as the target's ledger holds them: who is in which, and how each stands. Everything else about a group follows from its
// number (see names.ts).
import type { ClientBase } from 'pg';
import { ledgerSchema } from '../scope';

export const groupLedgerDdl = `
create table if not exists ${ledgerSchema}.copy_group (
  id int primary key,
  state text not null check (state in ('open', 'closed', 'lost', 'gone')),
  snapshot text,
  holder_pid int,
  slot_begun_at timestamptz,
  made_at timestamptz not null default clock_timestamp()
);
create table if not exists ${ledgerSchema}.replica_identity (
  side text not null check (side in ('source', 'target')),
  schema_name text not null,
  table_name text not null,
  former text not null,
  primary key (side, schema_name, table_name)
);
`;

/** `open`: being copied. `closed`: what it has is copied and may stream. `lost`: its snapshot is lost and it is being sorted out. `gone`: nothing left of it. */
export type GroupState = 'open' | 'closed' | 'lost' | 'gone';

export interface CopyGroup {
  id: number;
  state: GroupState;
  /** Exported by the session `holderPid` of the source; only while the group is open and held. */
  snapshot?: string;
  holderPid?: string;
  /** From then on no table may join: its changes before would be in no stream. */
  slotBegun: boolean;
  /** That belong to it now. */
  tables: number;
}

interface GroupRow {
  id: string;
  state: GroupState;
  snapshot: string | null;
  holder_pid: string | null;
  begun: string;
  tables: string;
}

const groupsSql = `
select g.id, g.state, g.snapshot, g.holder_pid, g.slot_begun_at is not null as begun,
  (select count(*) from ${ledgerSchema}.copied_table t where t.group_id = g.id) as tables
from ${ledgerSchema}.copy_group g`;

/** All groups in order of their numbers. */
export async function readGroups(target: ClientBase): Promise<CopyGroup[]> {
  const { rows } = await target.query<GroupRow>(`${groupsSql} order by g.id`);
  return rows.map(groupOf);
}

/** Undefined when it was never opened. */
export async function readGroup(target: ClientBase, id: number): Promise<CopyGroup | undefined> {
  const { rows } = await target.query<GroupRow>(`${groupsSql} where g.id = $1`, [id]);
  return rows[0] && groupOf(rows[0]);
}

function groupOf({ id, state, snapshot, holder_pid, begun, tables }: GroupRow): CopyGroup {
  return {
    id: Number(id),
    state,
    slotBegun: begun === 't',
    ...(snapshot === null ? {} : { snapshot }),
    ...(holder_pid === null ? {} : { holderPid: holder_pid }),
    tables: Number(tables),
  };
}

/** Commits what `work` did in the session, or nothing of it. */
export async function inTransaction<Result>(client: ClientBase, work: () => Promise<Result>): Promise<Result> {
  await client.query('begin');
  try {
    const result = await work();
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}
