// The guardian's hand on the copy: half of its speed for as long as the streams need it, and what it was before afterwards.
import type { Client } from 'pg';
import { copyLedgerExists } from '../copy/chunk-ledger';
import { readSetting, readTuning, removeSetting, writeSetting } from '../copy/settings';
import { bytesText } from '../preflight/disk';
import { ownsLedger } from '../ledger';
import { ledgerSchema } from '../scope';

/** Holds `<what we set> <what was before>` while the brake is on. */
const brakeKey = 'guardianBrake';

/** Chunks that came in during the last minute, or the last one there is; through the pipe, which is what the limit counts. */
const speedSql = `
with done as (
  select bytes, started_at, finished_at from ${ledgerSchema}.chunk
   where state = 'done' and finished_at >= (select least(max(finished_at), clock_timestamp() - interval '1 minute') from ${ledgerSchema}.chunk where state = 'done')
)
select round(sum(bytes) / greatest(extract(epoch from max(finished_at) - min(started_at)), 0.001)) as speed,
       (select count(*) from ${ledgerSchema}.chunk where state = 'todo') as todo
  from done`;

export type Brake = 'on' | 'nothing is copied' | 'the speed of the copy is not known yet';

/** Halves the speed of the copy once; a second call finds that done. */
export async function applyBrake(target: Client, migration: string): Promise<{ brake: Brake; words: string }> {
  const said = (brake: Brake): { brake: Brake; words: string } => ({ brake, words: brake });
  if (!(await ownsLedger(target, migration)) || !(await copyLedgerExists(target))) return said('nothing is copied');
  const already = (await readSetting(target, brakeKey))?.split(' ')[0];
  if (already !== undefined)
    return { brake: 'on', words: `the copy is limited to ${bytesText(Number(already))} a second` };
  const { rows } = await target.query<{ speed: string | null; todo: string }>(speedSql);
  if (Number(rows[0]?.todo ?? 0) === 0) return said('nothing is copied');
  const { maxBytesPerSecond } = await readTuning(target);
  const measured = Number(rows[0]?.speed ?? 0) || maxBytesPerSecond;
  if (measured === 0) return said('the speed of the copy is not known yet');
  const limit = Math.max(1, Math.round((maxBytesPerSecond > 0 ? Math.min(measured, maxBytesPerSecond) : measured) / 2));
  await target.query('begin');
  try {
    await writeSetting(target, 'maxBytesPerSecond', limit);
    await writeSetting(target, brakeKey, `${limit} ${maxBytesPerSecond}`);
    await target.query('commit');
  } catch (error) {
    await target.query('rollback').catch(() => undefined);
    throw error;
  }
  return { brake: 'on', words: `the copy is limited to ${bytesText(limit)} a second` };
}

/** Puts back what was before, unless somebody has set another limit meanwhile. */
export async function releaseBrake(target: Client, migration: string): Promise<boolean> {
  if (!(await ownsLedger(target, migration)) || !(await copyLedgerExists(target))) return false;
  const [limit, before] = ((await readSetting(target, brakeKey)) ?? '').split(' ');
  if (limit === undefined || before === undefined) return false;
  await target.query('begin');
  try {
    const { maxBytesPerSecond } = await readTuning(target);
    if (String(maxBytesPerSecond) === limit) await writeSetting(target, 'maxBytesPerSecond', before);
    await removeSetting(target, brakeKey);
    await target.query('commit');
  } catch (error) {
    await target.query('rollback').catch(() => undefined);
    throw error;
  }
  return true;
}
