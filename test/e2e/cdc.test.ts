// CDC from end to end, on real servers and under load: there, back with everything that was written meanwhile, and there again.
import { gateIs } from '../fixtures/cdc-shop';
import { CdcWorld } from '../fixtures/cdc-world';

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
  expect(status.handOvers?.map(({ to, outcome }) => `${to} ${outcome}`)).toEqual([
    'target switched',
    'source switched',
    'target switched',
  ]);
  expect(status.steps.filter(({ id }) => id === 'copy-data')).toHaveLength(1);
  expect(await shop.wrongs({ active: 'target', fenced: 'source' })).toEqual([]);
}, 600_000);
