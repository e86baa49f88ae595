// Joining a group: every table that has still to be copied and belongs to none. Only while the group's slot is not begun: a table that
// joined later would have changes that are in no stream.
import type { ClientBase } from 'pg';
import { failure } from '../../errors';
import { removeSetting } from '../copy/settings';
import { ledgerSchema } from '../scope';
import { inTransaction, readGroup, type CopyGroup } from './group-ledger';

/** Inside a transaction: the group, which nobody else changes until the transaction ends. @throws PreconditionFailed when it was never opened */
export async function lockGroup(target: ClientBase, group: number): Promise<CopyGroup> {
  await target.query(`select from ${ledgerSchema}.copy_group where id = $1 for update`, [group]);
  const found = await readGroup(target, group);
  if (found) return found;
  throw failure('PreconditionFailed', `Copy group ${group} was never opened. Open it first.`);
}

/** Opens the group in the ledger and has the tables join. Copying may go on afterwards if it was stopped. @throws PreconditionFailed when the group was closed or given up */
export async function joinGroup(source: ClientBase, target: ClientBase, group: number): Promise<CopyGroup> {
  return inTransaction(target, async () => {
    await target.query(
      `insert into ${ledgerSchema}.copy_group (id, state) values ($1, 'open') on conflict do nothing`,
      [group],
    );
    const { state, slotBegun } = await lockGroup(target, group);
    if (state !== 'open') {
      throw failure(
        'PreconditionFailed',
        `Copy group ${group} was closed or given up before. Open one with another number.`,
      );
    }
    if (!slotBegun) {
      await target.query(
        `update ${ledgerSchema}.copied_table t set group_id = $1
         where group_id is null and exists (select from ${ledgerSchema}.chunk c where c.table_id = t.id and c.state = 'todo')`,
        [group],
      );
      await readFilesAnew(source, target, group);
      await removeSetting(target, 'stopped');
    }
    return lockGroup(target, group);
  });
}

/** The chunks' page ranges cover the whole of a table's file, whichever file that is when the group begins. */
async function readFilesAnew(source: ClientBase, target: ClientBase, group: number): Promise<void> {
  const { rows } = await target.query<{ oid: string }>(
    `select t.source_oid as oid from ${ledgerSchema}.copied_table t
     where t.group_id = $1 and exists (select from ${ledgerSchema}.chunk c where c.table_id = t.id and c.kind = 'ctid')`,
    [group],
  );
  if (rows.length === 0) return;
  const files = await source.query<{ oid: string; filenode: string | null }>(
    `select oid, pg_relation_filenode(oid) as filenode from unnest($1::oid[]) as oid`,
    [rows.map(({ oid }) => oid)],
  );
  await target.query(
    `update ${ledgerSchema}.copied_table t set filenode = now.filenode
     from unnest($1::oid[], $2::oid[]) as now(oid, filenode) where now.oid = t.source_oid`,
    [files.rows.map(({ oid }) => oid), files.rows.map(({ filenode }) => filenode)],
  );
}

export async function groupSize(target: ClientBase, group: number): Promise<{ tables: number; bytes: number }> {
  const { rows } = await target.query<{ tables: string; bytes: string }>(
    `select count(*) as tables, coalesce(sum(bytes_estimated), 0) as bytes from ${ledgerSchema}.copied_table where group_id = $1`,
    [group],
  );
  return { tables: Number(rows[0]?.tables), bytes: Number(rows[0]?.bytes) };
}
