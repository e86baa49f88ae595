// What a migration in passes needs and other strategies do not: changes must be found by what the source itself keeps of them.
import type { IncrementalSettings } from '../../../plan/incremental';
import { quoteIdentifier, quoteQualified } from '../identifier';
import { askOne, planSession } from '../plan-query';
import { matchesPattern, type SelectedTable } from '../tables';
import { counted, listed, pass, statements, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';
import { bytesText } from './disk';
import { followerFenceChecks } from './fence';
import { shownName } from './streaming';

/** Row versions are compared over at most half of the numbers there are (2^31); a migration may take weeks. */
const oldAge = 1_000_000_000;
const tooOldAge = 1_500_000_000;
/** What every writer can advance, and be compared with the clock. */
const timeType = /^(timestamp|date)\b/;

export const passChecks: PreflightCheck[] = [
  ...followerFenceChecks,
  {
    name: 'tables-read-whole',
    title: 'Passes need not read whole tables',
    side: 'source',
    look: readWhole,
  },
  {
    name: 'update-columns',
    title: 'Update columns of the plan exist and can be read by an index',
    side: 'source',
    look: updateColumns,
  },
  {
    name: 'transaction-age',
    title: 'Row versions of the source are far from a wraparound',
    side: 'source',
    look: transactionAge,
  },
  {
    name: 'pressure-probe',
    title: 'The probe that tells of pressure on the source answers with a number',
    side: 'source',
    look: probe,
  },
];

/** Whether changes are picked up in passes. */
export function makesPasses({ input }: CheckContext): boolean {
  return input.strategy === 'incremental';
}

function settingsOf({ input }: CheckContext): Partial<IncrementalSettings> {
  return input.incremental ?? {};
}

/** Tables whose changes nothing tells: every pass compares all of their rows. */
async function readWhole(context: CheckContext): Promise<Finding> {
  const tables = await context.tables();
  const { changes = 'row-version', updateColumns: columns = [] } = settingsOf(context);
  const methods = await context.rows<{ oid: string; method: string }>(
    'source',
    `select c.oid, m.amname as method from pg_class c join pg_am m on m.oid = c.relam
     where c.oid = any($1::oid[]) and m.amname <> 'heap'`,
    [tables.map(({ oid }) => oid)],
  );
  const foreign = new Map(methods.map(({ oid, method }) => [oid, method]));
  const named = new Set(columns.map(({ table }) => table));
  const whole = tables.flatMap((table) => {
    const method = foreign.get(table.oid);
    const why = !table.key
      ? 'no key'
      : method !== undefined
        ? `access method ${method}`
        : changes === 'digest' && !named.has(shownName(table)) && !named.has(table.partitionOf ?? '')
          ? 'changes: digest'
          : undefined;
    return why === undefined ? [] : [{ table, why }];
  });
  if (whole.length === 0) return pass(`${counted(tables.length, 'table')}, each read by what changed`);
  const bytes = whole.reduce((sum, { table }) => sum + table.bytes, 0);
  return {
    outcome: 'warn',
    found: `${counted(whole.length, 'table')} of ${bytesText(bytes)} read whole in every pass, also in the freeze: ${listed(whole.map(({ table, why }) => `${shownName(table)} (${why}, ${bytesText(table.bytes)})`))}`,
    expected: 'a key and ordinary storage, so that changes can be told by row version; or tables that are small',
    fix: whole.some(({ why }) => why === 'no key')
      ? statements(
          whole
            .filter(({ why }) => why === 'no key')
            .map(({ table }) => `ALTER TABLE ${quoteQualified(table.schema, table.name)} ADD PRIMARY KEY (…)`),
        )
      : 'set incremental.changes to "row-version" in the plan, or name update columns',
  };
}

async function updateColumns(context: CheckContext): Promise<Finding> {
  const { updateColumns: columns = [] } = settingsOf(context);
  if (columns.length === 0) return pass('the plan names none: changes are told by row versions');
  const tables = await context.tables();
  const wrong: string[] = [];
  const there: { table: SelectedTable; column: string }[] = [];
  for (const { table: name, column } of columns) {
    const named = tables.filter((one) => shownName(one) === name || one.partitionOf === name);
    if (named.length === 0) wrong.push(`${name} is no selected table`);
    for (const table of named) {
      const found = table.columns.find((one) => one.name === column);
      if (!found) wrong.push(`${shownName(table)} has no column ${column}`);
      else if (!timeType.test(found.type)) wrong.push(`${shownName(table)}.${column} is ${found.type}`);
      else there.push({ table, column });
    }
  }
  if (wrong.length > 0)
    return {
      outcome: 'fail',
      found: listed(wrong, '; '),
      expected: 'selected tables and columns of type timestamptz, timestamp or date, exact and unquoted',
      fix: 'correct incremental.updateColumns in the plan',
    };
  const { checksum } = context.input.validation;
  const undigested = there.filter(
    ({ table }) => checksum !== 'all' && !checksum.some((pattern) => matchesPattern(pattern, table.schema, table.name)),
  );
  if (undigested.length > 0)
    return {
      outcome: 'fail',
      found: `validation.checksum leaves out ${listed(undigested.map(({ table }) => shownName(table)))}: an update that leaves its column alone would be lost, and nobody would know`,
      expected: 'that tables with an update column are compared by digest in the freeze',
      fix: 'name them in validation.checksum, or leave them out of incremental.updateColumns: row versions miss nothing',
    };
  const slow: { table: SelectedTable; column: string }[] = [];
  for (const one of there) if (!(await leadsAnIndex(context, one.table.oid, one.column))) slow.push(one);
  if (slow.length === 0) return pass(`${counted(there.length, 'column')}, each first in an index`);
  return {
    outcome: 'warn',
    found: `no index begins with ${listed(slow.map(({ table, column }) => `${shownName(table)}.${column}`))}: every pass reads the whole table on the source`,
    expected: 'an index on each, or tables that are small',
    fix: statements(
      slow.map(
        ({ table, column }) =>
          `CREATE INDEX CONCURRENTLY ON ${quoteQualified(table.schema, table.name)} (${quoteIdentifier(column)})`,
      ),
    ),
  };
}

async function leadsAnIndex(context: CheckContext, oid: string, column: string): Promise<boolean> {
  const found = await context.value(
    'source',
    `select exists (select from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am m on m.oid = c.relam
       join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
     where i.indrelid = $1::oid and i.indisvalid and i.indpred is null and m.amname in ('btree', 'brin') and a.attname = $2)`,
    [oid, column],
  );
  return found === 't';
}

async function transactionAge(context: CheckContext): Promise<Finding> {
  const age = Number(
    await context.value('source', 'select age(datfrozenxid) from pg_database where datname = current_database()'),
  );
  const found = `the oldest row version is ${age.toLocaleString('en-US')} transactions old`;
  if (age <= oldAge) return pass(found);
  return {
    outcome: age > tooOldAge ? 'fail' : 'warn',
    found,
    expected: `at most ${oldAge.toLocaleString('en-US')}: row versions are told apart over 2^31 transactions, and the migration takes time`,
    fix: 'VACUUM (FREEZE); -- on the source, in this database; end old transactions and prepared transactions first',
  };
}

async function probe(context: CheckContext): Promise<Finding> {
  const { pressure } = settingsOf(context);
  if (!pressure?.probe) return pass('the plan has none');
  const session = context.session('source');
  await session.query(`select set_config('search_path', $1, false)`, [planSession.search_path]);
  const answer = await askOne(session, pressure.probe.sql);
  await session.query(`select set_config('search_path', '', false)`);
  if ('value' in answer && Number.isFinite(Number(answer.value)))
    return pass(`answers ${answer.value}; above ${pressure.probe.max} passes wait`);
  return {
    outcome: 'fail',
    found: 'value' in answer ? `the probe gave ${answer.value}` : `the probe ${answer.error}`,
    expected: 'one statement that gives one number',
    fix: 'correct incremental.pressure.probe in the plan',
  };
}
