import { migrationKey } from '../../activities/postgres/stream/names';
import { ownersOf, type Owner } from '../../client/owners';
import { isClean, judge, type Wish } from '../../client/verdicts';

const key = migrationKey('orders');
const things = [
  { where: 'source' as const, kind: 'replication slot', name: `cutover_${key}_g1`, key },
  { where: 'source' as const, kind: 'fence', name: 'shop', key, migration: 'orders' },
];
const everything: Wish = { named: [], lowerFences: false, unasked: false };

function verdicts(workflow: Owner['workflow'], wish: Partial<Wish> = {}): string[] {
  const owner: Owner = { key, migration: 'orders', things, workflow, guardianRuns: false };
  return judge(owner, { ...everything, ...wish }).things.map(({ verdict }) => verdict);
}

it('puts together what has one key, with the id where anything tells it', () => {
  const empty = { where: 'source' as const, kind: 'schema', name: 'cutover' };
  expect(ownersOf([...things, empty])).toEqual([
    { key, migration: 'orders', things, workflow: 'unknown', guardianRuns: false },
    { things: [empty], workflow: 'none', guardianRuns: false },
  ]);
});

describe('the verdict on a slot and on a fence', () => {
  it.each<[string, Owner['workflow'], Partial<Wish>, string[]]>([
    ['of a migration that runs', 'running', {}, ['keep', 'keep']],
    ['of one that runs, named', 'running', { named: ['orders'], lowerFences: true }, ['keep', 'keep']],
    ['of one that was terminated', 'terminated', {}, ['remove', 'leave']],
    ['of one that was terminated, fences too', 'terminated', { lowerFences: true }, ['remove', 'remove']],
    ['of one that completed: its fence is up on purpose', 'completed', {}, ['remove', 'keep']],
    ['of one that Temporal does not know', 'unknown', { lowerFences: true }, ['leave', 'leave']],
    ['of an unknown one, named by id', 'unknown', { named: ['orders'], lowerFences: true }, ['remove', 'remove']],
    ['of an unknown one, named by key', 'unknown', { named: [key] }, ['remove', 'leave']],
    ['when Temporal cannot be asked, named', 'unknown', { named: ['orders'], unasked: true }, ['remove', 'leave']],
    ['of a terminated one when another is named', 'terminated', { named: ['x'] }, ['leave', 'leave']],
  ])('%s', (_what, workflow, wish, expected) => expect(verdicts(workflow, wish)).toEqual(expected));
});

it('is clean when everything that is there stays there by right', () => {
  const owner: Owner = { key, things, workflow: 'running', guardianRuns: false };
  expect(isClean([judge(owner, everything)])).toBe(true);
  expect(isClean([judge({ ...owner, workflow: 'unknown' }, everything)])).toBe(false);
  expect(isClean([])).toBe(true);
});
