// A way back from every phase, under load, on real servers: afterwards source, target and application are as they were.
import { approveSignal, rejectSignal, rollbackSignal } from '../../workflows/messages';
import { startAdminDoor, type AdminDoor } from '../fixtures/admin-door';
import { startShopWorld, type ShopWorld } from '../fixtures/shop-world';
import { gateOpen, until, type MigrationHandle } from '../fixtures/workflow-rig';

let world: ShopWorld;
let door: AdminDoor;
beforeAll(async () => {
  world = await startShopWorld({ orders: 1_000, rate: 50 });
  door = await startAdminDoor(world.application.url);
}, 600_000);
afterAll(async () => {
  await door.stop();
  await world.stop();
});

const rollBack = (handle: MigrationHandle): Promise<void> =>
  handle.signal(rollbackSignal, { by: 'test', reason: 'trying the way back' });

/** What must be as before: nothing of ours on either side, the source open, the application writing to it. */
async function everythingIsAsItWas(): Promise<void> {
  const [target] = await world.query(
    'target',
    `select count(*)::int as objects from pg_class where relnamespace >= 16384 or relname ~ '^(exchange_rates|Newsletter)'`,
  );
  expect(target).toEqual({ objects: 0 });
  const [roles] = await world.query('target', `select count(*)::int as roles from pg_roles where rolname ~ '^shop'`);
  expect(roles).toEqual({ roles: 0 });
  const [source] = await world.query(
    'source',
    'select datconnlimit as limit, (select count(*)::int from pg_db_role_setting where setdatabase = d.oid) as settings from pg_database d where datname = current_database()',
  );
  expect(source?.limit).toBe(-1);
  const before = world.application.status().acknowledged;
  const end = Date.now() + 60_000;
  while (world.application.status().acknowledged <= before + 5) {
    if (Date.now() > end)
      throw new Error(`the application does not write: ${JSON.stringify(world.application.status())}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const judged = await world.judge('source');
  expect(judged.missing).toEqual([]);
  expect(judged.doubled).toEqual([]);
  expect(judged.bySide.target).toBe(0);
}

describe('a rollback', () => {
  it.each(['start', 'cutover'] as const)('by rejecting gate %s leaves everything as it was', async (gate) => {
    const handle = await world.start({ gates: gate === 'start' ? {} : { start: 'auto' } });
    await until(handle, gateOpen(gate), 120_000);
    await handle.signal(rejectSignal, { gate, by: 'test' });
    expect(await handle.result()).toMatchObject({ outcome: 'rejected' });
    await everythingIsAsItWas();
  });

  it.each(['snapshot', 'pre-data', 'fence', 'copy-data', 'post-data', 'compare-rows', 'fidelity'])(
    'during step %s leaves everything as it was',
    async (step) => {
      const handle = await world.start({
        application: { adminUrl: door.url, token: { env: 'SHOP_ADMIN_TOKEN' } },
        copy: { lanes: 1, chunkMegabytes: 1, ...(step === 'copy-data' ? { maxBytesPerSecond: 500_000 } : {}) },
      });
      // However slowly it is noticed that the step has begun: the switch, after which going back is another matter, is not reached before.
      let go = (): void => undefined;
      const asked = new Promise<void>((resolve) => (go = resolve));
      door.beforeNext('target-health-check', () => asked);
      try {
        await until(handle, ({ steps, phase }) => phase === 'blocked' || steps.some(({ id }) => id === step), 120_000);
        await rollBack(handle);
      } finally {
        go();
      }
      const result = await handle.result();
      expect(result.outcome).toBe('rolled-back');
      await everythingIsAsItWas();
    },
    300_000,
  );

  it('at a switch that the application refuses leaves everything as it was', async () => {
    const { url } = world.application;
    const handle = await world.start({
      application: { adminUrl: url, token: { env: 'SHOP_ADMIN_TOKEN' }, switchTarget: 'no-such-database' },
    });
    const status = await until(handle, ({ phase }) => phase === 'blocked', 120_000);
    expect(status.blocked).toMatchObject({
      step: 'switch-datastore',
      failure: expect.stringContaining('answered with status 400') as string,
    });
    await rollBack(handle);
    expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
    await everythingIsAsItWas();
  }, 300_000);

  it('after the switch says what would be lost, and with the words said goes back without losing a write of before', async () => {
    const handle = await world.start({ monitor: '10m', gates: { start: 'auto', cutover: 'auto' } });
    await until(handle, ({ phase }) => phase === 'monitor' || phase === 'blocked', 120_000);
    await rollBack(handle);
    const asked = await until(handle, ({ loss }) => loss !== undefined, 120_000);
    await handle.signal(rollbackSignal, { by: 'test', reason: 'checkout fails', words: asked.loss!.words });
    expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
    const judged = await world.judge('source', ['source']);
    expect(judged.missing).toEqual([]);
    expect(judged.doubled).toEqual([]);
    const [kept] = await world.query('target', 'select count(*)::int > 0 as kept from shop.orders');
    expect(kept).toEqual({ kept: true });
  }, 300_000);

  it('is possible by cancelling the workflow at a gate', async () => {
    const handle = await world.start({ gates: {} });
    await until(handle, ({ gate, phase }) => gate === 'start' || phase === 'blocked', 120_000);
    await handle.signal(approveSignal, { gate: 'start', by: 'test' });
    await handle.cancel();
    await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
  });
});
