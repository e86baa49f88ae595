import { withMargin, type SequenceState } from '../../activities/postgres/sequence-states';
import { copyRig, type CopyRig } from '../fixtures/copy-rig';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';

const up: SequenceState = {
  schema: 'public',
  name: 's',
  lastValue: 10n,
  isCalled: true,
  increment: 5n,
  min: 1n,
  max: 100n,
  cycle: false,
};

describe('the margin', () => {
  it.each([
    ['goes in the direction of the increment', up, 3n, 25n],
    ['goes down where the sequence counts down', { ...up, increment: -3n, lastValue: 50n }, 4n, 38n],
    ['leaves half of the numbers below the maximum', up, 1_000n, 55n],
    ['leaves half of the numbers above the minimum', { ...up, lastValue: 61n, increment: -5n }, 1_000n, 31n],
    ['does not use up the last number of a sequence', { ...up, lastValue: 95n }, 1_000n, 95n],
    ['begins anew where the sequence cycles', { ...up, increment: 1n, max: 12n, cycle: true }, 3n, 1n],
    [
      'begins anew at the top where it counts down',
      { ...up, increment: -1n, lastValue: 2n, max: 9n, cycle: true },
      3n,
      8n,
    ],
  ])('%s', (_, state, margin, expected) => {
    expect(withMargin(state, margin)).toMatchObject({ lastValue: expected, isCalled: true });
  });

  it('of nothing keeps a sequence that was never called uncalled', () => {
    const state = { ...up, isCalled: false };
    expect(withMargin(state, 0n)).toBe(state);
  });
});

describe('on real servers', () => {
  let pair: PostgresPair;
  let rig: CopyRig;

  beforeAll(async () => {
    pair = await startPair();
    rig = await copyRig(
      pair,
      `create sequence public.free; select setval('public.free', 41);
       create sequence public."Never" start 9;
       create sequence public.spinning maxvalue 3 cycle; select setval('public.spinning', 2);
       create table public.kept (id bigserial, other int generated always as identity);
       select setval('public.kept_id_seq', 9007199254740993);
       create table public.skipped (id serial); select setval('public.skipped_id_seq', 77)`,
    );
    rig.scope.tables.exclude.push('public.skipped');
  });
  afterAll(async () => {
    await rig.end();
    await pair.stop();
  });

  it('a margin leaves room above every number given out, beyond what a double holds too', async () => {
    const { sequences, artifact } = await rig.activities.carrySequences({ scope: rig.scope, margin: '100' });
    expect(sequences).toBe(5);
    expect(JSON.parse(await rig.dependencies.artifacts.read(artifact))).toEqual([
      { sequence: 'public.Never', lastValue: '109', isCalled: true },
      { sequence: 'public.free', lastValue: '141', isCalled: true },
      { sequence: 'public.kept_id_seq', lastValue: '9007199254741093', isCalled: true },
      { sequence: 'public.kept_other_seq', lastValue: '101', isCalled: true },
      { sequence: 'public.spinning', lastValue: '3', isCalled: true },
    ]);
    expect(await rig.activities.compareSequences({ scope: rig.scope })).toMatchObject({ outcome: 'fail' });
  });

  it('without a margin the state is the same to the bit; a table left out keeps its own', async () => {
    await rig.activities.carrySequences({ scope: rig.scope, margin: '0' });
    expect(await rig.activities.compareSequences({ scope: rig.scope })).toMatchObject({
      outcome: 'pass',
      source: '5 sequences',
    });
    const { rows } = await rig.target.query<{ value: string }>(`select nextval('public.skipped_id_seq') as value`);
    expect(rows[0]?.value).toBe('1');
  });

  it('a sequence that is missing on the target is named', async () => {
    await rig.target.query('drop sequence public.free');
    await expect(rig.activities.carrySequences({ scope: rig.scope, margin: '0' })).rejects.toThrow(
      /lacks sequences: public\.free/,
    );
    expect(await rig.activities.compareSequences({ scope: rig.scope })).toMatchObject({
      outcome: 'fail',
      differences: ['public.free is missing on the target'],
    });
  });
});
