// A datastore of some thousand keys: it is moved as a whole, and what Temporal keeps of it does not grow with the data.
import { CalicoWorld, finished } from '../fixtures/calico-world';
import type { SampleOptions } from '../../examples/calico/sample-datastore';

let world: CalicoWorld;
beforeAll(async () => {
  world = await CalicoWorld.start();
}, 900_000);
afterAll(() => world.stop(), 60_000);

/** Of the whole history of a migration: how many events, and the bytes of the largest one, payloads and all. */
async function move(sample: SampleOptions): Promise<{ events: number; largest: number }> {
  await world.fresh(sample);
  const handle = await world.start();
  const { result, status } = await finished(handle);
  expect(result).toMatchObject({ outcome: 'completed', differences: 0 });
  expect(await world.afterMove(status)).toEqual([]);
  const { events = [] } = await handle.fetchHistory();
  const sizes = (events ?? []).map((event) => JSON.stringify(event).length);
  return { events: sizes.length, largest: Math.max(...sizes) };
}

it('a history has as many events, and as small ones, for 5,000 handles and 2,000 policies as for some', async () => {
  const small = await move({ handles: 60, policies: 20 });
  const large = await move({ handles: 5_000, policies: 2_000 });
  expect(small.events).toBeLessThan(500);
  // One or two more where the rollout or the watch took one look more.
  expect(Math.abs(large.events - small.events)).toBeLessThanOrEqual(12);
  expect(large.largest).toBeLessThan(100_000);
}, 300_000);
