// How a migration by CDC may end other than where it was meant to, from PostgreSQL 18 to 18: back by a deadline that passes, back because somebody
// says so, and before anything was switched.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { gateIs, undone } from '../fixtures/cdc-shop';
import { CdcWorld } from '../fixtures/cdc-world';

let world: CdcWorld;
beforeAll(async () => {
  world = await CdcWorld.start({ sourceMajor: 18 });
}, 600_000);
afterAll(() => world.stop(), 60_000);

it('reopens the source by itself when the deadline passes, goes back when it passes after the switch, gets there in the end, and goes back when told so', async () => {
  const shop = await world.shop();
  await shop.start({ maxDowntime: '8s', gates: { start: 'auto' } });
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

  shop.door.beforeNext('switch-datastore', () => sleep(9_000));
  await shop.approve('cutover');
  await shop.seen('the source again', ({ handOvers }) => handOvers?.[2]?.outcome === 'switched');
  await shop.approve('cutover');
  await shop.seen('gate accept', gateIs('accept'));
  await shop.moreWrites(50);
  await shop.rollBack('trying the way back');
  await shop.reject('cutover');
  const { result, status } = await shop.finished();
  expect(result).toMatchObject({ outcome: 'rolled-back' });
  expect(status.handOvers?.map(({ to, outcome }) => `${to} ${outcome}`)).toEqual([
    'target given-up',
    'target given-up',
    'source switched',
    'target switched',
    'source switched',
  ]);
  expect(await shop.wrongs({ active: 'source', fenced: 'target' })).toEqual([]);
}, 600_000);

it('leaves both sides as they were when the gate is rejected', async () => {
  const shop = await world.shop();
  await shop.start();
  await shop.reject('cutover');
  expect((await shop.finished()).result).toMatchObject({ outcome: 'rejected' });
  expect(await shop.wrongs({ active: 'source' })).toEqual([]);
}, 400_000);

it('leaves both sides as they were when it is cancelled in the middle of the copy', async () => {
  const shop = await world.shop();
  await shop.start({ copy: { lanes: 2, chunkMegabytes: 1, maxBytesPerSecond: 500_000 } });
  await shop.seen('some rows copied', ({ copy }) => (copy?.chunksDone ?? 0) > 0);
  await shop.migration.cancel();
  await expect(shop.migration.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
  expect(await shop.wrongs({ active: 'source' })).toEqual([]);
}, 400_000);
