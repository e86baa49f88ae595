// What the plan declares to be true: columns without NULL, assertions, smoke tests, query times. A check that could not be
// made is `unverifiable`, a check that gave the wrong answer `fail`; only the right answer is a pass.
import type { Client } from 'pg';
import type { ValidationRecord } from '../../journal/types';
import type { SmokeTest, Validation } from '../../plan/postgres';
import { runHttpSmoke } from '../application/probes';
import type { PostgresDependencies } from '../dependencies';
import { withHeartbeat } from '../heartbeat';
import type { PostgresConnections } from './connection';
import { quoteIdentifier, quoteQualified } from './identifier';
import { askAny, askOne, planSession, sameAnswer, shown, type Answer } from './plan-query';
import { timeQueries, type TimedQuery } from './query-times';
import type { PostgresScope } from './scope';
import { listTables, matchesPattern, type SelectedTable } from './tables';

/** Beyond this many, columns that passed are told as one record. */
const listedColumns = 100;
const httpTimeoutMs = 10_000;

export function createValidationActivities({ connections }: PostgresDependencies) {
  return {
    /**
     * The plan's `notNull` on the target, and its assertions: against `expect`, or else against the source's answer.
     * @returns a record a check. Throws only when a server is lost (retryable)
     */
    checkDeclared: ({
      scope,
      validation,
    }: {
      scope: PostgresScope;
      validation: Validation;
    }): Promise<ValidationRecord[]> =>
      withHeartbeat('declared checks', ({ signal, report }) =>
        connections.withSession(
          scope.target,
          { side: 'target', purpose: 'declared checks', signal, settings: planSession },
          async (target) => {
            const records = await checkNotNull(target, scope, validation.notNull, report);
            const compared = validation.assertions.some(({ expect }) => expect === undefined);
            const assert = async (source?: Client): Promise<void> => {
              for (const assertion of validation.assertions) {
                report(`assertion ${assertion.name}`);
                records.push(await checkAssertion(assertion, target, source));
              }
            };
            if (!compared) await assert();
            else
              await connections.withSession(
                scope.source,
                { side: 'source', purpose: 'assertions', signal, settings: planSession },
                assert,
              );
            return records;
          },
        ),
      ),

    /** SQL tests on the side's database, HTTP tests against the application. A test that cannot be run fails. Throws only when the database is lost. */
    runSmokeTests: ({
      scope,
      smoke,
      side,
    }: {
      scope: PostgresScope;
      smoke: SmokeTest[];
      side: 'source' | 'target';
    }): Promise<ValidationRecord[]> =>
      withHeartbeat('smoke tests', (beat) => smokeTests(connections, { scope, smoke, side }, beat)),

    /** Times the plan's queries on the target: as fast as the baseline within `maxRegressionPercent`, or within `toleranceMilliseconds`. */
    comparePerformance: ({
      scope,
      performance,
      baseline,
    }: {
      scope: PostgresScope;
      performance: Validation['performance'];
      baseline: { name: string; medianMs: number }[];
    }): Promise<ValidationRecord[]> =>
      withHeartbeat('query times', ({ signal, report }) =>
        connections.withSession(
          scope.target,
          { side: 'target', purpose: 'query times', signal, settings: planSession },
          async (session) => {
            const records: ValidationRecord[] = [];
            for (const query of performance.queries) {
              report(`query ${query.name}`);
              const started = Date.now();
              const [time] = await timeQueries(session, [query]);
              if (time) records.push({ ...compareTime(time, performance, baseline), durationMs: Date.now() - started });
            }
            return records;
          },
        ),
      ),
  };
}

/** SQL tests on the side's database, HTTP tests against the application. @throws when the database is lost */
export async function smokeTests(
  connections: PostgresConnections,
  { scope, smoke, side }: { scope: PostgresScope; smoke: SmokeTest[]; side: 'source' | 'target' },
  { signal, report }: { signal: AbortSignal; report?: (progress: string) => void },
): Promise<ValidationRecord[]> {
  const records: ValidationRecord[] = [];
  const runAll = async (session?: Client): Promise<void> => {
    for (const test of smoke) {
      report?.(`smoke test ${test.name}`);
      if ('url' in test) records.push(await runHttpSmoke(test, httpTimeoutMs, signal));
      else if (session) records.push(await smokeBySql(session, test, side));
    }
  };
  if (smoke.every((test) => 'url' in test)) await runAll();
  else
    await connections.withSession(scope[side], { side, purpose: 'smoke tests', signal, settings: planSession }, runAll);
  return records;
}

/** NULLs in the columns that the plan names; what is not there is unverifiable. */
export async function checkNotNull(
  target: Client,
  scope: PostgresScope,
  rules: Validation['notNull'],
  report: (progress: string) => void,
): Promise<ValidationRecord[]> {
  if (rules.length === 0) return [];
  const tables = await listTables(target, scope.tables);
  const records: ValidationRecord[] = [];
  for (const { table: pattern, columns } of rules) {
    const matching = tables.filter((table) => fits(pattern, table));
    if (matching.length === 0) {
      records.push({
        name: `not null: ${pattern}`,
        outcome: 'unverifiable',
        durationMs: 0,
        differences: ['no selected table of the target has this name'],
      });
    }
    for (const table of matching) {
      report(`NULLs in ${table.schema}.${table.name}`);
      records.push(...(await countNulls(target, table, columns)));
    }
  }
  return shortened(records);
}

function fits(pattern: string, { schema, name, partitionOf }: SelectedTable): boolean {
  const dot = partitionOf?.indexOf('.') ?? -1;
  const parent =
    partitionOf !== undefined && matchesPattern(pattern, partitionOf.slice(0, dot), partitionOf.slice(dot + 1));
  return parent || matchesPattern(pattern, schema, name);
}

async function countNulls(target: Client, table: SelectedTable, columns: string[]): Promise<ValidationRecord[]> {
  const started = Date.now();
  const there = columns.filter((column) => table.columns.some(({ name }) => name === column));
  const name = (column: string): string => `not null: ${table.schema}.${table.name}.${column}`;
  // num_nulls, since `is null` also holds for a composite value of NULLs.
  const counts = there.map((column) => `count(*) filter (where num_nulls(${quoteIdentifier(column)}) = 1)`);
  const answer =
    there.length === 0
      ? []
      : await target.query<string[]>({
          text: `select ${counts.join(', ')} from only ${quoteQualified(table.schema, table.name)}`,
          rowMode: 'array',
        });
  const row = Array.isArray(answer) ? [] : (answer.rows[0] ?? []);
  const durationMs = Date.now() - started;
  return columns.map((column): ValidationRecord => {
    const position = there.indexOf(column);
    if (position < 0)
      return { name: name(column), outcome: 'unverifiable', durationMs, differences: ['there is no such column'] };
    const nulls = row[position] ?? '?';
    return { name: name(column), target: `${nulls} NULLs`, outcome: nulls === '0' ? 'pass' : 'fail', durationMs };
  });
}

/** All that did not pass, up to the limit, and the first that did; the rest as a number. */
function shortened(records: ValidationRecord[]): ValidationRecord[] {
  if (records.length <= listedColumns) return records;
  const bad = records.filter(({ outcome }) => outcome !== 'pass');
  const good = records.filter(({ outcome }) => outcome === 'pass');
  const rest = (left: ValidationRecord[], outcome: ValidationRecord['outcome']): ValidationRecord[] =>
    left.length === 0
      ? []
      : [
          {
            name: `not null: ${left.length} more columns (${outcome})`,
            outcome,
            durationMs: left.reduce((sum, { durationMs }) => sum + durationMs, 0),
          },
        ];
  const room = Math.max(0, listedColumns - bad.length);
  return [
    ...bad.slice(0, listedColumns),
    ...rest(bad.slice(listedColumns), 'fail'),
    ...good.slice(0, room),
    ...rest(good.slice(room), 'pass'),
  ];
}

/** Against `expect`, or else against the source's answer. */
export async function checkAssertion(
  assertion: Validation['assertions'][number],
  target: Client,
  source?: Client,
): Promise<ValidationRecord> {
  const started = Date.now();
  const found = await askOne(target, assertion.sql);
  const expected: Answer =
    assertion.expect === undefined
      ? source
        ? await askOne(source, assertion.sql)
        : { error: 'the source was not asked' }
      : { value: assertion.expect };
  const record = {
    name: `assertion: ${assertion.name}`,
    ...valueOf('source', expected),
    ...valueOf('target', found),
    durationMs: Date.now() - started,
  };
  if ('error' in found || 'error' in expected) {
    const reasons = [
      ...('error' in found ? [`target ${found.error}`] : []),
      ...('error' in expected ? [`source ${expected.error}`] : []),
    ];
    return { ...record, outcome: 'unverifiable', differences: reasons };
  }
  return { ...record, outcome: sameAnswer(found.value, expected.value) ? 'pass' : 'fail' };
}

async function smokeBySql(
  session: Client,
  test: Extract<SmokeTest, { sql: string }>,
  side: 'source' | 'target',
): Promise<ValidationRecord> {
  const started = Date.now();
  const found = test.expect === undefined ? await askAny(session, test.sql) : await askOne(session, test.sql);
  const record = { name: `smoke: ${test.name}`, ...valueOf(side, found), durationMs: Date.now() - started };
  if ('error' in found) return { ...record, outcome: 'fail', differences: [found.error] };
  if (test.expect === undefined || sameAnswer(found.value, test.expect)) return { ...record, outcome: 'pass' };
  return { ...record, outcome: 'fail', differences: [`gave ${shown(found.value)}, expected ${shown(test.expect)}`] };
}

function valueOf(side: 'source' | 'target', answer: Answer): { source?: string; target?: string } {
  return 'value' in answer ? { [side]: shown(answer.value) } : {};
}

function compareTime(
  time: TimedQuery,
  performance: Validation['performance'],
  baseline: { name: string; medianMs: number }[],
): Omit<ValidationRecord, 'durationMs'> {
  const name = `performance: ${time.name}`;
  const before = baseline.find((line) => line.name === time.name);
  if ('error' in time) return { name, outcome: 'unverifiable', differences: [time.error] };
  const target = `${time.medianMs} ms`;
  if (!before) return { name, target, outcome: 'unverifiable', differences: ['the baseline has no time for it'] };
  const slower = time.medianMs - before.medianMs;
  const percent = Math.round((slower / Math.max(before.medianMs, 0.001)) * 100);
  const fine = slower <= performance.toleranceMilliseconds || percent <= performance.maxRegressionPercent;
  const values = { name, source: `${before.medianMs} ms`, target };
  const difference = `${percent} % slower, at most ${performance.maxRegressionPercent} % allowed`;
  return fine ? { ...values, outcome: 'pass' } : { ...values, outcome: 'fail', differences: [difference] };
}
