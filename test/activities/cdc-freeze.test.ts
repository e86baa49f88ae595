import type { Client } from 'pg';
import { failureType } from '../../activities/errors';
import { freezeRig, startFreezeServers, type FreezeRig, type FreezeServers } from '../fixtures/freeze-rig';
import { until } from '../fixtures/until';

let servers: FreezeServers;
let rig: FreezeRig;

beforeAll(async () => {
  servers = await startFreezeServers();
});
afterEach(() => rig.end());
afterAll(() => servers.stop());

const typeOf = (work: Promise<unknown>) => work.then(() => 'no failure', failureType);
const stateOf = (client: Client) =>
  client.query('select 1').then(
    () => 'open',
    () => 'ended',
  );
const one = async (client: Client, sql: string): Promise<unknown> => {
  const { rows } = await client.query<{ value: unknown }>(sql);
  return rows[0]?.value;
};
const orders = (client: Client) => one(client, `select count(*)::int as value from public."Orders"`);

describe.each([
  ['15, followed by 18', 2],
  ['18, followed by 15', 1],
] as const)('the freeze of PostgreSQL %s', (_, leg) => {
  beforeEach(async () => {
    rig = await freezeRig(servers, leg);
  });

  it('loses no acknowledged write of a load that never stops by itself, lets nobody of it in again, and takes the position after the last open transaction, as often as it is called', async () => {
    let acknowledged = 0;
    let storming = true;
    const writer = async (_: unknown, number: number): Promise<void> => {
      while (storming) {
        try {
          const client = await rig.enter(rig.side);
          // Half of them come in anew for every few writes.
          for (let writes = 0; number % 2 === 0 || writes < 5; writes += 1) {
            await client.query(`insert into public."Orders" (note) values ('storm')`);
            acknowledged += 1;
          }
          await client.end();
        } catch {
          await new Promise((resolve) => setTimeout(resolve, 2));
        }
      }
    };
    const writers = Array.from({ length: 8 }, writer);
    await until('the load is on', () => acknowledged > 200);
    const frozen = await rig.freeze();
    const arrived = await orders(rig.following);
    const counted = acknowledged;
    storming = false;
    await Promise.all(writers);
    expect(acknowledged).toBe(counted);
    expect(arrived).toBeGreaterThanOrEqual(acknowledged);
    expect(await orders(rig.writing)).toBe(arrived);
    expect(frozen.endedSessions).toBeGreaterThanOrEqual(4);
    expect(frozen.holes).toEqual(['role boss is a superuser: no connection limit and no privilege keeps it out']);
    expect(frozen.evidence.join('\n')).toMatch(
      /no session of anybody else.*two looks[^]*no row and no definition changed[^]*1 login roles are refused[^]*seen on the other side through 1 streams/,
    );
    expect(frozen.parts.map(({ name }) => name)).toEqual([
      'connect',
      'fence',
      'silence',
      'marker',
      'schema',
      'second look',
    ]);

    // Once more: it finds the fence up, and proves everything again.
    const boss = await rig.enter(rig.side, 'boss');
    expect(await rig.freeze()).toMatchObject({ raisedAt: frozen.raisedAt, endedSessions: 1 });
    expect(await stateOf(boss)).toBe('ended');
    expect(await rig.lower()).toEqual({ lowered: true });

    // What is left open is ended before the position is taken: what it wrote is on neither side.
    const idle = await rig.enter(rig.side);
    expect(await stateOf(idle)).toBe('open');
    await idle.query('begin');
    await idle.query(`insert into public."Orders" (note) values ('never committed')`);
    expect(await rig.freeze()).toMatchObject({ endedSessions: 1 });
    await expect(idle.query('commit')).rejects.toThrow();
    expect([await orders(rig.writing), await orders(rig.following)]).toEqual([arrived, arrived]);
  });

  it('sees who writes while the other side has not everything yet, and notices that its fence is taken away', async () => {
    const passed = () => one(rig.writing, `select passed::int as value from cutover.${rig.stream.marker}`);
    /** Does something while the marker is on its way, and gives the freeze back, which goes on. */
    const duringFreeze = async (meanwhile: () => Promise<unknown>): Promise<{ freezing: Promise<unknown> }> => {
      const before = Number((await passed()) ?? 0);
      await rig.following.query(`alter subscription ${rig.stream.name} disable`);
      const freezing = rig.freeze();
      freezing.catch(() => undefined);
      await until('the marker is on its way', async () => (await passed()) === before + 1);
      await meanwhile();
      await rig.following.query(`alter subscription ${rig.stream.name} enable`);
      return { freezing };
    };

    // A superuser who ignores maintenance mode and comes back is named.
    let boss: Client | undefined;
    const named = await duringFreeze(async () => (boss = await rig.enter(rig.side, 'boss')));
    await expect(named.freezing).rejects.toThrow(
      /still writes, or could at once.*role boss, program shop, from 127\.0\.0\.1/,
    );
    expect(await typeOf(named.freezing)).toBe('VerificationMismatch');
    await boss?.end().catch(() => undefined);
    await rig.lower();

    // So is what was written by one who came and left.
    const written = await duringFreeze(async () => {
      const guest = await rig.enter(rig.side, 'boss');
      await guest.query('set default_transaction_read_only = off');
      await guest.query(`insert into public.lines values (1, 1, 1), (1, 2, 2)`);
      await guest.end();
      await until('it is gone', async () => {
        const there = `select count(*)::int as value from pg_stat_activity where usename = 'boss'`;
        return (await one(rig.writing, there)) === 0;
      });
    });
    await expect(written.freezing).rejects.toThrow('2 rows and 0 catalogue rows changed');
    await rig.lower();

    const open = await duringFreeze(() =>
      rig.writing.query(`alter database "${rig.scope.migration}" connection limit -1`),
    );
    expect(await typeOf(open.freezing)).toBe('PreconditionFailed');
  });
});

describe('the freeze', () => {
  beforeEach(async () => {
    rig = await freezeRig(servers, 2);
  });

  it('goes on from wherever a worker was killed in it, and its undo puts back what was there', async () => {
    const { scope, leg, former } = rig;
    const before = await rig.activities.inspectAccess({ scope, side: rig.side });
    for (let statement = 1; ; statement += 1) {
      const guest = await rig.enter(rig.side);
      await guest.query(`insert into public."Orders" (note) values ('written')`);
      const worker = rig.killedAt(statement);
      const died = await typeOf(worker.freezeAndDrain({ scope, leg, former }));
      if (statement % 2 === 0) await rig.freeze();
      await rig.lower();
      expect(await rig.activities.inspectAccess({ scope, side: rig.side })).toEqual(before);
      await guest.end();
      if (died === 'no failure') break;
      expect(died).toMatch(/^(Source|Target)Unavailable$/);
    }
    await rig.freeze();
    expect(await orders(rig.following)).toBe(await orders(rig.writing));
  });

  it('is prepared by a look for what would stop it, and refuses prepared transactions by name while the door is still open, and definitions that have changed since streaming began', async () => {
    const { scope, leg, former } = rig;
    expect(await rig.activities.prepareFreeze({ scope, leg })).toEqual({});
    await rig.writing.query('create sequence public.new_one');
    await expect(rig.activities.prepareFreeze({ scope, leg })).rejects.toThrow(
      'The target lacks sequences: public.new_one',
    );
    await rig.writing.query('drop sequence public.new_one');
    await rig.writing.query(
      `create subscription elsewhere connection 'host=127.0.0.1 port=1' publication p with (connect = false, slot_name = none)`,
    );
    await rig.writing.query(
      `update pg_subscription set subenabled = true, subslotname = 'x' where subname = 'elsewhere'`,
    );
    await expect(rig.activities.prepareFreeze({ scope, leg })).rejects.toThrow('ALTER SUBSCRIPTION elsewhere DISABLE');
    await rig.writing.query(
      `update pg_subscription set subenabled = false, subslotname = null where subname = 'elsewhere'`,
    );
    await rig.writing.query('drop subscription elsewhere');

    const two = await rig.enter(rig.side);
    await two.query('begin');
    await two.query(`insert into public."Orders" (note) values ('prepared')`);
    await two.query(`prepare transaction 'pay''ment'`);
    await expect(rig.freeze()).rejects.toThrow("COMMIT PREPARED 'pay''ment' or ROLLBACK PREPARED 'pay''ment'");
    expect(await stateOf(two)).toBe('open');
    expect(await rig.activities.fenceIsUp({ scope: rig.scope, side: rig.side })).toEqual({ up: false });
    await two.query(`commit prepared 'pay''ment'`);
    await rig.freeze();
    expect(await orders(rig.following)).toBe(1);
    await rig.lower();

    const source = await rig.activities.fingerprintSchema({ scope, side: 'source' });
    const target = await rig.activities.fingerprintSchema({ scope, side: 'target' });
    const fingerprints = { source: source.artifact, target: target.artifact };
    const { evidence } = await rig.activities.freezeAndDrain({ scope, leg, former, fingerprints });
    expect(evidence.at(-1)).toMatch('the schema is the one');
    await rig.lower();
    await rig.writing.query('alter table public.lines add column added int');
    const frozen = rig.activities.freezeAndDrain({ scope, leg, former, fingerprints });
    await expect(frozen).rejects.toThrow(/public\.lines.*added/);
    expect(await typeOf(frozen)).toBe('SchemaChanged');
  });
});
