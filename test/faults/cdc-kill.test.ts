// kill -9 of whatever can die, in each part of a migration by CDC: the copy, catching up, the freeze, the turn, the switch, the reverse
// window, the way back. Many kills share one migration: each has to be got over before the next one can be reached.
import { setTimeout as sleep } from 'node:timers/promises';
import { begun, done, gateIs, type CdcShop, type Condition } from '../fixtures/cdc-shop';
import { CdcWorld, type Victim } from '../fixtures/cdc-world';

let world: CdcWorld;
beforeAll(async () => {
  world = await CdcWorld.start();
}, 600_000);
afterAll(() => world.stop(), 60_000);

/** Slow enough that a kill falls into the middle of the copy; time enough for a server to come back within the freeze. */
const patiently = {
  copy: { lanes: 2, chunkMegabytes: 1, maxBytesPerSecond: 2_000_000 },
  maxDowntime: '10m',
  gates: { start: 'auto', 'retire-source': 'auto' },
} as const;

const copying: Condition = ({ copy, steps }) =>
  (copy?.chunksDone ?? 0) > 0 && steps.at(-1)?.id === 'copy-data' && steps.at(-1)?.state === 'running';
const switched =
  (times: number): Condition =>
  ({ handOvers = [] }) =>
    handOvers.filter(({ outcome }) => outcome === 'switched').length >= times;

/** Says which kill was the last one when what comes after it does not happen. */
async function killAt(shop: CdcShop, victim: Victim, what: string, when: Condition): Promise<void> {
  await shop.seen(`${what}, to kill the ${victim}`, when);
  await world.kill(victim);
}

it('of the worker, once in each part, loses and doubles nothing', async () => {
  const shop = await world.shop();
  await shop.start(patiently);
  await killAt(shop, 'worker', 'the copy', copying);
  await killAt(shop, 'worker', 'catching up', begun('catch-up'));
  await shop.approve('cutover');
  await killAt(shop, 'worker', 'the fence', begun('fence'));
  await killAt(shop, 'worker', 'the turn', begun('turn'));
  await killAt(shop, 'worker', 'the switch', begun('switch-datastore'));
  await killAt(shop, 'worker', 'the watch', begun('monitor'));
  await shop.seen('gate accept', gateIs('accept'));
  await shop.rollBack('trying the way back');
  await killAt(shop, 'worker', 'the turn of the way back', begun('turn', 2));
  await shop.seen('the source in use again', switched(2));
  await shop.reject('cutover');
  expect((await shop.finished()).result).toMatchObject({ outcome: 'rolled-back' });
  expect(await shop.wrongs({ active: 'source', fenced: 'target' })).toEqual([]);
}, 400_000);

it('of source, target and Temporal server, in turn and in each part, loses and doubles nothing', async () => {
  const shop = await world.shop();
  await shop.start(patiently);
  await killAt(shop, 'Temporal', 'the copy', copying);
  await killAt(shop, 'source', 'the copy after that', copying);
  await killAt(shop, 'target', 'the copy of another group', copying);
  await killAt(shop, 'target', 'catching up', begun('catch-up'));
  await killAt(shop, 'source', 'foreign keys', begun('post-data'));
  await shop.approve('cutover');
  await killAt(shop, 'Temporal', 'the fence', begun('fence'));
  await killAt(shop, 'source', 'the turn', begun('turn'));
  await killAt(shop, 'target', 'the switch', begun('switch-datastore'));
  await shop.seen('gate accept', gateIs('accept'));
  await world.kill('source');
  await shop.moreWrites(20);
  await world.kill('target');
  await shop.moreWrites(20);
  await shop.rollBack('trying the way back');
  await killAt(shop, 'target', 'the turn of the way back', begun('turn', 2));
  await killAt(shop, 'Temporal', 'the switch back', begun('switch-datastore', 2));
  await shop.approve('cutover');
  await shop.approve('accept');
  expect((await shop.finished()).result).toMatchObject({ outcome: 'completed', differences: 0 });
  expect(await shop.wrongs({ active: 'target', fenced: 'source' })).toEqual([]);
}, 400_000);

const seed = Number(process.env.CUTOVER_TEST_SEED ?? Date.now() % 1_000_000);

it(`at times and of victims that chance has chosen loses and doubles nothing (CUTOVER_TEST_SEED=${seed})`, async () => {
  const random = randomOf(seed);
  const shop = await world.shop();
  await shop.start({ ...patiently, gates: 'auto' });
  // Preflight asks people what it cannot look at; from then on it survives.
  await shop.seen('preflight, done', done('preflight'));
  const victims: Victim[] = ['worker', 'source', 'target', 'Temporal'];
  const kills: string[] = [];
  for (let kill = 0; kill < 4; kill += 1) {
    const [waitMs, victim] = [
      Math.round(500 + random() * 7_000),
      victims[Math.floor(random() * victims.length)] ?? 'worker',
    ];
    await sleep(waitMs);
    const { phase = 'unknown', steps = [] } = (await shop.status()) ?? {};
    kills.push(`${victim} at ${steps.at(-1)?.id} (${phase})`);
    await world.kill(victim);
  }
  console.log(`killed: ${kills.join(', ')}`);
  expect((await shop.finished(180_000)).result).toMatchObject({ outcome: 'completed', differences: 0 });
  expect(await shop.wrongs({ active: 'target', fenced: 'source' })).toEqual([]);
}, 400_000);

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function randomOf(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
