// Reads a plan and says what is wrong with it: path, found, expected, fix. Pure, so that the workflow uses the same words as the command.
import type { z } from 'zod';
import { calicoPlanSchema, type CalicoPlan } from './calico';
import { postgresPlanSchema, rehearsalPlanSchema, type PostgresPlan } from './postgres';

/** One thing wrong with a plan. `found` never holds a secret: values that look like one are masked. */
export interface PlanIssue {
  path: string;
  found: string;
  expected: string;
  fix: string;
}

export type ParsedPlan<Plan> = { ok: true; plan: Plan } | { ok: false; issues: PlanIssue[] };

/**
 * Validates a PostgreSQL plan. Never throws; all problems are reported at once.
 * @param options.rehearsing the plan is that of a rehearsal, which has no application
 */
export function parsePostgresPlan(input: unknown, { rehearsing = false } = {}): ParsedPlan<PostgresPlan> {
  return parseWith(rehearsing ? rehearsalPlanSchema : postgresPlanSchema, input);
}

/** Validates a Calico plan. Never throws; all problems are reported at once. */
export function parseCalicoPlan(input: unknown): ParsedPlan<CalicoPlan> {
  return parseWith(calicoPlanSchema, input);
}

/** A plan whose source has etcd endpoints is a Calico plan; any other is taken for a PostgreSQL one. */
export function isCalicoPlan(input: unknown): boolean {
  if (typeof input !== 'object' || input === null || !('source' in input)) return false;
  return typeof input.source === 'object' && input.source !== null && 'endpoints' in input.source;
}

/** "plan.tables.inclued: found …; expected …; fix: …", one line an issue. */
export function describeIssues(issues: PlanIssue[]): string {
  return issues
    .map(({ path, found, expected, fix }) => `${path}: found ${found}; expected ${expected}; fix: ${fix}`)
    .join('\n');
}

function parseWith<Schema extends z.ZodType>(schema: Schema, input: unknown): ParsedPlan<z.output<Schema>> {
  const secrets = findSecrets(input, []);
  const parsed = schema.safeParse(input, { reportInput: true });
  const issues = [...secrets, ...(parsed.success ? [] : parsed.error.issues.flatMap((issue) => explain(issue, [])))];
  const distinct = issues.filter((issue, index) => issues.findIndex(({ path }) => path === issue.path) === index);
  if (parsed.success && distinct.length === 0) return { ok: true, plan: parsed.data };
  return { ok: false, issues: distinct };
}

type Path = readonly PropertyKey[];

function explain(issue: z.core.$ZodIssue, base: Path): PlanIssue[] {
  const path = [...base, ...issue.path];
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({
        path: pathText([...path, key]),
        found: 'a field that plans do not have',
        expected: 'only the fields of the plan reference',
        fix: 'correct the spelling or remove it',
      }));
    case 'invalid_union': {
      const closest = closestBranch(issue.errors);
      if (closest && !isReferencePath(issue)) return closest.flatMap((inner) => explain(inner, path));
      return [plain(path, issue)];
    }
    case 'invalid_key':
      return issue.issues.flatMap(() => [
        {
          path: pathText(path),
          found: 'an unknown name',
          expected: 'a name of the plan reference',
          fix: 'correct the spelling or remove it',
        },
      ]);
    default:
      return [plain(path, issue)];
  }
}

/** Of the shapes that a value may have, the one it comes nearest to: not another type altogether, then fewest complaints. */
function closestBranch(branches: z.core.$ZodIssue[][]): z.core.$ZodIssue[] | undefined {
  const near = branches.filter(
    (issues) => !issues.some((issue) => issue.path.length === 0 && issue.code !== 'unrecognized_keys'),
  );
  return near.sort((left, right) => left.length - right.length)[0];
}

function isReferencePath(issue: z.core.$ZodIssue): boolean {
  return issue.message.startsWith('expected a reference');
}

function plain(path: Path, issue: z.core.$ZodIssue): PlanIssue {
  const missing = issue.input === undefined;
  const expected = issue.message
    .replace(/^Invalid input: /, '')
    .replace(/^expected /, '')
    .replace(/, received .*$/, '');
  return {
    path: pathText(path),
    found: foundText(path, issue.input),
    expected,
    fix: missing ? `add ${pathText(path)}` : `change ${pathText(path)}`,
  };
}

function pathText(path: Path): string {
  return path.reduce<string>(
    (text, part) => (typeof part === 'number' ? `${text}[${part}]` : `${text}.${String(part)}`),
    'plan',
  );
}

/** A value as an error quotes it: at most 120 characters, secrets masked. */
export function foundText(path: Path, value: unknown): string {
  if (typeof value === 'string' && (looksSecret(value) || /token|password|secret/i.test(String(path.at(-1)))))
    return 'a secret (not shown)';
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'string' && looksSecret(inner) ? '(secret, not shown)' : inner,
  );
  return text.length > 120 ? `${text.slice(0, 117)}…` : text;
}

/** `user:password@` in a URL, or libpq's `password=`. */
function looksSecret(text: string): boolean {
  return /:\/\/[^/@\s]*:[^/@\s]+@/.test(text) || /\bpassword\s*=\s*\S/i.test(text);
}

function findSecrets(value: unknown, path: Path): PlanIssue[] {
  if (typeof value === 'string') {
    if (!looksSecret(value)) return [];
    return [
      {
        path: pathText(path),
        found: 'a password (not shown)',
        expected: 'no secret anywhere in a plan: plans are kept in the history of the workflow',
        fix: 'put the connection string in an environment variable of the worker and write {"env": "NAME"}, or in a file and write {"file": "/path"}; treat the password as disclosed',
      },
    ];
  }
  if (Array.isArray(value)) return value.flatMap((item, index) => findSecrets(item, [...path, index]));
  if (value !== null && typeof value === 'object') {
    return Object.entries(value).flatMap(([key, item]) => findSecrets(item, [...path, key]));
  }
  return [];
}
