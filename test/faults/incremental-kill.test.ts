// kill -9 of the worker in each phase of a migration in passes: the live copy, passes, the freeze and what it holds, the watch after the
// switch, and the way back. One migration survives all of them; the application's ledger is asked on both sides.
import { rollbackSignal, type MigrationStatus } from '../../workflows/messages';
import { startShopWorld } from '../fixtures/shop-world';
import { gateOpen, phaseIs, until } from '../fixtures/workflow-rig';

/** In their order, from the copy to the end of the watch. */
const killPoints = [
  'begin-passes',
  'copy-data',
  'first-pass',
  'second-pass',
  'passes',
  'fence',
  'final-pass',
  'carry',
  'compare-rows',
  'switch-datastore',
  'monitor',
];
const patienceMs = 180_000;

const reached =
  (point: string) =>
  ({ steps, phase, outcome }: MigrationStatus): boolean =>
    outcome !== undefined || phase === 'blocked' || steps.some(({ id }) => id === point);

describe('kill -9 of the worker in each phase of a migration in passes', () => {
  it('loses and doubles no row, neither on the way there nor on the way back', async () => {
    const world = await startShopWorld({ orders: 1_000, rate: 40 });
    try {
      const handle = await world.start({
        strategy: 'incremental',
        gates: { start: 'auto', cutover: 'auto', 'retire-source': 'auto' },
        copy: { lanes: 2, chunkMegabytes: 1, maxBytesPerSecond: 1_000_000 },
        maxDowntime: '10m',
      });
      const killed: string[] = [];
      for (const point of killPoints) {
        const { blocked, outcome, steps } = await until(handle, reached(point), patienceMs);
        expect({ point, blocked, outcome, killed }).toEqual({ point, blocked: undefined, outcome: undefined, killed });
        await world.replaceWorker();
        killed.push(`${point}, at ${steps.at(-1)?.id}`);
      }
      const accepting = await until(
        handle,
        (status) => phaseIs('blocked')(status) || gateOpen('accept')(status),
        patienceMs,
      );
      expect(accepting.gate).toBe('accept');
      const there = await world.judge('target');
      expect({ missing: there.missing, doubled: there.doubled }).toEqual({ missing: [], doubled: [] });
      expect(there.bySide.target).toBeGreaterThan(0);

      await handle.signal(rollbackSignal, { by: 'test', reason: 'checkout fails' });
      const { loss } = await until(handle, (status) => status.loss !== undefined, patienceMs);
      await handle.signal(rollbackSignal, { by: 'test', reason: 'checkout fails', words: loss?.words });
      const known = accepting.steps.length;
      await until(handle, ({ steps }) => steps.slice(known).some(({ id }) => id === 'back-fence'), patienceMs);
      await world.replaceWorker();
      expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
      const { missing, doubled } = await world.judge('source', ['source']);
      expect({ missing, doubled }).toEqual({ missing: [], doubled: [] });
      const [left] = await world.query(
        'target',
        `select count(*)::int as schemas from pg_namespace where nspname = 'cutover'`,
      );
      expect(left).toEqual({ schemas: 0 });
    } finally {
      await world.stop();
    }
  }, 900_000);
});
