// docs/runbook.md promises a step, check, gate, signal or line of the report for each line of the runbook: each that it names must be there.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gateNames } from '../../plan/gates';

const root = join(__dirname, '../..');
const page = readFileSync(join(root, 'docs/runbook.md'), 'utf8');

function sourceOf(folder: string): string {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => readFileSync(join(root, folder, file), 'utf8'))
    .join('\n');
}

/** The names in backticks that follow the word, or its plural: "steps `one`, `two` and `three`". */
function named(word: string): string[] {
  const lists = page.matchAll(new RegExp(`\\b${word}s? ((?:\`[a-z-]+\`(?:, | and )?)+)`, 'gi'));
  return [
    ...new Set([...lists].flatMap(([, list = '']) => [...list.matchAll(/`([a-z-]+)`/g)].map(([, name = '']) => name))),
  ];
}

it.each(named('step'))('step %s is one of the workflow', (name) => {
  const known = sourceOf('workflows');
  // One that verifies what another step made is called so after it.
  expect(known.includes(`'${name}'`) || known.includes(`'${name.replace(/^verify-/, '')}'`)).toBe(true);
});

it.each(named('check'))('check %s is one of preflight', (name) => {
  const known = sourceOf('activities');
  expect(known.includes(`'${name}'`) || known.includes(`\`${name.replace(/^(source|target)/, '${side}')}\``)).toBe(
    true,
  );
});

it.each(named('gate'))('gate %s is one of the plan', (name) => {
  expect(gateNames).toContain(name);
});

it.each(named('signal'))('signal %s is listened to', (name) => {
  expect(readFileSync(join(root, 'workflows/messages.ts'), 'utf8')).toMatch(new RegExp(`\\b${name}\\b`));
});

it.each([...new Set([...page.matchAll(/"([A-Z4][^"]+)"/g)].map(([, title = '']) => title))])(
  'the report has "%s"',
  (title) => {
    expect(sourceOf('journal')).toContain(title);
  },
);

it('finds names of every kind in the page', () => {
  expect([
    named('step').length > 25,
    named('check').length > 4,
    named('gate').length > 5,
    named('signal').length > 3,
  ]).toEqual([true, true, true, true]);
});
