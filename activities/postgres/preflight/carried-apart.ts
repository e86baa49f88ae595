// What needs a way of its own besides the copying and streaming of tables: unlogged tables, large objects, materialized views.
// Big-bang copies all of it under the fence like the rest. Streams carry none of it, so with CDC it lengthens the freeze, or is refused.
import { quoteQualified } from '../identifier';
import { counted, listed, pass, statements, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';
import { bytesText } from './disk';
import { writesToBoth } from './dual-write';
import { goesBack, shownName, streams } from './streaming';

export const carriedApartChecks: PreflightCheck[] = [
  { name: 'unlogged-tables', title: 'Unlogged tables', side: 'source', look: unlogged },
  { name: 'large-objects', title: 'Large objects', side: 'source', look: largeObjects },
  { name: 'materialized-views', title: 'Materialized views', side: 'source', look: materializedViews },
];

async function unlogged(context: CheckContext): Promise<Finding> {
  const tables = (await context.tables()).filter(({ persistence }) => persistence === 'u');
  if (tables.length === 0) return pass('none');
  if (!streams(context)) {
    return {
      outcome: 'warn',
      found: `copied like the others, and unlogged on the target as well: ${listed(tables.map(shownName))}`,
      expected: 'that their rows are worth copying; otherwise leave them out in plan.tables',
    };
  }
  const bytes = tables.reduce((sum, table) => sum + table.bytes, 0);
  const largest = [...tables].sort((one, other) => other.bytes - one.bytes);
  return {
    outcome: 'warn',
    found: `${bytesText(bytes)} copied in the freeze of every turn, since they leave nothing to be streamed: ${listed(largest.map((table) => `${shownName(table)} (${bytesText(table.bytes)})`))}`,
    expected:
      'that their rows are worth the longer freeze; otherwise leave them out in plan.tables, or have them logged',
    fix: statements(largest.map(({ schema, name }) => `ALTER TABLE ${quoteQualified(schema, name)} SET LOGGED`)),
  };
}

/** So much is copied in a second or two; more is worth a warning. */
const quickBytes = 100_000_000;

async function largeObjects(context: CheckContext): Promise<Finding> {
  const count = Number(await context.value('source', 'select count(*) from pg_largeobject_metadata'));
  if (count === 0) return pass('none');
  const there = counted(count, 'large object');
  if (writesToBoth(context)) {
    return {
      outcome: 'fail',
      found: `${there}: they have no key by which a write could be repeated or compared`,
      expected: 'none, or another strategy',
      fix: 'set strategy to "big-bang" in the plan, or to "cdc" with cdc.largeObjects "copy-under-fence"',
    };
  }
  if (!streams(context)) return pass(`${there}, copied with owner and privileges under the fence`);
  const bytes = Number(await context.value('source', `select pg_total_relation_size('pg_largeobject')`));
  const found = `${there}, ${bytesText(bytes)} with their index`;
  if (context.input.cdc?.largeObjects !== 'copy-under-fence') {
    return {
      outcome: 'fail',
      found: `${found}: streams never carry them (cdc.largeObjects is "refuse")`,
      expected: 'none, or a decision to copy them in the freeze and to do without a lossless way back',
      fix: 'set cdc.largeObjects to "copy-under-fence" and reverseReplication to false in the plan, or strategy to "big-bang"',
    };
  }
  if (goesBack(context)) {
    return {
      outcome: 'fail',
      found: `${found}: those written after the switch could not be streamed back`,
      expected: 'reverseReplication: false together with cdc.largeObjects "copy-under-fence"',
      fix: 'set reverseReplication to false in the plan',
    };
  }
  if (bytes <= quickBytes) return pass(`${found}, copied with owner and privileges in the freeze`);
  return {
    outcome: 'warn',
    found: `${found}, all of them copied in the freeze, which lasts the longer for it`,
    expected: `less than ${bytesText(quickBytes)}, or a plan.maxDowntime that bears it`,
    fix: 'SELECT lo_unlink(oid) FROM pg_largeobject_metadata WHERE …; -- those that nothing names any more, as vacuumlo finds them',
  };
}

async function materializedViews(context: CheckContext): Promise<Finding> {
  const count = Number(await context.value('source', `select count(*) from pg_class where relkind = 'm'`));
  if (count === 0) return pass('none');
  if (writesToBoth(context)) return pass(`${count}, refreshed on the target before the cutover`);
  if (!streams(context)) return pass(`${count}, refreshed on the target after the copy`);
  if (context.input.cdc?.materializedViews === 'under-fence')
    return pass(`${count}, refreshed in the freeze, which lasts the longer for it`);
  return pass(
    `${count}, refreshed on the target before the cutover: at the switch they are as old as that (cdc.materializedViews)`,
  );
}
