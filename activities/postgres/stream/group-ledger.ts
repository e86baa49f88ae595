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

/** `open`: being copied. `closed`: copied, may stream. `lost`: lost its snapshot, only finished tables left, may stream. `gone`: nothing left of it. */
export type GroupState = 'open' | 'closed' | 'lost' | 'gone';

export interface CopyGroup {
  id: number;
  state: GroupState;
  /** Exported by the session `holderPid` of the source; only while the group is open and held. */
  snapshot?: string;
  holderPid?: string;
  /** That belong to it now. */
  tables: number;
}

/** All groups in order of their numbers. */
export async function readGroups(target: ClientBase): Promise<CopyGroup[]> {
  const { rows } = await target.query<{
    id: string;
    state: GroupState;
    snapshot: string | null;
    holder_pid: string | null;
    tables: string;
  }>(
    `select g.id, g.state, g.snapshot, g.holder_pid, (select count(*) from ${ledgerSchema}.copied_table t where t.group_id = g.id) as tables
     from ${ledgerSchema}.copy_group g order by g.id`,
  );
  return rows.map(({ id, state, snapshot, holder_pid, tables }) => ({
    id: Number(id),
    state,
    ...(snapshot === null ? {} : { snapshot }),
    ...(holder_pid === null ? {} : { holderPid: holder_pid }),
    tables: Number(tables),
  }));
}
