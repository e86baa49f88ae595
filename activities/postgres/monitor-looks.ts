// The looks of a watch beside its probes: query times, integrity of the data, smoke tests, Prometheus. Each says fine, bad, or that it could
// not be looked; the last is an error of the watch, never fine.
import type { ValidationRecord } from '../../journal/types';
import type { NamedQuery, RollbackTriggers, Validation } from '../../plan/postgres';
import type { PrometheusTrigger } from '../../plan/triggers';
import { askPrometheus } from '../application/prometheus';
import type { PostgresConnections } from './connection';
import type { LookOutcome } from './monitor-window';
import { planSession } from './plan-query';
import { timeQueries } from './query-times';
import type { PostgresScope } from './scope';
import { checkAssertion, checkNotNull, smokeTests } from './validate';

export interface Look {
  /** Single things asked, that count among the samples of the watch, and those of them that could not be. */
  samples: number;
  errors: string[];
  outcome: LookOutcome;
}

/** What of the plan's validation is looked at again while the target is in use. */
export type DeclaredChecks = Pick<Validation, 'notNull' | 'assertions' | 'smoke'>;

/** Below this difference a query is not slower, whatever the percentage. */
const noiseMs = 5;
const wrongShown = 3;

/** The query that has slowed down most; and those that fail, which count as errors. A lost server is no look: that is seen and counted elsewhere. */
export async function lookAtQueryTimes(
  connections: PostgresConnections,
  {
    scope,
    queries,
    baseline,
    slowdownPercent,
  }: {
    scope: PostgresScope;
    queries: NamedQuery[];
    baseline: { name: string; medianMs: number }[];
    slowdownPercent: number;
  },
  signal: AbortSignal,
): Promise<(Look & { slowdownPercent?: number }) | undefined> {
  try {
    const measured = await connections.withSession(
      scope.target,
      { side: 'target', purpose: 'monitor queries', signal, settings: planSession },
      (session) => timeQueries(session, queries),
    );
    const [slowest] = measured
      .flatMap((line) => ('error' in line ? [] : [{ query: line.name, percent: slowdownOf(line, baseline) }]))
      .sort((left, right) => right.percent - left.percent);
    const errors = measured.flatMap((line) => ('error' in line ? [`query ${line.name}: ${line.error}`] : []));
    const look = { samples: queries.length, errors };
    if (!slowest) return { ...look, outcome: { verdict: 'unknown', said: errors[0] ?? 'no query was timed' } };
    const { query, percent } = slowest;
    const bad = percent > slowdownPercent;
    const said = bad
      ? `query ${query} is ${percent} % slower than before the migration, more than ${slowdownPercent} %`
      : `slowest is ${query}: ${percent > 0 ? `${percent} % slower` : 'no slower'} than before`;
    return { ...look, outcome: { verdict: bad ? 'bad' : 'fine', said }, slowdownPercent: percent };
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

/** What can be known of the target alone: NULLs, assertions with an expected answer, and the checks of the trigger itself. */
export function integrityChecks(
  { integrity = [], declaredChecks = true }: Partial<RollbackTriggers>,
  declared: DeclaredChecks | undefined,
): Pick<Validation, 'notNull' | 'assertions'> {
  const { notNull = [], assertions = [] } = declaredChecks ? (declared ?? {}) : {};
  const expected = assertions.filter(({ expect }) => expect !== undefined);
  return { notNull, assertions: [...integrity, ...expected] };
}

export function lookAtIntegrity(
  connections: PostgresConnections,
  scope: PostgresScope,
  { notNull, assertions }: Pick<Validation, 'notNull' | 'assertions'>,
  signal: AbortSignal,
): Promise<Look> {
  return asLook('integrity', signal, () =>
    connections.withSession(
      scope.target,
      { side: 'target', purpose: 'monitor integrity', signal, settings: planSession },
      async (target) => {
        const records = await checkNotNull(target, scope, notNull, () => undefined);
        for (const assertion of assertions) records.push(await checkAssertion(assertion, target));
        return records;
      },
    ),
  );
}

export function lookBySmokeTests(
  connections: PostgresConnections,
  scope: PostgresScope,
  smoke: Validation['smoke'],
  signal: AbortSignal,
): Promise<Look> {
  return asLook('smoke tests', signal, () => smokeTests(connections, { scope, smoke, side: 'target' }, { signal }));
}

export async function lookAtPrometheus(
  trigger: PrometheusTrigger,
  environment: NodeJS.ProcessEnv | undefined,
  signal: AbortSignal,
): Promise<Look> {
  const answer = await askPrometheus(trigger, { environment, signal });
  if ('error' in answer)
    return { samples: 1, errors: [answer.error], outcome: { verdict: 'unknown', said: answer.error } };
  const bad = answer.value > trigger.maxValue;
  const said = bad
    ? `the Prometheus query gave ${answer.value}, more than ${trigger.maxValue}`
    : `${answer.value}, at most ${trigger.maxValue} is allowed`;
  return { samples: 1, errors: [], outcome: { verdict: bad ? 'bad' : 'fine', said } };
}

/** One sample, whatever the number of checks: they must not water down the rate of the probes. */
async function asLook(what: string, signal: AbortSignal, check: () => Promise<ValidationRecord[]>): Promise<Look> {
  try {
    const records = await check();
    const wrong = records.filter(({ outcome }) => outcome === 'fail');
    const unsure = records.filter(({ outcome }) => outcome === 'unverifiable');
    if (wrong.length > 0) {
      const said = `${what}: ${wrong.length} of ${records.length} failed: ${told(wrong)}`;
      return { samples: 1, errors: [], outcome: { verdict: 'bad', said } };
    }
    if (unsure.length > 0) {
      const said = `${what}: ${unsure.length} of ${records.length} could not be looked at: ${told(unsure)}`;
      return { samples: 1, errors: [said], outcome: { verdict: 'unknown', said } };
    }
    return {
      samples: 1,
      errors: [],
      outcome: { verdict: 'fine', said: `${records.length} of ${records.length} passed` },
    };
  } catch (error) {
    signal.throwIfAborted();
    const said = `${what}: ${error instanceof Error ? error.message : String(error)}`;
    return { samples: 1, errors: [said], outcome: { verdict: 'unknown', said } };
  }
}

function told(records: ValidationRecord[]): string {
  return records
    .slice(0, wrongShown)
    .map(({ name, target, differences = [] }) => [name, differences[0] ?? target].filter(Boolean).join(', '))
    .join('; ');
}

function slowdownOf(
  { name, medianMs }: { name: string; medianMs: number },
  baseline: { name: string; medianMs: number }[],
): number {
  const before = baseline.find((line) => line.name === name)?.medianMs ?? medianMs;
  const percent = Math.round((medianMs / Math.max(before, 0.001) - 1) * 10_000) / 100;
  return medianMs - before > noiseMs ? percent : Math.min(0, percent);
}
