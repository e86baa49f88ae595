// Who is at work on the two databases now: transactions that the freeze would have to end or wait for.
// Texts of queries are never shown: they hold values.
import { applicationNamePrefix } from '../connection';
import { quoteIdentifier, quoteLiteral } from '../identifier';
import { unlessSource } from './another-target';
import { counted, listed, pass, statements, type Finding, type PreflightCheck } from './check';
import type { CheckContext, CheckedSide } from './context';

export const activityChecks: PreflightCheck[] = [
  { name: 'sessions-visible', title: 'We see what other sessions do', side: 'source', look: visible },
  {
    name: 'long-transactions',
    title: 'No transaction has been open for more than five minutes',
    side: 'source',
    look: longTransactions,
  },
  {
    name: 'prepared-transactions',
    title: 'No prepared transaction is left open on the source',
    side: 'source',
    look: (context) => prepared(context, 'source'),
  },
  {
    name: 'target-prepared-transactions',
    title: 'No prepared transaction is left open on the target',
    side: 'target',
    look: (context) => prepared(context, 'target'),
  },
  { name: 'target-sessions', title: 'Nobody else works on the target', side: 'target', look: targetSessions },
];

async function visible(context: CheckContext): Promise<Finding> {
  const { superuser, user } = await context.server('source');
  const sees =
    superuser ||
    (await context.value('source', `select pg_has_role(current_user, 'pg_read_all_stats', 'usage')`)) === 't';
  if (sees) return pass(`${user} sees all sessions`);
  return {
    outcome: 'fail',
    found: `${user} does not see the transactions of other roles, so long ones cannot be found`,
    expected: 'a superuser or a member of pg_read_all_stats',
    fix: `GRANT pg_read_all_stats TO ${quoteIdentifier(user)};`,
  };
}

interface Transaction {
  pid: string;
  user: string | null;
  state: string | null;
  seconds: string;
  [column: string]: string | null;
}

const longSql = `
select pid, usename as user, state, round(extract(epoch from clock_timestamp() - xact_start)) as seconds
from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
  and application_name not like $1 || ' %' and clock_timestamp() - xact_start > interval '5 minutes'
order by xact_start`;

async function longTransactions(context: CheckContext): Promise<Finding> {
  const found = await context.rows<Transaction>('source', longSql, [applicationNamePrefix]);
  if (found.length === 0) return pass('none');
  const described = found.map(
    ({ pid, user, state, seconds }) => `pid ${pid} of ${user} ${state}, ${Math.round(Number(seconds) / 60)} min`,
  );
  return {
    outcome: 'warn',
    found: listed(described),
    expected: 'none: the fence ends them, and what they did is lost then',
    fix: statements(found.map(({ pid }) => `SELECT pg_terminate_backend(${pid})`)),
  };
}

interface Prepared {
  gid: string;
  owner: string;
  seconds: string;
  [column: string]: string;
}

async function prepared(context: CheckContext, side: CheckedSide): Promise<Finding> {
  const found = await context.rows<Prepared>(
    side,
    `select gid, owner, round(extract(epoch from clock_timestamp() - prepared)) as seconds
     from pg_prepared_xacts where database = current_database() order by prepared`,
  );
  if (found.length === 0) return pass('none');
  const old = found.filter(({ seconds }) => Number(seconds) > 300);
  const ending = `${statements(found.map(({ gid }) => `ROLLBACK PREPARED ${quoteLiteral(gid)}`))} -- or COMMIT PREPARED, as their owner decides`;
  return {
    outcome: side === 'target' || old.length > 0 ? 'fail' : 'warn',
    found: `${counted(found.length, 'prepared transaction')}: ${listed(found.map(({ gid, owner, seconds }) => `${gid} of ${owner}, ${Math.round(Number(seconds) / 60)} min`))}`,
    expected: 'none: they hold locks, and can be committed through any fence',
    fix: side === 'source' ? ending : await unlessSource(context, ending),
  };
}

async function targetSessions(context: CheckContext): Promise<Finding> {
  const found = await context.rows<{ pid: string; user: string | null; application: string | null }>(
    'target',
    `select pid, usename as user, application_name as application from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
       and application_name not like $1 || ' %' order by pid`,
    [applicationNamePrefix],
  );
  if (found.length === 0) return pass('no other session');
  return {
    outcome: 'warn',
    found: listed(
      found.map(({ pid, user, application }) => `pid ${pid} of ${user}${application ? ` (${application})` : ''}`),
    ),
    expected: 'nobody: what others write to the target before the switch is not part of the migration',
    fix: await unlessSource(context, statements(found.map(({ pid }) => `SELECT pg_terminate_backend(${pid})`))),
  };
}
