// kill -9 of whatever can die, in the middle of the phases where it hurts most. Afterwards every acknowledged write is there once,
// and nothing of ours is left. One world a kill point: nothing carries over.
import { startShopWorld, type ShopWorld } from '../fixtures/shop-world';
import { until, type MigrationHandle } from '../fixtures/workflow-rig';
import { statusQuery, type MigrationResult } from '../../workflows/messages';

const victims: Record<string, (world: ShopWorld) => Promise<void>> = {
  worker: (world) => world.replaceWorker(),
  'Temporal server': async ({ stack: { temporal } }) => {
    temporal!.kill();
    await temporal!.restart();
  },
  source: async ({ stack: { source } }) => {
    source!.kill();
    await source!.restart();
  },
  target: async ({ stack: { target } }) => {
    target!.kill();
    await target!.restart();
  },
};

/** Slow enough that a kill falls into the middle of the copy of some ten megabytes. */
const slowly = { copy: { lanes: 2, chunkMegabytes: 1, maxBytesPerSecond: 3_000_000 } };

const killPoints: [victim: keyof typeof victims, step: string][] = [
  ['worker', 'snapshot'],
  ['worker', 'pre-data'],
  ['worker', 'fence'],
  ['worker', 'copy-data'],
  ['worker', 'post-data'],
  ['worker', 'compare-rows'],
  ['worker', 'switch-datastore'],
  ['Temporal server', 'copy-data'],
  ['source', 'copy-data'],
  ['target', 'copy-data'],
  ['target', 'post-data'],
  ['target', 'compare-rows'],
];

/** The result; blocked for good fails the test at once, with the reason. */
async function resultOrBlocked(handle: MigrationHandle): Promise<MigrationResult> {
  for (;;) {
    // Queries fail while a server is down.
    const status = await handle.query(statusQuery).catch(() => undefined);
    if (status?.blocked) throw new Error(`blocked at ${status.blocked.step}: ${status.blocked.failure}`);
    if (status?.reportUrl) return handle.result();
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

describe('kill -9', () => {
  it.each(killPoints)(
    'of the %s during %s loses and doubles no row',
    async (victim, step) => {
      const world = await startShopWorld({ orders: 10_000 });
      try {
        const handle = await world.start(slowly);
        await until(
          handle,
          ({ steps, phase }) => phase === 'blocked' || steps.some(({ id, state }) => id === step && state !== 'failed'),
          120_000,
        );
        await victims[victim]!(world);
        const result = await resultOrBlocked(handle);
        expect(result).toMatchObject({ outcome: 'completed', differences: 0 });
        const judged = await world.judge('target');
        expect(judged.missing).toEqual([]);
        expect(judged.doubled).toEqual([]);
        expect(judged.acknowledged).toBeGreaterThan(0);
        const [left] = await world.query(
          'target',
          `select count(*)::int as schemas from pg_namespace where nspname = 'cutover'`,
        );
        expect(left).toEqual({ schemas: 0 });
      } finally {
        await world.stop();
      }
    },
    300_000,
  );
});
