// What a check of preflight is, and how a battery of them is carried out: every one runs, whatever the others found;
// one that could not look is a failure, never a pass; a waiver of the plan turns a failure into a warning that names its reason.
import type { Check } from '../../journal/types';

export interface Finding {
  outcome: Check['outcome'];
  found: string;
  expected?: string;
  /** Exact SQL or a shell command. */
  fix?: string;
}

/** What a battery needs of the context with which its checks look. */
export interface Surroundings {
  readonly signal: AbortSignal;
  reachable(side: 'source' | 'target'): boolean;
}

export interface ContextCheck<Context> {
  /** Stable, kebab-case: what waivers name. */
  name: string;
  title: string;
  side: Check['side'];
  /** Looks at the servers that its side names; `worker` and `application` checks say here which they need. */
  needs?: ('source' | 'target')[];
  /** `false` where going on would be impossible or unsafe, whatever the plan accepts. */
  waivable?: false;
  look(context: Context): Promise<Finding> | Finding;
}

/** Carries out the checks in order. Never throws for what a check finds or cannot find; cancellation passes. */
export async function runChecks<Context extends Surroundings>(
  checks: ContextCheck<Context>[],
  context: Context,
  waivers: Record<string, string>,
): Promise<Check[]> {
  const results: Check[] = [];
  for (const check of checks) {
    context.signal.throwIfAborted();
    const startedAt = performance.now();
    const finding = await lookSafely(check, context);
    const result: Check = {
      name: check.name,
      title: check.title,
      side: check.side,
      ...finding,
      durationMs: Math.round(performance.now() - startedAt),
    };
    results.push(waived(result, check, waivers[check.name]));
  }
  return [...results, ...waiverChecks(checks, waivers)];
}

async function lookSafely<Context extends Surroundings>(
  check: ContextCheck<Context>,
  context: Context,
): Promise<Finding> {
  const needed = check.needs ?? sidesOf(check.side);
  const missing = needed.filter((side) => !context.reachable(side));
  if (missing.length > 0) {
    return { outcome: 'fail', found: `not looked at: the ${missing.join(' and the ')} cannot be reached` };
  }
  try {
    return await check.look(context);
  } catch (error) {
    context.signal.throwIfAborted();
    return {
      outcome: 'fail',
      found: `could not verify: ${error instanceof Error ? error.message : String(error)}`,
      expected: 'that the check can be carried out',
    };
  }
}

function sidesOf(side: Check['side']): ('source' | 'target')[] {
  if (side === 'both') return ['source', 'target'];
  return side === 'source' || side === 'target' ? [side] : [];
}

function waived(result: Check, check: Pick<ContextCheck<never>, 'waivable'>, reason: string | undefined): Check {
  if (reason === undefined || result.outcome !== 'fail') return result;
  if (check.waivable === false) return { ...result, found: `${result.found} (this check cannot be waived)` };
  return { ...result, outcome: 'warn', waived: reason };
}

/** A misspelled waiver accepts nothing, and its author should know before the migration does. */
function waiverChecks(checks: { name: string }[], waivers: Record<string, string>): Check[] {
  const unknown = Object.keys(waivers).filter((name) => !checks.some((check) => check.name === name));
  if (unknown.length === 0) return [];
  return [
    {
      name: 'waivers',
      title: 'Waivers of the plan name existing checks',
      side: 'worker',
      outcome: 'warn',
      found: `no check is called ${listed(unknown)}`,
      expected: `some of ${checks.map(({ name }) => name).join(', ')}`,
    },
  ];
}

const shown = 20;

/** "a, b, c and 12 more (15 in all)": the first twenty, and how many there are. */
export function listed(names: string[], separator = ', '): string {
  if (names.length <= shown) return names.join(separator);
  return `${names.slice(0, shown).join(separator)} and ${names.length - shown} more (${names.length} in all)`;
}

/** Statements to be run as they stand; the first twenty. */
export function statements(lines: string[]): string {
  const rest = lines.length > shown ? ` -- and ${lines.length - shown} more like these` : '';
  return `${lines
    .slice(0, shown)
    .map((line) => `${line};`)
    .join(' ')}${rest}`;
}

/** "1 table", "3 tables". */
export function counted(amount: number, one: string, many = `${one}s`): string {
  return `${amount} ${amount === 1 ? one : many}`;
}

export const pass = (found: string): Finding => ({ outcome: 'pass', found });
