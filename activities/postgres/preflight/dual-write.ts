// What dual writing asks of both servers: rows that can be told apart (`tables-without-key`), rights to repair on either side, since the way back
// repairs the source; and a word on what acts by itself on each write.
import { quoteIdentifier, quoteQualified } from '../identifier';
import { listed, pass, statements, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';
import { shownName } from './streaming';

/** Whether the application is to write to both sides. */
export function writesToBoth({ input }: CheckContext): boolean {
  return input.strategy === 'dual-write';
}

export const dualWriteChecks: PreflightCheck[] = [
  {
    name: 'dual-write-repair',
    title: 'We may repair rows on the source, for the way back',
    side: 'source',
    look: mayRepair,
  },
  {
    name: 'dual-write-source-replica-role',
    title: 'Triggers of the source can be kept quiet during a repair',
    side: 'source',
    look: mayKeepQuiet,
  },
  { name: 'dual-write-triggers', title: 'What a write sets off by itself', side: 'source', look: triggers },
];

async function mayRepair(context: CheckContext): Promise<Finding> {
  const tables = await context.tables();
  const refused = await context.rows<{ schema: string; name: string }>(
    'source',
    `select n.nspname as schema, c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.oid = any($1::oid[]) and not (has_table_privilege(c.oid, 'insert') and has_table_privilege(c.oid, 'update') and has_table_privilege(c.oid, 'delete'))
     order by 1, 2`,
    [tables.map(({ oid }) => oid)],
  );
  if (refused.length === 0) return pass('INSERT, UPDATE and DELETE on every table');
  const { user } = await context.server('source');
  return {
    outcome: 'fail',
    found: `${user} may not write to ${listed(refused.map(shownName))}: rows could not be locked while they are compared, nor repaired on the way back`,
    expected: 'INSERT, UPDATE and DELETE on the tables',
    fix: statements(
      refused
        .slice(0, 15)
        .map(
          ({ schema, name }) =>
            `GRANT INSERT, UPDATE, DELETE ON ${quoteQualified(schema, name)} TO ${quoteIdentifier(user)}`,
        ),
    ),
  };
}

async function mayKeepQuiet(context: CheckContext): Promise<Finding> {
  const { superuser, user, major } = await context.server('source');
  const may =
    superuser ||
    (major >= 15 &&
      (await context.value('source', `select has_parameter_privilege('session_replication_role', 'set')`)) === 't');
  if (may) return pass('session_replication_role can be set');
  return {
    outcome: 'fail',
    found: `${user} may not set session_replication_role on the source`,
    expected: 'the right to set it: the way back repairs rows there, and triggers must not act on that',
    fix:
      major >= 15
        ? `GRANT SET ON PARAMETER session_replication_role TO ${quoteIdentifier(user)};`
        : `ALTER ROLE ${quoteIdentifier(user)} SUPERUSER;`,
  };
}

async function triggers(context: CheckContext): Promise<Finding> {
  const tables = await context.tables();
  const found = await context.rows<{ name: string }>(
    'source',
    `select distinct n.nspname || '.' || c.relname || ' (' || t.tgname || ')' as name
     from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
     where c.oid = any($1::oid[]) and not t.tgisinternal and t.tgenabled <> 'D' order by 1`,
    [tables.map(({ oid }) => oid)],
  );
  if (found.length === 0) return pass('no triggers');
  return {
    outcome: 'warn',
    found: `triggers act on repeated writes as well: ${listed(found.map(({ name }) => name))}`,
    expected:
      'that a repeat names what its trigger would set; otherwise its rows differ, and are repaired again and again',
  };
}
