// The plans that people are told to start from, and those of the demo: accepted as they stand, by the version they come with.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { bigBangPlan, cdcPlan, dualWritePlan, incrementalPlan } from '../../examples/demo/plans';
import { describeIssues, parsePostgresPlan } from '../../plan/parse';

const examples = join(__dirname, '../../examples');
const mistakes = (input: unknown): string => {
  const parsed = parsePostgresPlan(input);
  return parsed.ok ? '' : describeIssues(parsed.issues);
};

it.each([
  'sample.plan.json',
  'incremental.plan.json',
  'cdc.plan.json',
  'dual-write.plan.json',
  'transformations.plan.json',
  'orders.plan.yaml',
])('examples/%s is a plan without a mistake', (file) => {
  expect(mistakes(parse(readFileSync(join(examples, file), 'utf8')))).toBe('');
});

it.each([bigBangPlan, incrementalPlan, cdcPlan, dualWritePlan])(
  '%p of the demo gives a plan without a mistake',
  (plan) => {
    expect(mistakes(plan('orders-to-18', 'http://127.0.0.1:8080'))).toBe('');
  },
);

it.each(['incremental', 'cdc'])('the README shows a plan of %s that is enough to begin with', (strategy) => {
  const readme = readFileSync(join(__dirname, '../../README.md'), 'utf8');
  const shown = new RegExp(`\`\`\`json\\n(\\{[^\`]*"strategy": "${strategy}"[^\`]*\\})\\n\`\`\``).exec(readme)?.[1];
  expect(mistakes(JSON.parse(shown ?? '{}'))).toBe('');
});
