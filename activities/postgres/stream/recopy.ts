// Copying some tables again while everything else streams on: they leave their publication and subscription first, and their rows go only
// when no worker can bring any more.
import { failure } from '../../errors';
import type { Beat } from '../../heartbeat';
import { readSetting, removeSetting, writeSetting } from '../copy/settings';
import { quoteIdentifier } from '../identifier';
import { ledgerSchema } from '../scope';
import { readGroups } from './group-ledger';
import { dropGroupStream } from './lost-group';
import { groupStream, type Stream } from './names';
import { ensurePublication, publishedTables } from './publication';
import { releaseTables } from './release-tables';
import type { Sides } from './sides';
import { plannedAsStreamed, shownName, type TableRef } from './streamed-tables';
import { enableSubscriptions, readSubscriptions, stopSubscriptions } from './subscription-state';

interface Copied extends TableRef {
  id: string;
  group: string | null;
  chunks: string;
}

/** Set while subscriptions may be disabled by us: one that somebody else has disabled is never enabled here. */
const underWay = 'recopying';

/** `tables` are `schema.table`, unquoted. @throws PreconditionFailed for a table that was not copied or is being copied now */
export async function recopy(
  sides: Sides,
  migration: string,
  tables: string[],
  { signal, report }: Beat<{ emptied: number }>,
): Promise<{ tables: number }> {
  const { target } = sides;
  const found = await findCopied(sides, tables);
  const groups = await readGroups(target);
  const leavingBy = (id: number): Copied[] => found.filter(({ group }) => group === String(id));
  const open = groups.find(({ id, state }) => (state === 'open' || state === 'lost') && leavingBy(id).length > 0);
  if (open) {
    throw failure(
      'PreconditionFailed',
      `${leavingBy(open.id).map(shownName).slice(0, 20).join(', ')} cannot be copied again while copy group ${open.id} is under way. Let that copy end first.`,
    );
  }
  const resumed = (await readSetting(target, underWay)) !== undefined;
  const taken = groups.filter(({ id }) => leavingBy(id).length > 0);
  for (const { id } of taken) await requireStreaming(sides, groupStream(migration, id), resumed);
  await writeSetting(target, underWay, 'yes');
  for (const { id } of taken) {
    const leaving = leavingBy(id);
    const stream = groupStream(migration, id);
    await endFollowing(sides, stream, id, leaving, signal);
    await releaseTables(target, { ids: leaving.map((table) => table.id) }, (emptied) => report({ emptied }));
  }
  for (const { id, state, tables: left } of await readGroups(target)) {
    const stream = groupStream(migration, id);
    if (state === 'closed' && left === 0) {
      await dropGroupStream(sides, stream, signal);
      await target.query(`update ${ledgerSchema}.copy_group set state = 'gone' where id = $1`, [id]);
    } else if ((await readSubscriptions(target, [stream.name])).get(stream.name)?.enabled === false) {
      await enableSubscriptions(target, [stream.name]);
    }
  }
  await removeSetting(target, underWay);
  return { tables: found.length };
}

/** Once the streams were turned round, the target's rows are the application's. @throws PreconditionFailed */
async function requireStreaming({ source, target }: Sides, stream: Stream, resumed: boolean): Promise<void> {
  const subscription = (await readSubscriptions(target, [stream.name])).get(stream.name);
  const published = await publishedTables(source, stream.name);
  if (published && (subscription?.enabled !== false || resumed)) return;
  throw failure(
    'PreconditionFailed',
    `Tables of the stream ${stream.name} cannot be copied again: ${published ? 'it was stopped, as for a hand-over' : 'it is gone'}. Only before the first hand-over can tables be copied anew; roll back, or start another migration.`,
  );
}

async function findCopied({ target }: Sides, tables: string[]): Promise<Copied[]> {
  const { rows } = await target.query<Copied>(
    `select t.id, t.schema_name as schema, t.table_name as name, t.group_id as "group",
       (select count(*) from ${ledgerSchema}.chunk c where c.table_id = t.id) as chunks
     from ${ledgerSchema}.copied_table t where t.schema_name || '.' || t.table_name = any($1) order by t.id`,
    [tables],
  );
  const found = rows.filter(({ chunks }) => chunks !== '0');
  const known = new Set(found.map(shownName));
  const unknown = tables.filter((table) => !known.has(table));
  if (unknown.length === 0) return found;
  throw failure(
    'PreconditionFailed',
    `The live copy does not have ${unknown.slice(0, 20).join(', ')}: not a table of the plan, or unlogged and copied in the freeze. Name tables as schema.table, in their exact case.`,
  );
}

/**
 * Afterwards no change of these tables comes any more. A subscription that runs keeps applying to tables that it knew, and its slot may
 * still hold changes from before they left the publication: its worker has to begin anew.
 */
async function endFollowing(
  { source, target }: Sides,
  stream: Stream,
  group: number,
  leaving: Copied[],
  signal?: AbortSignal,
): Promise<void> {
  const gone = new Set(leaving.map(shownName));
  const stay = (await plannedAsStreamed(target, group)).filter((table) => !gone.has(shownName(table)));
  await ensurePublication(source, stream, stay, { side: 'source', signal });
  const subscription = (await readSubscriptions(target, [stream.name])).get(stream.name);
  if (!subscription) return;
  // The list is refreshed only where it is enabled.
  if (!subscription.enabled) await enableSubscriptions(target, [stream.name]);
  await target.query(`alter subscription ${quoteIdentifier(stream.name)} refresh publication with (copy_data = false)`);
  await stopSubscriptions(target, [stream.name], 'target', signal);
}
