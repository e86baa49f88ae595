// What becomes of a group whose snapshot is lost: its finished tables are complete as of the slot's position and may follow through it; the
// others are emptied and leave. When slot or publication are gone too, or nothing was finished, nothing of the group is of use.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { failure } from '../../errors';
import type { Beat } from '../../heartbeat';
import { endCopySessions } from '../copy/sessions';
import { quoteQualified } from '../identifier';
import { ledgerSchema } from '../scope';
import { inTransaction, readGroup, type GroupState } from './group-ledger';
import type { Stream } from './names';
import { dropPublication, ensurePublication, publishedTables } from './publication';
import { releaseTables } from './release-tables';
import type { Sides } from './sides';
import { dropSlot, readSlots, slotLoss } from './slot';
import { endHolders } from './snapshot-holder';
import { plannedAsStreamed } from './streamed-tables';
import { dropSubscription } from './subscription-state';

const lanesEndMs = 60_000;

/** Sorts the group out, from wherever an earlier attempt left it. @throws NotReadyYet (retryable) while sessions of lanes do not end */
export async function closeLost(
  sides: Sides,
  stream: Stream,
  group: number,
  { signal, report }: Beat<{ emptied: number }>,
): Promise<{ finished: number; unfinished: number }> {
  const { source, target } = sides;
  const found = await readGroup(target, group);
  if (found?.state === 'open' || found?.state === 'lost') {
    await markLost(target, group, signal);
    await endHolders(source, stream.name, signal);
    const streams = found.slotBegun && (await canStream(source, stream));
    await releaseTables(target, streams ? { unfinishedOf: group } : { allOf: group }, (emptied) => report({ emptied }));
    const finished = await plannedAsStreamed(target, group);
    if (finished.length > 0) {
      await ensurePublication(source, stream, finished, { side: 'source', signal });
      await setState(target, group, 'closed');
    } else {
      await dropGroupStream(sides, stream, signal);
      await setState(target, group, 'gone');
    }
  }
  const { rows } = await target.query<{ finished: string; unfinished: string }>(
    `select count(*) filter (where group_id = $1) as finished,
       count(*) filter (where group_id is null and exists (select from ${ledgerSchema}.chunk c where c.table_id = t.id and c.state = 'todo')) as unfinished
     from ${ledgerSchema}.copied_table t`,
    [group],
  );
  return { finished: Number(rows[0]?.finished), unfinished: Number(rows[0]?.unfinished) };
}

/** Removes whatever there is of the stream on both sides. */
export async function dropGroupStream({ source, target }: Sides, stream: Stream, signal?: AbortSignal): Promise<void> {
  await dropSubscription(target, stream.name, 'target', signal);
  await dropSlot(source, stream.name, 'source', signal);
  await dropPublication(source, stream.name);
  for (const client of [source, target]) {
    await client.query(`drop table if exists ${quoteQualified(ledgerSchema, stream.marker)}`);
  }
}

/** Once this is committed no lane takes a chunk of the group; a lane that has one holds the row and is ended. */
async function markLost(target: Client, group: number, signal?: AbortSignal): Promise<void> {
  const deadline = Date.now() + lanesEndMs;
  for (;;) {
    signal?.throwIfAborted();
    const ended = await endCopySessions(target);
    try {
      await inTransaction(target, async () => {
        await target.query(`set local lock_timeout = '500ms'`);
        await target.query(
          `update ${ledgerSchema}.copy_group set state = 'lost', snapshot = null, holder_pid = null where id = $1`,
          [group],
        );
      });
      return;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === '55P03')) throw error;
      if (Date.now() > deadline) {
        throw failure(
          'NotReadyYet',
          `Lanes of copy group ${group} do not end on the target (backends ${ended.join(', ')}). It is tried again by itself; look at the server when that lasts.`,
        );
      }
    }
    await sleep(50, undefined, { signal });
  }
}

async function canStream(source: Client, { name }: Stream): Promise<boolean> {
  const slot = (await readSlots(source, [name])).get(name);
  return slotLoss(slot, name, 'source') === undefined && (await publishedTables(source, name)) !== undefined;
}

async function setState(target: Client, group: number, state: GroupState): Promise<void> {
  await target.query(`update ${ledgerSchema}.copy_group set state = $2 where id = $1`, [group, state]);
}
