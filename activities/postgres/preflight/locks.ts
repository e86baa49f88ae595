// One transaction holds a lock on every relation it creates or dumps; the table of locks has a fixed size.
import { pass, type Finding, type PreflightCheck } from './check';
import type { CheckContext, CheckedSide } from './context';

export const lockChecks: PreflightCheck[] = [
  {
    name: 'lock-budget',
    title: 'The target can hold the locks of creating the schema',
    side: 'target',
    needs: ['source', 'target'],
    look: (context) => budget(context, 'target'),
  },
  {
    name: 'source-lock-budget',
    title: 'The source can hold the locks of dumping it',
    side: 'source',
    look: (context) => budget(context, 'source'),
  },
];

/** Creating a table locks it, its TOAST table and that one's index; a dump locks tables alone. */
const neededSql: Record<CheckedSide, string> = {
  target: `select count(*) + 2 * count(*) filter (where reltoastrelid <> 0) from pg_class c
    where relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c') and relpersistence <> 't'
      and (relnamespace >= 16384 or relnamespace = to_regnamespace('public'))`,
  source: `select count(*) from pg_class where relkind in ('r', 'p') and relpersistence <> 't'
      and (relnamespace >= 16384 or relnamespace = to_regnamespace('public'))`,
};

async function budget(context: CheckContext, side: CheckedSide): Promise<Finding> {
  const needed = Number(await context.value('source', neededSql[side]));
  const rows = await context.rows<{ per: string; sessions: string }>(
    side,
    `select current_setting('max_locks_per_transaction') as per,
       current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int as sessions`,
  );
  const [per, sessions] = [Number(rows[0]?.per), Number(rows[0]?.sessions)];
  const found = `${needed} locks in one transaction, room for ${per * sessions} (max_locks_per_transaction ${per} x ${sessions} sessions)`;
  if (needed <= per * sessions) return pass(found);
  return {
    // Servers have some room beyond the figure. A dump that does not fit ends before writes are stopped, and restarting a source is much to ask.
    outcome: side === 'source' ? 'warn' : 'fail',
    found,
    expected: 'room for every lock',
    fix: `ALTER SYSTEM SET max_locks_per_transaction = ${Math.ceil((needed * 1.5) / sessions)}; -- then restart the ${side}`,
  };
}
