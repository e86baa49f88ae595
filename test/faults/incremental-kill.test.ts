// kill -9 of the worker in each kind of work that passes add: the live copy, a pass, and the last one under the fence. One migration
// survives all of them, and every acknowledged write is there once.
import { startShopWorld } from '../fixtures/shop-world';
import { until } from '../fixtures/workflow-rig';

const killPoints = ['copy-data', 'first-pass', 'final-pass'];
const patienceMs = 180_000;

describe('kill -9 of the worker', () => {
  it(`during ${killPoints.join(', ')} of a migration in passes loses and doubles no row`, async () => {
    const world = await startShopWorld({ orders: 3_000 });
    try {
      const handle = await world.start({
        strategy: 'incremental',
        copy: { lanes: 2, chunkMegabytes: 1, maxBytesPerSecond: 3_000_000 },
        maxDowntime: '10m',
      });
      for (const point of killPoints) {
        await until(
          handle,
          ({ steps, phase }) => phase === 'blocked' || steps.some(({ id }) => id === point),
          patienceMs,
        );
        await world.replaceWorker();
      }
      expect(await handle.result()).toMatchObject({ outcome: 'completed', differences: 0 });
      const { acknowledged, missing, doubled } = await world.judge('target');
      expect({ missing, doubled }).toEqual({ missing: [], doubled: [] });
      expect(acknowledged).toBeGreaterThan(0);
      const [left] = await world.query(
        'target',
        `select count(*)::int as schemas from pg_namespace where nspname = 'cutover'`,
      );
      expect(left).toEqual({ schemas: 0 });
    } finally {
      await world.stop();
    }
  }, 600_000);
});
