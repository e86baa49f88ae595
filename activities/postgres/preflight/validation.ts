// What the plan wants compared must exist before the freeze, not be found missing in it.
import { matchesPattern } from '../tables';
import { planSession } from '../plan-query';
import { singleStatement } from '../single-statement';
import { counted, listed, pass, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';

export const validationChecks: PreflightCheck[] = [
  {
    name: 'validation-tables',
    title: 'Tables and columns that the plan wants compared exist',
    side: 'source',
    look: targets,
  },
  { name: 'validation-queries', title: 'Queries of the plan can be run', side: 'source', look: queries },
];

async function targets(context: CheckContext): Promise<Finding> {
  const { notNull, checksum } = context.input.validation;
  const tables = await context.tables();
  const matching = (pattern: string) =>
    tables.filter(({ schema, name, partitionOf }) => {
      const [rootSchema = '', rootName = ''] = partitionOf?.split('.') ?? [];
      return (
        matchesPattern(pattern, schema, name) ||
        (partitionOf !== undefined && matchesPattern(pattern, rootSchema, rootName))
      );
    });
  const wrong = [
    ...(checksum === 'all' ? [] : checksum)
      .filter((pattern) => matching(pattern).length === 0)
      .map((pattern) => `validation.checksum "${pattern}" matches no selected table`),
    ...notNull.flatMap(({ table, columns }) => {
      const found = matching(table);
      if (found.length === 0) return [`validation.notNull "${table}" matches no selected table`];
      return columns
        .filter((column) => !found.every((one) => one.columns.some(({ name }) => name === column)))
        .map((column) => `validation.notNull: ${table} has no column ${column}`);
    }),
  ];
  if (wrong.length === 0)
    return pass(
      checksum === 'all' ? 'all tables are compared by digest' : `${counted(checksum.length, 'pattern')} for digests`,
    );
  return {
    outcome: 'fail',
    found: listed(wrong, '; '),
    expected: 'names of selected tables and their columns',
    fix: 'correct plan.validation',
  };
}

async function queries(context: CheckContext): Promise<Finding> {
  const { performance, assertions, smoke } = context.input.validation;
  const all = [
    ...performance.queries.map(({ name, sql }) => ({ what: `performance query "${name}"`, sql })),
    ...assertions.map(({ name, sql }) => ({ what: `assertion "${name}"`, sql })),
    ...(context.input.triggers?.integrity ?? []).map(({ name, sql }) => ({ what: `integrity check "${name}"`, sql })),
    ...smoke.flatMap((test) => ('sql' in test ? [{ what: `smoke test "${test.name}"`, sql: test.sql }] : [])),
  ];
  const wrong: string[] = [];
  for (const { what, sql } of all) {
    const refusal = await planOnly(context, sql);
    if (refusal !== undefined) wrong.push(`${what}: ${refusal}`);
  }
  if (wrong.length === 0)
    return pass(
      all.length === 0
        ? 'the plan has none'
        : `${counted(all.length, 'query', 'queries')} can be planned on the source`,
    );
  return {
    outcome: 'fail',
    found: listed(wrong, '; '),
    expected: 'one statement each; tables outside of public with their schema',
    fix: 'correct the queries in plan.validation and plan.rollbackTriggers.integrity',
  };
}

/** Planned, not run, with the path that it will run with; answers with the refusal. */
async function planOnly(context: CheckContext, sql: string): Promise<string | undefined> {
  const session = context.session('source');
  try {
    await session.query('begin transaction read only');
    await session.query(`select set_config('search_path', $1, true)`, [planSession.search_path]);
    await session.query(singleStatement(`explain ${sql}`));
    return undefined;
  } catch (error) {
    context.signal.throwIfAborted();
    return error instanceof Error ? error.message : String(error);
  } finally {
    await session.query('rollback');
  }
}
