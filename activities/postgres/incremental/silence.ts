// Triggers and rules that fire even under session_replication_role = replica. Once the target has its own, a pass must not set them off:
// they are taken off in its transaction and put back in the same one, so that nobody ever sees the table without them.
import type { Client } from 'pg';
import { quoteIdentifier, quoteLiteral, quoteQualified } from '../identifier';

const enabledAs: Record<string, string> = { A: 'enable always', R: 'enable replica' };

/** Gives what puts them back, to be called before the commit. */
export async function silenceTable(
  target: Client,
  { schema, name }: { schema: string; name: string },
): Promise<() => Promise<void>> {
  const table = quoteQualified(schema, name);
  const { rows } = await target.query<{ kind: string; name: string; enabled: string }>(
    `select 'trigger' as kind, tgname as name, tgenabled as enabled from pg_trigger
      where tgrelid = ${quoteLiteral(table)}::regclass and not tgisinternal and tgenabled in ('A', 'R')
     union all
     select 'rule', rulename, ev_enabled from pg_rewrite
      where ev_class = ${quoteLiteral(table)}::regclass and ev_enabled in ('A', 'R')`,
  );
  const alter = (action: string): Promise<unknown> => target.query(`alter table only ${table} ${action}`);
  for (const row of rows) await alter(`disable ${row.kind} ${quoteIdentifier(row.name)}`);
  return async () => {
    for (const row of rows) await alter(`${enabledAs[row.enabled]} ${row.kind} ${quoteIdentifier(row.name)}`);
  };
}
