// CDC from end to end, on real servers and under load: there, back with everything that was written meanwhile, and there again; a deadline
// that passes; and the ways to end before anything was switched.
import { setTimeout as sleep } from 'node:timers/promises';
import { gateIs, undone } from '../fixtures/cdc-shop';
import type { Client } from 'pg';
import { CdcWorld } from '../fixtures/cdc-world';
import type { HandOverRecord } from '../../journal/types';

const outcomes = (handOvers: HandOverRecord[] = []): string[] => handOvers.map(({ to, outcome }) => `${to} ${outcome}`);

describe('from PostgreSQL 15 to 18', () => {
  let world: CdcWorld;
  beforeAll(async () => {
    world = await CdcWorld.start();
  }, 600_000);
  afterAll(() => world.stop(), 60_000);

  it('switches under a thousand writes a second, goes back with what was written since, and forward again without another copy', async () => {
    const shop = await world.shop({ rate: 200 });
    await shop.start({ gates: { start: 'auto', 'retire-source': 'auto' } });
    await shop.seen('gate cutover', gateIs('cutover'));
    await shop.atRate(1_300);
    await shop.underLoad(1_000);
    await shop.approve('cutover');
    await shop.seen('gate accept', gateIs('accept'));
    await shop.moreWrites(1_000);
    await shop.rollBack('trying the way back');
    await shop.seen('gate cutover again', gateIs('cutover'));
    await shop.moreWrites(1_000);
    await shop.approve('cutover');
    await shop.seen('gate accept again', gateIs('accept'));
    await shop.moreWrites(1_000);
    await shop.atRate(100);
    await shop.approve('accept');
    const { result, status } = await shop.finished();
    expect(result).toMatchObject({ outcome: 'completed', differences: 0 });
    expect(outcomes(status.handOvers)).toEqual(['target switched', 'source switched', 'target switched']);
    expect(status.steps.filter(({ id }) => id === 'copy-data')).toHaveLength(1);
    expect(await shop.wrongs({ active: 'target', fenced: 'source' })).toEqual([]);
  }, 300_000);

  it('reopens the source by itself when the deadline passes, goes back when it passes after the switch, and gets there in the end', async () => {
    const shop = await world.shop();
    await shop.start({ maxDowntime: '4s' });
    await shop.seen('gate cutover', gateIs('cutover'));
    // From the moment that writes are stopped the drain's marker does not arrive: its table on the target is locked.
    const [marker] = await shop.query(
      'target',
      `select tablename as name from pg_tables where schemaname = 'cutover' and tablename ~ '_g1$'`,
    );
    const held = new Promise<Client>((resolve) => {
      shop.door.beforeNext('maintenance-mode', async () => {
        const target = await shop.session('target');
        await target.query(`begin; lock table cutover.${String(marker?.name)}`);
        resolve(target);
      });
    });
    await shop.approve('cutover');
    const lock = await held;
    await shop.seen('normal mode again', undone('maintenance-mode'));
    await shop.moreWrites(20);
    await lock.end();

    shop.door.beforeNext('switch-datastore', () => sleep(6_000));
    await shop.approve('cutover');
    await shop.seen('the source again', ({ handOvers }) => handOvers?.[2]?.outcome === 'switched');
    await shop.approve('cutover');
    const { result, status } = await shop.finished();
    expect(result).toMatchObject({ outcome: 'completed', differences: 0 });
    expect(outcomes(status.handOvers)).toEqual([
      'target given-up',
      'target given-up',
      'source switched',
      'target switched',
    ]);
    expect(await shop.wrongs({ active: 'target', fenced: 'source' })).toEqual([]);
  }, 300_000);

  it('leaves both sides as they were when the gate is rejected', async () => {
    const shop = await world.shop();
    await shop.start();
    await shop.reject('cutover');
    expect((await shop.finished()).result).toMatchObject({ outcome: 'rejected' });
    expect(await shop.wrongs({ active: 'source' })).toEqual([]);
  }, 180_000);

  it('leaves both sides as they were when it is cancelled in the middle of the copy', async () => {
    const shop = await world.shop();
    await shop.start({ copy: { lanes: 2, chunkMegabytes: 1, maxBytesPerSecond: 500_000 } });
    await shop.seen('some rows copied', ({ copy }) => (copy?.chunksDone ?? 0) > 0);
    await shop.migration.cancel();
    await expect(shop.migration.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
    expect(await shop.wrongs({ active: 'source' })).toEqual([]);
  }, 180_000);
});

describe('from PostgreSQL 18 to 18', () => {
  let world: CdcWorld;
  beforeAll(async () => {
    world = await CdcWorld.start({ sourceMajor: 18 });
  }, 600_000);
  afterAll(() => world.stop(), 60_000);

  it('switches, goes back when told so, and ends where it began when the way forward is rejected', async () => {
    const shop = await world.shop();
    await shop.start({ gates: { start: 'auto' } });
    await shop.approve('cutover');
    await shop.seen('gate accept', gateIs('accept'));
    await shop.moreWrites(50);
    await shop.rollBack('trying the way back');
    await shop.reject('cutover');
    const { result, status } = await shop.finished();
    expect(result).toMatchObject({ outcome: 'rolled-back' });
    expect(outcomes(status.handOvers)).toEqual(['target switched', 'source switched']);
    expect(await shop.wrongs({ active: 'source', fenced: 'target' })).toEqual([]);
  }, 300_000);
});
