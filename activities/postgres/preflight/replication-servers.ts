// Can the two servers replicate at all: versions, WAL, and enough places for slots, senders and workers, on both sides where
// the way back is streamed too. Places that a lost snapshot's second copy group would need are asked for as a spare one.
import { quoteIdentifier } from '../identifier';
import { pass, type Finding, type PreflightCheck } from './check';
import type { CheckContext, CheckedSide } from './context';
import { goesBack, noWayBack } from './streaming';

/** Publications are as we use them from here on. */
const oldestMajor = 13;
/** From here on a subscription can tell what was written on the other side itself. */
const originMajor = 16;

export const replicationServerChecks: PreflightCheck[] = [
  {
    name: 'replication-versions',
    title: 'Both versions can stream to each other',
    side: 'both',
    waivable: false,
    look: versions,
  },
  {
    name: 'wal-level',
    title: 'The source writes what streams need into its WAL',
    side: 'source',
    look: (context) => walLevel(context, 'source'),
  },
  {
    name: 'target-wal-level',
    title: 'The target writes what the way back needs into its WAL',
    side: 'target',
    look: (context) => (goesBack(context) ? walLevel(context, 'target') : noWayBack),
  },
  {
    name: 'free-slots',
    title: 'The source has replication slots and WAL senders left',
    side: 'source',
    look: (context) => places(context, 'source', sendingSql, 2),
  },
  {
    name: 'target-free-slots',
    title: 'The target has replication slots and WAL senders left for the way back',
    side: 'target',
    look: (context) => (goesBack(context) ? places(context, 'target', sendingSql, 1) : noWayBack),
  },
  {
    name: 'apply-workers',
    title: 'The target has workers left to apply what is streamed',
    side: 'target',
    look: (context) => places(context, 'target', applyingSql, 2),
  },
  {
    name: 'source-apply-workers',
    title: 'The source has workers left to apply what is streamed back',
    side: 'source',
    look: (context) => (goesBack(context) ? places(context, 'source', applyingSql, 1) : noWayBack),
  },
  { name: 'replication-timeouts', title: 'Streams that are only slow are not cut', side: 'both', look: timeouts },
  {
    name: 'way-back-encoding',
    title: 'Every character of the target fits the source on the way back',
    side: 'both',
    look: encodingBack,
  },
];

async function versions(context: CheckContext): Promise<Finding> {
  const [source, target] = [await context.server('source'), await context.server('target')];
  return judgeVersions(source, target);
}

/** Apart from any server, since those too old are at hand nowhere. */
export function judgeVersions(
  source: { version: string; major: number },
  target: { version: string; major: number },
): Finding {
  const found = `PostgreSQL ${source.version} and ${target.version}`;
  const old = Math.min(source.major, target.major);
  if (old < oldestMajor) {
    return {
      outcome: 'fail',
      found,
      expected: `PostgreSQL ${oldestMajor} or newer on both sides`,
      fix: `set strategy to "big-bang" in the plan, or upgrade to PostgreSQL ${oldestMajor} first`,
    };
  }
  return pass(
    old < originMajor
      ? `${found}; before ${originMajor} nothing tells where a change was made, so the order of the turns and the fences alone keep changes from going round`
      : found,
  );
}

/** Newer servers raise the level by themselves when the first slot is made. */
async function walLevel(context: CheckContext, side: CheckedSide): Promise<Finding> {
  const rows = await context.rows<{ level: string; effective: string | null }>(
    side,
    `select current_setting('wal_level') as level, current_setting('effective_wal_level', true) as effective`,
  );
  const { level = 'unknown', effective = null } = rows[0] ?? {};
  if (level === 'logical' || (effective !== null && level === 'replica')) {
    return pass(`wal_level is ${level}${effective === null ? '' : `, ${effective} in force; raised by itself`}`);
  }
  return {
    outcome: 'fail',
    found: `wal_level is ${level}`,
    expected: 'logical',
    fix: `ALTER SYSTEM SET wal_level = 'logical'; -- then restart the ${side}`,
  };
}

/** One kind of place: how many there are, how many are taken; null where the role does not see it. */
interface PlaceRow {
  setting: string;
  limit: string;
  taken: string | null;
  [column: string]: string | null;
}

const sendingSql = `
select 'max_replication_slots' as setting, current_setting('max_replication_slots') as limit, (select count(*) from pg_replication_slots) as taken
union all select 'max_wal_senders', current_setting('max_wal_senders'), (select count(*) from pg_stat_replication)`;

/** Up to 17, origins have as many places as slots do; they are counted apart. Processes of the server itself are none of the workers. */
const applyingSql = `
select 'max_logical_replication_workers' as setting, current_setting('max_logical_replication_workers') as limit,
  (select count(*) from pg_stat_subscription where pid is not null) as taken
union all select case when o.limit is null then 'max_replication_slots' else 'max_active_replication_origins' end,
  coalesce(o.limit, current_setting('max_replication_slots')), (select count(*) from pg_replication_origin)
  from (select current_setting('max_active_replication_origins', true) as limit) o
union all select 'max_worker_processes', current_setting('max_worker_processes'),
  (select count(*) from pg_stat_activity where backend_type not in ('client backend', 'parallel worker', 'walsender', 'walreceiver', 'walwriter', 'walsummarizer',
      'autovacuum launcher', 'autovacuum worker', 'background writer', 'checkpointer', 'startup', 'archiver', 'logger', 'slotsync worker', 'io worker', 'standalone backend'))
  where (select rolsuper from pg_roles where rolname = current_user) or pg_has_role(current_user, 'pg_read_all_stats', 'usage')
union all select 'max_worker_processes', current_setting('max_worker_processes'), null
  where not ((select rolsuper from pg_roles where rolname = current_user) or pg_has_role(current_user, 'pg_read_all_stats', 'usage'))`;

/** At least one of each must be free, or nothing starts; `wanted` is what it takes when a snapshot is lost on the way. */
async function places(context: CheckContext, side: CheckedSide, sql: string, wanted: number): Promise<Finding> {
  const rows = await context.rows<PlaceRow>(side, sql);
  const free = rows.map((row) => ({
    ...row,
    free: row.taken === null ? undefined : Number(row.limit) - Number(row.taken),
  }));
  const found = free
    .map(({ setting, limit, taken }) => `${setting}: ${taken ?? 'an unknown number'} of ${limit} taken`)
    .join(', ');
  const short = free.filter((row) => row.free !== undefined && row.free < wanted);
  if (short.length > 0) {
    return {
      outcome: short.some((row) => (row.free ?? 0) < 1) ? 'fail' : 'warn',
      found,
      expected: `${wanted} free of each${wanted > 1 ? ', one as a spare for a second copy group' : ''}`,
      fix: `${short.map(({ setting, taken }) => `ALTER SYSTEM SET ${setting} = ${Math.max(10, Number(taken) + wanted + 4)};`).join(' ')} -- then restart the ${side}`,
    };
  }
  if (free.every((row) => row.free !== undefined)) return pass(found);
  const { user } = await context.server(side);
  return {
    outcome: 'warn',
    found: `${found}: ${user} does not see the processes of other roles`,
    expected: `${wanted} free of each`,
    fix: `GRANT pg_read_all_stats TO ${quoteIdentifier(user)}; -- or look as a superuser: SELECT backend_type, count(*) FROM pg_stat_activity GROUP BY 1`,
  };
}

const leastTimeoutMs = 10_000;

async function timeouts(context: CheckContext): Promise<Finding> {
  const wrong: { side: CheckedSide; name: string; ms: number }[] = [];
  const told: string[] = [];
  for (const side of ['source', 'target'] as const) {
    const rows = await context.rows<{ name: string; ms: string }>(
      side,
      `select name, setting as ms from pg_settings where name in ('wal_sender_timeout', 'wal_receiver_timeout') order by name desc`,
    );
    for (const { name, ms } of rows) {
      told.push(`${name} ${Number(ms) / 1_000} s on the ${side}`);
      if (Number(ms) < leastTimeoutMs) wrong.push({ side, name, ms: Number(ms) });
    }
  }
  if (wrong.length === 0) return pass(told.join(', '));
  return {
    outcome: 'warn',
    found: told.join(', '),
    expected: `at least ${leastTimeoutMs / 1_000} s: less cuts a stream that is busy with one large transaction, and 0 never notices that the other side is gone`,
    fix: (['source', 'target'] as const)
      .map((side) => ({ side, names: wrong.filter((one) => one.side === side).map(({ name }) => name) }))
      .filter(({ names }) => names.length > 0)
      .map(
        ({ side, names }) =>
          `${names.map((name) => `ALTER SYSTEM SET ${name} = '60s';`).join(' ')} SELECT pg_reload_conf(); -- on the ${side}`,
      )
      .join('\n'),
  };
}

async function encodingBack(context: CheckContext): Promise<Finding> {
  if (!goesBack(context)) return noWayBack;
  const sql = `select pg_encoding_to_char(encoding) from pg_database where datname = current_database()`;
  const [source, target] = [await context.value('source', sql), await context.value('target', sql)];
  if (source === target) return pass(`${source} on both`);
  return {
    outcome: 'warn',
    found: `${target} on the target, ${source} on the source: text that the application writes after the switch and that ${source} cannot hold stops the way back`,
    expected:
      'one encoding, or an application that keeps to the characters of the source until the way back is given up',
    fix: 'set reverseReplication to false in the plan where the application will write other characters',
  };
}
