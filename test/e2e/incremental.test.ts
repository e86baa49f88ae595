// In passes from end to end, on real servers and under load: a freeze that runs out of time costs the freeze alone, everything can be undone,
// and an update column that lies loses nothing. The application's ledger is the judge.
import { approveSignal, journalQuery, rollbackSignal } from '../../workflows/messages';
import type { PostgresPlanInput } from '../../plan/postgres';
import { startShopWorld, type ShopWorld } from '../fixtures/shop-world';
import { gateOpen, until } from '../fixtures/workflow-rig';

let world: ShopWorld;
beforeAll(async () => {
  world = await startShopWorld({ orders: 1_000, rate: 50 });
}, 600_000);
afterAll(() => world.stop(), 60_000);

const patienceMs = 240_000;
const passes: Partial<PostgresPlanInput> = {
  strategy: 'incremental',
  gates: { start: 'auto', accept: 'auto', 'retire-source': 'auto' },
};
const schemaLeft = async (): Promise<unknown> =>
  (await world.query('target', `select count(*)::int as schemas from pg_namespace where nspname = 'cutover'`))[0];

describe('a migration in passes of a live shop', () => {
  it('opens the source again when the freeze runs out of time, copies nothing anew, and undoes all of it when asked', async () => {
    const handle = await world.start({ ...passes, maxDowntime: '200ms' });
    const first = await until(handle, gateOpen('cutover'), patienceMs);
    expect(first.gates.at(-1)?.evidence.join('\n')).toContain('IT DOES NOT FIT');
    await handle.signal(approveSignal, { gate: 'cutover', by: 'anna' });
    const again = await until(handle, ({ gate, gates }) => gate === 'cutover' && gates.length > 2, patienceMs);
    expect(again.steps.filter(({ id }) => id === 'copy-data')).toHaveLength(1);
    expect(again.gates.at(-1)?.evidence.join('\n')).toContain('attempt 2');
    await handle.signal(rollbackSignal, { by: 'anna', reason: 'the night is over' });
    expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
    const { left } = await handle.query(journalQuery);
    expect(left.filter(({ state }) => state === 'present')).toEqual([]);
    const { acknowledged, missing, doubled, bySide } = await world.judge('source');
    expect({ missing, doubled, target: bySide.target }).toEqual({ missing: [], doubled: [], target: 0 });
    expect(acknowledged).toBeGreaterThan(0);
    expect(await schemaLeft()).toEqual({ schemas: 0 });
  }, 600_000);

  it('completes with every acknowledged write, although updates leave their column alone', async () => {
    // The shop goes on changing balances; nothing notes when.
    await world.query('source', 'alter table shop.customers disable trigger customers_touch');
    const handle = await world.start({
      ...passes,
      maxDowntime: '5m',
      incremental: { updateColumns: [{ table: 'shop.customers', column: 'updated_at' }], overlap: '0s' },
    });
    await until(handle, gateOpen('cutover'), patienceMs);
    await handle.signal(approveSignal, { gate: 'cutover', by: 'anna' });
    expect(await handle.result()).toMatchObject({ outcome: 'completed', differences: 0 });
    const { missing, doubled, bySide } = await world.judge('target');
    expect({ missing, doubled }).toEqual({ missing: [], doubled: [] });
    expect(bySide.target).toBeGreaterThan(0);
    const { notes, passes: records = [], tables, left, forecast } = await handle.query(journalQuery);
    expect(notes.map(({ text }) => text).join('\n')).toMatch(/differed under the fence.*shop\.customers/);
    expect(records.map(({ why }) => why)).toContain('under the fence');
    expect(records.some(({ rows }) => Number(rows) > 0)).toBe(true);
    expect(forecast?.fits).toBe(true);
    expect(tables?.every(({ equal }) => equal === true)).toBe(true);
    expect(left.filter(({ state }) => state === 'present')).toEqual([]);
    expect(await schemaLeft()).toEqual({ schemas: 0 });
    const [source] = await world.query(
      'source',
      'select datconnlimit as limit from pg_database where datname = current_database()',
    );
    expect(source).toEqual({ limit: 0 });
  }, 600_000);
});
