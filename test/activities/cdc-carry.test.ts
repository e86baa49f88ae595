import type { Client } from 'pg';
import { failureType } from '../../activities/errors';
import type { Pending } from '../../activities/postgres/moving/pending';
import { listSubjects } from '../../activities/postgres/moving/subjects';
import { carryStates } from '../../activities/postgres/sequences';
import { freezeRig, session, startFreezeServers, type FreezeRig, type FreezeServers } from '../fixtures/freeze-rig';
import { until } from '../fixtures/until';

let servers: FreezeServers;
let rig: FreezeRig;

beforeAll(async () => {
  servers = await startFreezeServers();
});
afterEach(() => rig.end());
afterAll(() => servers.stop());

const one = async (client: Client, sql: string): Promise<unknown> => {
  const { rows } = await client.query<{ value: unknown }>(sql);
  return rows[0]?.value;
};
const carried = (change: object = {}) => ({
  scope: rig.scope,
  leg: rig.leg,
  margin: 1_000,
  largeObjects: false,
  refreshViews: false,
  ...change,
});

async function sequences(client: Client): Promise<Record<string, string>> {
  const names = ['"Free"', 'downwards', 'nearly_over', 'round', '"Orders_id_seq"'];
  const { rows } = await client.query<{ name: string; value: string; called: boolean }>(
    names
      .map((name) => `select $$${name}$$ as name, last_value::text as value, is_called as called from public.${name}`)
      .join(' union all '),
  );
  return Object.fromEntries(rows.map(({ name, value, called }) => [name, `${value}${called ? '' : ' (not called)'}`]));
}

describe.each([
  ['forward, from 15 to 18', 2],
  ['back, from 18 to 15', 1],
] as const)('what streams do not carry, %s', (_, leg) => {
  beforeEach(async () => {
    rig = await freezeRig(servers, leg);
    await rig.writing.query(
      `select setval('public.downwards', -900), setval('public.nearly_over', 32760), setval('public.round', 2);
       insert into public."Orders" (note) select '' from generate_series(1, 41);
       insert into public.baskets values (1, 'of the side that wrote')`,
    );
    await rig.following.query(`insert into public.baskets values (2, 'of before')`);
    await rig.shutFollowing();
  });

  it('is made anew or carried: views each after those they read, each sequence ahead in its own direction, none used up by it, unlogged tables whole', async () => {
    // Views first: the sequence is still to make an order.
    await until(
      'the orders have arrived',
      async () => (await one(rig.following, `select count(*)::int as value from public."Orders"`)) === 41,
    );
    const { views } = await rig.activities.refreshFollowingViews({ scope: rig.scope, leg });
    expect(views).toBe(2);
    expect(await one(rig.following, 'select orders::int as value from public.totals')).toBe(41);
    await rig.following.query(`delete from public."Orders" where id > 40`);
    const { parts } = await rig.activities.carryUnderFence(carried({ refreshViews: true }));
    expect(await one(rig.following, 'select all_of_it::int as value from public."A first one"')).toBe(400);
    expect(await one(rig.writing, 'select orders::int as value from public.totals')).toBe(0);
    expect(parts.map(({ name }) => name).sort()).toEqual(['connect', 'sequences', 'unlogged', 'views']);

    expect(await rig.activities.carryUnderFence(carried())).toMatchObject({
      sequences: 5,
      unlogged: 1,
      largeObjects: 0,
    });
    expect(await sequences(rig.following)).toEqual({
      '"Free"': '1009',
      // 50 steps are left above the minimum, 7 below the maximum: half of them.
      downwards: '-950',
      nearly_over: '32763',
      round: '3',
      '"Orders_id_seq"': '1041',
    });
    expect(await one(rig.following, 'select string_agg(id || content, $$,$$) as value from public.baskets')).toBe(
      '1of the side that wrote',
    );
    expect(await one(rig.writing, `select count(*)::int as value from public.baskets`)).toBe(1);
    const made = await rig.following.query<{ id: string }>(
      `insert into public."Orders" default values returning id::text`,
    );
    expect(made.rows[0]?.id).toBe('1042');
  });
});

describe('what streams do not carry', () => {
  beforeEach(async () => {
    rig = await freezeRig(servers, 2);
    await rig.shutFollowing();
  });

  it('is not carried to a side that may be in use: neither by an attempt that comes late nor by one that still sleeps there', async () => {
    const { scope } = rig;
    await rig.activities.prepareLedger({ scope });
    await rig.writing.query(`select setval('public."Free"', 7); insert into public.baskets values (1, 'late')`);
    await rig.following.query(`insert into public.baskets values (2, 'of the application')`);
    const asleep = await session(servers.target.url(scope.migration), 'cutover carry 0123456789');
    await rig.openFollowing();
    await expect(asleep.query('select 1')).rejects.toThrow();
    for (const leg of [2, 0]) {
      const late = rig.activities.carryUnderFence(carried({ leg, largeObjects: true }));
      expect(await late.catch(failureType)).toBe('PreconditionFailed');
    }
    expect(await sequences(rig.following)).toMatchObject({ '"Free"': '9 (not called)' });
    expect(await one(rig.following, 'select content as value from public.baskets')).toBe('of the application');
    const [from, to] = [rig.writing, rig.following];
    await expect(carryStates({ scope, side: 'target', from, to, margin: 0n, fenced: true })).rejects.toThrow();
    expect(await sequences(rig.following)).toMatchObject({ '"Free"': '9 (not called)' });
  });

  it('is the same wherever a worker was killed in it and another one went on', async () => {
    await rig.writing.query(`insert into public.baskets select id, 'x' from generate_series(1, 50) id`);
    for (let statement = 1; ; statement += 1) {
      await rig.writing.query(`select setval('public."Free"', ${statement * 10})`);
      const died = await rig
        .killedAt(statement)
        .carryUnderFence(carried())
        .then(() => undefined, failureType);
      await rig.activities.carryUnderFence(carried());
      expect(await one(rig.following, `select last_value::int as value from public."Free"`)).toBe(
        statement * 10 + 1_000,
      );
      expect(await one(rig.following, `select count(*)::int as value from public.baskets`)).toBe(50);
      if (died === undefined) break;
      expect(died).toMatch(/^(Source|Target)Unavailable$/);
    }
  });

  it('takes as many statements for a thousand sequences as for five, and names one that is missing on the side that follows', async () => {
    const count = async () => {
      const worker = rig.killedAt(Infinity);
      await worker.carryUnderFence(carried());
      return worker.connections.statements;
    };
    const few = await count();
    for (const client of [rig.writing, rig.following]) {
      await client.query(
        `do $$ begin for i in 1..1000 loop execute format('create sequence public.s%s', i); if i % 2 = 0 then perform nextval(format('public.s%s', i)); end if; end loop; end $$`,
      );
    }
    expect(await count()).toBe(few);
    expect(
      await one(
        rig.following,
        `select sum(last_value)::int as value from (select * from public.s7 union all select * from public.s8) s`,
      ),
    ).toBe(2_002);
    await rig.writing.query('create sequence public.left_behind');
    const failed = rig.activities.carryUnderFence(carried());
    await expect(failed).rejects.toThrow('The target lacks sequences: public.left_behind');
    expect(await failed.catch(failureType)).toBe('PreconditionFailed');
  });

  it('are large objects: copied under the fence, and copied anew under another one', async () => {
    const { scope, side, former } = rig;
    await rig.activities.prepareLedger({ scope });
    const object = await one(rig.writing, `select lo_from_bytea(0, 'first')::text as value`);
    const content = () =>
      one(
        rig.following,
        `select string_agg(convert_from(lo_get(oid), 'UTF8'), ',') as value from pg_largeobject_metadata`,
      );
    const input = carried({ leg: 0, largeObjects: true });
    await rig.activities.raiseFence({ scope, side, former });
    expect(await rig.activities.carryUnderFence(input)).toMatchObject({ largeObjects: 1 });
    await rig.activities.carryUnderFence(input);
    expect(await content()).toBe('first');
    await rig.lower();
    await rig.writing.query(`select lo_put(${String(object)}, 0, 'other')`);
    await rig.activities.raiseFence({ scope, side, former });
    await rig.activities.carryUnderFence(input);
    expect(await content()).toBe('other');
  });
});

describe('the comparison under the fence', () => {
  beforeEach(async () => {
    rig = await freezeRig(servers, 2);
    // Its session flushes its statistics when the freeze ends it.
    const writer = await rig.enter(rig.side);
    await writer.query(
      `insert into public."Orders" (note) select 'order ' || n from generate_series(1, 300) n;
       insert into public.lines select 1, n, n from generate_series(1, 900) n`,
    );
    await rig.freeze();
  });
  const compare = (change: object = {}) =>
    rig.activities.compareUnderFence({ scope: rig.scope, leg: rig.leg, budgetBytes: 1_000_000, ...change });

  it('digests what was written most, as far as its budget goes; decides the keys that validation left undecided; names the key of a row that is not the same, and takes what it cannot read for different', async () => {
    const { records, unequal } = await compare();
    expect(unequal).toBe(0);
    expect(records).toEqual([
      expect.objectContaining({ outcome: 'pass', source: '2 tables, 1200 rows', target: '2 tables, 1200 rows' }),
    ]);
    const size = Number(await one(rig.writing, `select pg_relation_size('public.lines')::text as value`));
    const [hottest] = (await compare({ budgetBytes: size })).records;
    expect(hottest).toMatchObject({ outcome: 'pass', source: '1 tables, 900 rows' });
    const [fitting] = (await compare({ budgetBytes: size - 1 })).records;
    expect(fitting).toMatchObject({ outcome: 'pass', source: '1 tables, 300 rows' });
    expect((await compare({ budgetBytes: 0 })).records).toEqual([expect.objectContaining({ outcome: 'skipped' })]);

    const open = (side: 'source' | 'target') => rig.connections.open(rig.scope[side], { side, purpose: 'test' });
    const clients = { source: await open('source'), target: await open('target') };
    const { subjects } = await listSubjects(clients, rig.scope, 'source', 'all');
    await Promise.all([clients.source.end(), clients.target.end()]);
    const orders = subjects.find(({ name }) => name === 'Orders');
    if (!orders) throw new Error('no subject');
    const { schema, name, source, target } = orders;
    const undecided: Pending = {
      hash: 'md5',
      tables: [{ schema, name, whole: false, source, target, keys: ['["3"]', '["4"]'] }],
    };
    const pending = await rig.artifacts.put(rig.scope.migration, 'pending.json', JSON.stringify(undecided));
    expect(await compare({ budgetBytes: 0, pending })).toMatchObject({
      unequal: 0,
      records: [{}, { outcome: 'pass' }],
    });
    await rig.following.query(`delete from public."Orders" where id = 4`);
    const lacking = await compare({ budgetBytes: 0, pending });
    expect(lacking.unequal).toBe(1);
    expect(lacking.records[1]).toMatchObject({
      outcome: 'fail',
      differences: ['public.Orders key=(4): missing on the target'],
    });
    expect(lacking.parts.map((part) => part.name)).toEqual(['connect', 'hot tables', 'undecided keys']);

    await rig.following.query(`insert into public."Orders" (id, note) values (4, 'order 4')`);
    await rig.following.query(
      `update public."Orders" set note = 'spoilt' where id = 7; alter table public.lines drop column amount`,
    );
    const spoilt = await compare();
    expect(spoilt.unequal).toBe(2);
    expect(spoilt.records[0]).toMatchObject({
      outcome: 'fail',
      differences: [
        expect.stringMatching(/^public\.lines could not be read on the target: .*amount/),
        'public.Orders: 300 rows on both sides, with other content',
      ],
    });
    expect(spoilt.records[1]).toMatchObject({ outcome: 'fail', differences: ['public.Orders key=(7): different'] });
  });
});
