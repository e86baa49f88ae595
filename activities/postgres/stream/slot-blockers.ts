// Who keeps a logical slot from being made: a new slot waits for every transaction that had written by then, in any database of the
// server, prepared ones included. Read from the locks that such transactions hold on themselves, which every role may see.
import type { ClientBase } from 'pg';

const blockersShown = 10;

const blockersSql = `
select distinct on (coalesce(l.pid::text, p.gid)) coalesce(a.xact_start, p.prepared) as since,
  case when l.pid is null
    then format('the prepared transaction %s of role %s in database %s, since %s', p.gid, p.owner, p.database, date_trunc('second', p.prepared))
    else format('pid %s: role %s, program %s, database %s, %s, in a transaction since %s', l.pid, coalesce(a.usename, '(unknown)'),
      coalesce(nullif(a.application_name, ''), '(unnamed)'), coalesce(a.datname, '(unknown)'), coalesce(a.state, a.backend_type, '(unknown)'), coalesce(date_trunc('second', a.xact_start)::text, '(unknown)'))
  end as line,
  case when l.pid is null then format('ROLLBACK PREPARED %L or COMMIT PREPARED %L in database %s', p.gid, p.gid, p.database)
    else format('SELECT pg_terminate_backend(%s)', l.pid) end as remedy
from pg_locks l
left join pg_stat_activity a on a.pid = l.pid
left join pg_prepared_xacts p on p.transaction = l.transactionid
where l.locktype = 'transactionid' and l.mode = 'ExclusiveLock' and l.granted
  and l.pid is distinct from $1::int and l.pid is distinct from pg_backend_pid() and (l.pid is not null or p.gid is not null)
order by coalesce(l.pid::text, p.gid)`;

export interface SlotBlocker {
  /** For people. */
  line: string;
  /** The statement that ends it. */
  remedy: string;
}

/** Open writing and prepared transactions, the oldest first, at most ten; that of the process which makes the slot left out. */
export async function slotBlockers(client: ClientBase, makerPid: number): Promise<SlotBlocker[]> {
  const { rows } = await client.query<SlotBlocker>(
    `select line, remedy from (${blockersSql}) b order by since nulls first, line limit ${blockersShown}`,
    [makerPid],
  );
  return rows;
}
