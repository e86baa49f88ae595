// Tables whose rows cannot be told apart: copied all the same, but compared as a whole and never streamed.
import { quoteQualified } from '../identifier';
import { counted, listed, pass, statements, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';

export const keyChecks: PreflightCheck[] = [
  { name: 'tables-without-key', title: 'Every table has a key', side: 'source', look: withoutKey },
];

async function withoutKey(context: CheckContext): Promise<Finding> {
  const tables = await context.tables();
  const found = tables.filter(({ key }) => !key);
  if (found.length === 0) return pass(`${counted(tables.length, 'table')}, each with a key`);
  return {
    outcome: 'warn',
    found: `${counted(found.length, 'table')} without primary key or fit unique index: ${listed(found.map(({ schema, name }) => `${schema}.${name}`))}`,
    expected: 'a key, so that a difference can be told by row; streaming needs one',
    fix: statements(found.map(({ schema, name }) => `ALTER TABLE ${quoteQualified(schema, name)} ADD PRIMARY KEY (…)`)),
  };
}
