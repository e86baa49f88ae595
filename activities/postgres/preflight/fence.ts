// Can writes to a database be stopped, and are they not stopped already? The source is fenced by every strategy; where changes are
// streamed, the target is fenced first and for longer: nobody but the stream may write to the side that follows.
import { fenceSetting, readAccess, readMark } from '../fence/former';
import { quoteIdentifier } from '../identifier';
import { pass, statements, type Finding, type PreflightCheck } from './check';
import { superusers } from './cluster';
import type { CheckContext, CheckedSide } from './context';

export const fenceChecks: PreflightCheck[] = [
  {
    name: 'source-fence',
    title: 'We may stop writes to the source',
    side: 'source',
    look: (context) => canFence(context, 'source'),
  },
  {
    name: 'source-open',
    title: 'The source is not fenced already',
    side: 'source',
    look: notFenced,
  },
];

export const followerFenceChecks: PreflightCheck[] = [
  {
    name: 'target-fence',
    title: 'We may keep everybody but the stream from writing to the target',
    side: 'target',
    look: (context) => canFence(context, 'target'),
  },
  {
    name: 'target-superusers',
    title: 'Nobody can pass the fence of the target',
    side: 'target',
    look: (context) => superusers(context, 'target'),
  },
  { name: 'target-open', title: 'No other migration has fenced the target', side: 'target', look: targetOpen },
];

async function canFence(context: CheckContext, side: CheckedSide): Promise<Finding> {
  const { superuser, user, database } = await context.server(side);
  if (superuser) return pass(`${user} is a superuser`);
  const rows = await context.rows<{ owner: string; signal: string; superusers: string }>(
    side,
    `select pg_has_role(datdba, 'usage') as owner, pg_has_role('pg_signal_backend', 'usage') as signal,
       (select count(*) from pg_roles where rolsuper and rolcanlogin) as superusers
     from pg_database where datname = current_database()`,
  );
  const { owner, signal, superusers } = rows[0] ?? {};
  const fixes = [
    ...(owner === 't' ? [] : [`ALTER DATABASE ${quoteIdentifier(database)} OWNER TO ${quoteIdentifier(user)}`]),
    ...(signal === 't' ? [] : [`GRANT pg_signal_backend TO ${quoteIdentifier(user)}`]),
  ];
  if (fixes.length === 0)
    return pass(`${user} owns ${database} and may end sessions (not those of the ${superusers} superusers)`);
  return {
    outcome: 'fail',
    found: `${user} can neither be sure to keep sessions out nor to end them`,
    expected: 'a superuser, or the owner of the database who is a member of pg_signal_backend',
    fix: statements(fixes),
  };
}

async function notFenced(context: CheckContext): Promise<Finding> {
  const rows = await context.rows<{ limit: string; settings: string | null }>(
    'source',
    `select d.datconnlimit as limit, array_to_string(s.setconfig, ' ') as settings
     from pg_database d left join pg_db_role_setting s on s.setdatabase = d.oid and s.setrole = 0 where d.datname = current_database()`,
  );
  const { limit = '-1', settings = null } = rows[0] ?? {};
  const { superuser, database } = await context.server('source');
  const mark = superuser ? (await readAccess(context.session('source'), 'source')).mark : undefined;
  if (mark) {
    return {
      outcome: 'fail',
      found: `fenced by the migration "${mark.migration}" since ${mark.raisedAt}`,
      expected: 'a source that takes writes',
      fix: 'roll that migration back, or lower its fence by hand as the operator’s guide says',
    };
  }
  const readOnly = /(^| )default_transaction_read_only=on/.test(settings ?? '');
  if (limit !== '0' && !readOnly && !settings?.includes(`${fenceSetting}=`))
    return pass('it takes sessions and writes');
  return {
    outcome: 'warn',
    found:
      [
        limit === '0' ? 'the connection limit of the database is 0' : '',
        readOnly ? 'the database is read-only by default' : '',
      ]
        .filter(Boolean)
        .join('; ') || 'it bears the mark of a fence',
    expected: 'a source that takes writes; rolling back restores just this state',
    fix: statements([
      ...(limit === '0' ? [`ALTER DATABASE ${quoteIdentifier(database)} CONNECTION LIMIT -1`] : []),
      ...(readOnly ? [`ALTER DATABASE ${quoteIdentifier(database)} RESET default_transaction_read_only`] : []),
    ]),
  };
}

async function targetOpen(context: CheckContext): Promise<Finding> {
  const mark = await readMark(context.session('target'));
  if (!mark) return pass('nobody has');
  if (mark.migration === context.input.scope.migration)
    return pass(`this migration, in an earlier attempt at ${mark.raisedAt}`);
  return {
    outcome: 'fail',
    found: `fenced by the migration "${mark.migration}" since ${mark.raisedAt}`,
    expected: 'a target of our own',
    fix: 'let that migration end, or lower its fence by hand as the operator’s guide says',
  };
}
