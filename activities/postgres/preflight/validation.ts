// What the plan wants compared must exist before the freeze, not be found missing in it.
import { matchesPattern, type SelectedTable } from '../tables';
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
        .filter((column) => !found.every((one) => namesOnTarget(context, one).includes(column)))
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

/** Of the columns, as they will be called there. */
function namesOnTarget({ input }: CheckContext, { schema, name, columns }: SelectedTable): string[] {
  const changes = input.transformations?.find(({ table }) => table === `${schema}.${name}`)?.columns ?? {};
  return columns.flatMap((column) => {
    const { drop, rename } = changes[column.name] ?? {};
    return drop ? [] : [rename ?? column.name];
  });
}

async function queries(context: CheckContext): Promise<Finding> {
  const { performance, assertions, smoke } = context.input.validation;
  const onTarget = true;
  const all: { what: string; sql: string; onTarget?: boolean }[] = [
    ...performance.queries.map(({ name, sql }) => ({ what: `performance query "${name}"`, sql })),
    ...assertions.map(({ name, sql, expect }) => ({
      what: `assertion "${name}"`,
      sql,
      onTarget: expect !== undefined,
    })),
    ...(context.input.triggers?.integrity ?? []).map(({ name, sql }) => ({
      what: `integrity check "${name}"`,
      sql,
      onTarget,
    })),
    ...smoke.flatMap((test) => ('sql' in test ? [{ what: `smoke test "${test.name}"`, sql: test.sql, onTarget }] : [])),
  ];
  const wrong: string[] = [];
  // What is asked of the target alone may speak of columns that only the target will have.
  const unsure: string[] = [];
  const otherColumns = (context.input.transformations ?? []).length > 0;
  for (const { what, sql, onTarget: targetAlone } of all) {
    const refusal = await planOnly(context, sql);
    if (refusal !== undefined) (targetAlone && otherColumns ? unsure : wrong).push(`${what}: ${refusal}`);
  }
  if (wrong.length === 0 && unsure.length > 0) {
    return {
      outcome: 'warn',
      found: `not planned on the source: ${listed(unsure, '; ')}`,
      expected: 'that they speak of the columns as the target will have them',
    };
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
