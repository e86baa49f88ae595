// A lane of a copy group reads under the snapshot that the group's slot exported, or not at all: another snapshot would leave a gap, or an
// overlap, between what was copied and what is streamed.
import type { Client, ClientBase } from 'pg';
import { applicationNamePrefix } from '../connection';
import { quoteLiteral } from '../identifier';
import { ledgerSchema } from '../scope';
import { readGroup } from '../stream/group-ledger';
import { groupStream } from '../stream/names';
import { holderPurpose, snapshotLost } from '../stream/snapshot-holder';
import { on } from './copy-errors';

/** Codes of SET TRANSACTION SNAPSHOT that say: it does not exist, or whoever exported it has ended. */
const noSnapshot = /^(22023|42704|55000|22P02)$/;

/**
 * Begins the one transaction on the source in which the lane reads all its chunks, under the group's snapshot.
 * @throws SnapshotLost when the group is not open, its snapshot is gone, or the session that exported it is not the group's holder
 */
export async function readUnderGroup(
  source: Client,
  target: ClientBase,
  group: number,
  migration: string,
): Promise<void> {
  const stream = groupStream(migration, group).name;
  const found = await readGroup(target, group);
  if (found?.state !== 'open') throw snapshotLost(stream, 'the group was given up');
  if (found.snapshot === undefined) throw snapshotLost(stream, 'none was exported for it');
  await on('source', source.query('begin transaction isolation level repeatable read, read only'));
  try {
    await source.query(`set transaction snapshot ${quoteLiteral(found.snapshot)}`);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (noSnapshot.test(code)) throw snapshotLost(stream, 'the session that exported it has ended');
    return on('source', Promise.reject(error as Error));
  }
  // After a restart of the server somebody else's snapshot may have the same name.
  const holder = await on(
    'source',
    source.query('select from pg_stat_activity where pid = $1 and application_name = $2', [
      found.holderPid,
      `${applicationNamePrefix} ${holderPurpose(stream)}`,
    ]),
  );
  if (!holder.rowCount) throw snapshotLost(stream, 'the session that exported it has ended');
}

/** Inside a transaction: from here to its end nobody gives the group up. @throws SnapshotLost when somebody has */
export async function requireOpenGroup(target: ClientBase, group: number, migration: string): Promise<void> {
  const { rows } = await target.query<{ state: string }>(
    `select state from ${ledgerSchema}.copy_group where id = $1 for share`,
    [group],
  );
  if (rows[0]?.state !== 'open') throw snapshotLost(groupStream(migration, group).name, 'the group was given up');
}

/** Page ranges of a table say nothing after it was rewritten; in another group they are those of its new file. */
export function rewritten(migration: string, group: number, table: string): Error {
  return snapshotLost(
    groupStream(migration, group).name,
    `${table} was rewritten on the source while it was copied (VACUUM FULL, CLUSTER or TRUNCATE)`,
  );
}
