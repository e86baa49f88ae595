// Which tables streams carry: logged ones of the plan's selection, partitions as leaves. What extensions own comes with them, and
// unlogged tables leave nothing to be streamed.
import type { ClientBase } from 'pg';
import { ledgerSchema } from '../scope';
import type { SelectedTable } from '../tables';

export interface TableRef {
  schema: string;
  name: string;
}

/** `schema.table`, as people read it. */
export function shownName({ schema, name }: TableRef): string {
  return `${schema}.${name}`;
}

/** Whether changes of the table can be streamed, and are. */
export function isStreamed({ persistence, extension }: SelectedTable): boolean {
  return persistence === 'p' && extension === undefined;
}

/** Those that the copy has planned as streamed, from the ledger; of one group only where it is given. */
export async function plannedAsStreamed(target: ClientBase, group?: number): Promise<TableRef[]> {
  const { rows } = await target.query<TableRef>(
    `select schema_name as schema, table_name as name from ${ledgerSchema}.copied_table
     where streamed and ($1::int is null or group_id = $1) order by id`,
    [group ?? null],
  );
  return rows;
}
