// What may be changed while the copy runs, kept in the ledger so that every lane on every worker sees it.
import type { ClientBase } from 'pg';
import { ledgerSchema } from '../scope';

export interface CopyTuning {
  /** Lanes numbered from this one on end after their chunk; undefined: no lane has to. */
  lanes?: number;
  /** For all lanes together; 0 is without a limit. */
  maxBytesPerSecond: number;
  /** Set by `stopCopy`: nothing may be copied until it is planned again. */
  stopped: boolean;
}

export async function readTuning(target: ClientBase): Promise<CopyTuning> {
  const { rows } = await target.query<{ key: string; value: string }>(`select key, value from ${ledgerSchema}.setting`);
  const values = new Map(rows.map(({ key, value }) => [key, value]));
  const lanes = values.get('lanes');
  return {
    ...(lanes === undefined ? {} : { lanes: Number(lanes) }),
    maxBytesPerSecond: Number(values.get('maxBytesPerSecond') ?? 0),
    stopped: values.has('stopped'),
  };
}

export async function writeSetting(target: ClientBase, key: string, value: string | number): Promise<void> {
  await target.query(
    `insert into ${ledgerSchema}.setting (key, value) values ($1, $2) on conflict (key) do update set value = excluded.value`,
    [key, String(value)],
  );
}

export async function readSetting(target: ClientBase, key: string): Promise<string | undefined> {
  const { rows } = await target.query<{ value: string }>(`select value from ${ledgerSchema}.setting where key = $1`, [
    key,
  ]);
  return rows[0]?.value;
}

export async function removeSetting(target: ClientBase, key: string): Promise<void> {
  await target.query(`delete from ${ledgerSchema}.setting where key = $1`, [key]);
}
