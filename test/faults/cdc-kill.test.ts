// kill -9 of whatever can die, in each part of a migration by CDC: the copy, catching up, the freeze, the turn, the switch, the reverse
// window, the way back. Many kills share one migration: each has to be got over before the next one can be reached.
import { setTimeout as sleep } from 'node:timers/promises';
import { begun, done, gateIs, type CdcShop, type Condition } from '../fixtures/cdc-shop';
import { CdcWorld, type Victim } from '../fixtures/cdc-world';
import { tuneSignal } from '../../workflows/messages';

let world: CdcWorld;
beforeAll(async () => {
  world = await CdcWorld.start();
}, 600_000);
afterAll(() => world.stop(), 60_000);

/** Slow enough that kills fall into the middle of the copy; time enough for a server to come back within the freeze. */
const patiently = {
  copy: { lanes: 2, chunkMegabytes: 1, maxBytesPerSecond: 2_000_000 },
  maxDowntime: '10m',
  gates: { start: 'auto', 'retire-source': 'auto' },
} as const;

const copying: Condition = ({ copy, steps }) =>
  (copy?.chunksDone ?? 0) > 0 && steps.at(-1)?.id === 'copy-data' && steps.at(-1)?.state === 'running';

type HandOverStep = 'fence' | 'turn' | 'switch' | 'monitor';

/** Kills in one migration: each is noted with the step that had begun. */
class Kills {
  readonly done: string[] = [];
  private under: Promise<void> = Promise.resolve();

  constructor(private readonly shop: CdcShop) {}

  /** As soon as the migration shows what is wanted. Says which kill was the last one when what comes after it does not happen. */
  async when(victim: Victim, what: string, wanted: Condition): Promise<void> {
    await this.shop.seen(`${what}, to kill the ${victim} (last kill: ${this.done.at(-1)})`, wanted, 180_000, 25);
    await this.now(victim, what);
  }

  /** Begins a hand-over and kills in its steps; in the switch before the application has heard where to write. */
  async during(begin: () => Promise<void>, victims: Partial<Record<HandOverStep, Victim>>): Promise<void> {
    const { steps } = await this.shop.seen('the steps so far', () => true);
    const next = (id: string): Condition => begun(id, steps.filter((step) => step.id === id).length + 1);
    const switched = victims.switch && this.beforeSwitch(victims.switch);
    await begin();
    for (const step of ['fence', 'turn'] as const) {
      const victim = victims[step];
      if (victim) await this.when(victim, step, next(step));
    }
    if (switched) {
      await this.shop.seen(`the switch, to kill the ${victims.switch}`, () => switched.isKilled);
      await switched.isBack;
    }
    if (victims.monitor) await this.when(victims.monitor, 'monitor', next('monitor'));
  }

  /** One at a time. */
  async now(victim: Victim, where: string): Promise<void> {
    this.under = this.under.then(() => {
      this.done.push(`${victim} in ${where}`);
      return world.kill(victim);
    });
    await this.under;
  }

  private beforeSwitch(victim: Victim): { isKilled: boolean; isBack: Promise<void> } {
    const state = { isKilled: false, isBack: Promise.resolve() };
    this.shop.door.beforeNext('switch-datastore', () => {
      state.isBack = this.now(victim, 'switch');
      state.isKilled = true;
      return state.isBack;
    });
    return state;
  }
}

it('of Temporal server, source, target and worker, in turn and in each part, loses and doubles nothing', async () => {
  const shop = await world.shop();
  const kills = new Kills(shop);
  await shop.start({ ...patiently, copy: { ...patiently.copy, maxBytesPerSecond: 400_000 } });
  for (const victim of ['Temporal', 'source', 'target', 'worker'] as const)
    await kills.when(victim, 'the copy', copying);
  await shop.migration.signal(tuneSignal, { maxBytesPerSecond: 0 });
  await kills.when('worker', 'catching up', begun('catch-up'));
  await kills.when('target', 'catching up', begun('catch-up'));
  await kills.when('source', 'foreign keys', begun('post-data'));
  const forward = (): Promise<void> => shop.approve('cutover');
  await kills.during(forward, { fence: 'Temporal', turn: 'source', switch: 'target' });
  await shop.seen('gate accept', gateIs('accept'));
  await kills.now('source', 'the window');
  await shop.moreWrites(20);
  await kills.now('target', 'the window');
  await shop.moreWrites(20);
  await kills.during(() => shop.rollBack('trying the way back'), { turn: 'target', switch: 'Temporal' });

  await shop.seen('gate cutover again', gateIs('cutover'));
  await kills.during(forward, { fence: 'worker', switch: 'worker', monitor: 'worker' });
  await shop.seen('gate accept again', gateIs('accept'));
  await kills.during(() => shop.rollBack('going back for good'), { turn: 'worker' });
  await shop.reject('cutover');
  const { result, status } = await shop.finished();
  expect(result).toMatchObject({ outcome: 'rolled-back' });
  expect(status.handOvers?.map(({ to, outcome }) => `${to} ${outcome}`)).toEqual([
    'target switched',
    'source switched',
    'target switched',
    'source switched',
  ]);
  expect(kills.done).toEqual([
    ...['Temporal in the copy', 'source in the copy', 'target in the copy', 'worker in the copy'],
    ...['worker in catching up', 'target in catching up', 'source in foreign keys'],
    ...['Temporal in fence', 'source in turn', 'target in switch', 'source in the window', 'target in the window'],
    ...['target in turn', 'Temporal in switch'],
    ...['worker in fence', 'worker in switch', 'worker in monitor'],
    'worker in turn',
  ]);
  expect(await shop.wrongs({ active: 'source', fenced: 'target' })).toEqual([]);
}, 1_200_000);

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
  expect((await shop.finished()).result).toMatchObject({ outcome: 'completed', differences: 0 });
  expect(await shop.wrongs({ active: 'target', fenced: 'source' })).toEqual([]);
}, 600_000);

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
