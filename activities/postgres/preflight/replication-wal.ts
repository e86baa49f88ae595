// WAL: who would keep a slot from being made, and how much may pile up behind one before the server, its disk or our guardian ends it.
import { lookAtSlots } from '../stream/slot-look';
import { streamPrefix } from '../stream/names';
import { walBudget } from '../stream/wal-ladder';
import { listed, pass, statements, type Finding, type PreflightCheck } from './check';
import type { CheckContext, CheckedSide } from './context';
import { bytesText } from './disk';
import { goesBack, noWayBack } from './streaming';

export const replicationWalChecks: PreflightCheck[] = [
  { name: 'slot-blockers', title: 'No old transaction keeps a slot from being made', side: 'source', look: blockers },
  {
    name: 'wal-retention',
    title: 'The source may hold back enough WAL for the copy',
    side: 'source',
    look: (context) => retention(context, 'source'),
  },
  {
    name: 'target-wal-retention',
    title: 'The target may hold back enough WAL for the way back',
    side: 'target',
    look: (context) => (goesBack(context) ? retention(context, 'target') : noWayBack),
  },
];

/** Any transaction that has written, in any database of the server: read from the locks that each holds on itself, which every role may see. */
const blockersSql = `
select case when l.pid is null then format('prepared transaction %s in database %s', p.gid, p.database)
    else format('pid %s of %s in database %s%s', l.pid, coalesce(a.usename, '(unknown)'), coalesce(a.datname, '(unknown)'), coalesce(', ' || a.state, '')) end as who,
  round(extract(epoch from clock_timestamp() - coalesce(p.prepared, a.xact_start)) / 60) as minutes,
  case when l.pid is null then format('ROLLBACK PREPARED %L', p.gid)
    else format('SELECT pg_terminate_backend(%s)', l.pid) end as remedy
from pg_locks l left join pg_stat_activity a on a.pid = l.pid left join pg_prepared_xacts p on p.transaction = l.transactionid
where l.locktype = 'transactionid' and l.mode = 'ExclusiveLock' and l.granted and (l.pid is not null or p.gid is not null)
  and l.pid is distinct from pg_backend_pid()
  and (p.gid is not null or a.xact_start is null or clock_timestamp() - a.xact_start > interval '1 minute'
    or a.state ~ '^idle in transaction' and clock_timestamp() - a.state_change > interval '2 seconds')
order by coalesce(p.prepared, a.xact_start) nulls first limit 50`;

async function blockers(context: CheckContext): Promise<Finding> {
  const rows = await context.rows<{ who: string; minutes: string | null; remedy: string }>('source', blockersSql);
  if (rows.length === 0) return pass('nobody has been writing in one transaction for more than a minute');
  // A session may end by itself before its turn comes; an old prepared transaction has been forgotten.
  const forgotten = rows.some((row) => isPrepared(row) && Number(row.minutes) >= 5);
  return {
    outcome: forgotten ? 'fail' : 'warn',
    found: listed(rows.map(({ who, minutes }) => `${who}, ${minutes ?? 'an unknown number of'} min`)),
    expected: `none: a slot waits for all of them, at most ${context.input.cdc?.slotTimeout ?? '5m'} (cdc.slotTimeout)`,
    fix: `${statements(rows.map(({ remedy }) => remedy))}${rows.some(isPrepared) ? ' -- each prepared one in its database; or COMMIT PREPARED, as its owner decides' : ''}`,
  };
}

function isPrepared({ who }: { who: string }): boolean {
  return who.startsWith('prepared');
}

const megabyte = 1_048_576;
/** Some seconds of bulk writing. */
const leastBudgetBytes = 256 * megabyte;
const smallBudgetBytes = 1_024 * megabyte;
/** What a copy moves at least, with its indexes. */
const copiedBytesPerSecond = 20_000_000;
const daySeconds = 86_400;

interface WalRow {
  idle_seconds: string | null;
  wal: string | null;
  seconds: string | null;
  [column: string]: string | null;
}

/** The timeout is of 18 and newer, the statistics of 14 and newer. */
const walSql = (major: number): string => `
select (select setting::numeric * case unit when 'ms' then 0.001 when 'min' then 60 else 1 end from pg_settings where name = 'idle_replication_slot_timeout')::text as idle_seconds,
  ${major >= 14 ? `w.wal_bytes::text as wal, extract(epoch from clock_timestamp() - w.stats_reset)::text as seconds from pg_stat_wal w` : `null as wal, null as seconds`}`;

async function retention(context: CheckContext, side: CheckedSide): Promise<Finding> {
  const { major } = await context.server(side);
  const { databaseBytes } = await context.server(side === 'source' || !context.reachable('source') ? side : 'source');
  const askedMegabytes = context.input.cdc?.walBudgetMegabytes ?? 0;
  const { keepBytes, freeBytes } = await lookAtSlots(
    context.session(side),
    streamPrefix(context.input.scope.migration),
  );
  const rows = await context.rows<WalRow>(side, walSql(major));
  const row = rows[0] ?? { idle_seconds: null, wal: null, seconds: null };
  const budget = walBudget({ askedMegabytes, retainedBytes: 0, keepBytes, freeBytes });
  const expectedBytes =
    side === 'source' && row.wal && Number(row.seconds) > 60
      ? (Number(row.wal) / Number(row.seconds)) * (databaseBytes / copiedBytesPerSecond)
      : undefined;
  const verdicts = [
    idleVerdict(Number(row.idle_seconds ?? 0)),
    ...budgetVerdicts({ side, askedMegabytes, keepBytes, freeBytes, expectedBytes, bytes: budget.bytes }),
  ].filter((verdict) => verdict !== undefined);
  const found = [
    `budget ${bytesText(budget.bytes)} (${budget.why})`,
    `max_slot_wal_keep_size ${keepBytes === undefined ? 'without limit' : bytesText(keepBytes)}`,
    ...(freeBytes === undefined ? [] : [`${bytesText(freeBytes)} free for WAL`]),
    ...(expectedBytes === undefined
      ? []
      : [`some ${bytesText(expectedBytes)} written during a copy, at the average rate`]),
    ...verdicts.map(({ what }) => what),
  ].join('; ');
  if (verdicts.length === 0) return pass(found);
  return {
    outcome: verdicts.some(({ outcome }) => outcome === 'fail') ? 'fail' : 'warn',
    found,
    expected: 'room for what is written while the copy or an interruption lasts, and no other end of a slot than ours',
    fix: verdicts.map(({ fix }) => fix).join(' '),
  };
}

interface Verdict {
  outcome: 'warn' | 'fail';
  what: string;
  fix: string;
}

/** Slots of copy groups are idle until their tables are copied. */
function idleVerdict(seconds: number): Verdict | undefined {
  if (!(seconds > 0)) return undefined;
  return {
    outcome: seconds < daySeconds ? 'fail' : 'warn',
    what: `idle_replication_slot_timeout ends slots that wait for more than ${Math.round(seconds / 60)} min, as those of a copy do`,
    fix: 'ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf();',
  };
}

interface Amounts {
  side: CheckedSide;
  askedMegabytes: number;
  bytes: number;
  keepBytes?: number;
  freeBytes?: number;
  expectedBytes?: number;
}

function budgetVerdicts({ side, askedMegabytes, bytes, keepBytes, freeBytes, expectedBytes = 0 }: Amounts): Verdict[] {
  const askedBytes = askedMegabytes * megabyte;
  const wantedMegabytes = Math.ceil(Math.max(askedBytes, smallBudgetBytes, 2 * expectedBytes) / 0.8 / megabyte);
  const raise = `ALTER SYSTEM SET max_slot_wal_keep_size = '${wantedMegabytes}MB'; SELECT pg_reload_conf();`;
  const room = `-- enlarge the disk of the WAL of the ${side}`;
  const limited = keepBytes !== undefined && keepBytes * 0.8 <= bytes * 1.001;
  const fix = limited
    ? raise
    : askedMegabytes > 0 && bytes >= askedBytes
      ? '-- raise cdc.walBudgetMegabytes in the plan'
      : room;
  const verdicts: Verdict[] = [];
  if (askedBytes > 0 && keepBytes !== undefined && askedBytes > 0.8 * keepBytes) {
    verdicts.push({
      outcome: 'fail',
      what: `the plan allows ${bytesText(askedBytes)}, the server ends slots at ${bytesText(keepBytes)}`,
      fix: raise,
    });
  } else if (askedBytes > 0 && freeBytes !== undefined && askedBytes > 0.9 * freeBytes) {
    verdicts.push({
      outcome: 'fail',
      what: `the plan allows ${bytesText(askedBytes)}, which the disk does not have`,
      fix: room,
    });
  } else if (bytes < leastBudgetBytes) {
    verdicts.push({ outcome: 'fail', what: 'that is used up within seconds of bulk writing', fix });
  } else if (bytes < Math.max(smallBudgetBytes, expectedBytes)) {
    verdicts.push({ outcome: 'warn', what: 'that may not last for the copy', fix });
  }
  if (askedBytes === 0 && keepBytes === undefined && freeBytes === undefined) {
    verdicts.push({
      outcome: 'warn',
      what: 'how much disk is free for WAL could not be known: the server is not on the worker’s machine, or its data directory is hidden',
      fix: `df -h # on the machine of the ${side}, for its pg_wal: then set cdc.walBudgetMegabytes in the plan to half of it`,
    });
  }
  return verdicts;
}
