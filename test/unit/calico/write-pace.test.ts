import { WritePace } from '../../../activities/calico/kubernetes/write-pace';

/** Runs writes that each take a turn of the event loop, and returns how many were under way together at most. */
async function greatestWidth(pace: WritePace, writes: number): Promise<number> {
  let running = 0;
  let greatest = 0;
  const write = async (): Promise<void> => {
    running += 1;
    greatest = Math.max(greatest, running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
  };
  await Promise.all(Array.from({ length: writes }, () => pace.run(write)));
  return greatest;
}

test('as long as nobody complains, all may write at the same time', async () => {
  expect(await greatestWidth(new WritePace(), 50)).toBe(50);
});

test('after a complaint half as many write together, and slowly more again; nobody is forgotten', async () => {
  const pace = new WritePace();
  await Promise.all(
    Array.from({ length: 16 }, (_, index) =>
      pace.run(async () => {
        await new Promise((resolve) => setImmediate(resolve));
        if (index === 0) pace.slowDown(0);
      }),
    ),
  );
  expect(await greatestWidth(pace, 50)).toBe(8);
  expect(await greatestWidth(pace, 1_000)).toBeGreaterThan(12);
});

test('a pause holds for everybody', async () => {
  const pace = new WritePace();
  pace.slowDown(150);
  const startedAt = Date.now();
  await Promise.all([pace.untilCalm(), pace.run(() => Promise.resolve())]);
  expect(Date.now() - startedAt).toBeGreaterThanOrEqual(149);
});

test('a limit holds whatever the number of writers', async () => {
  const pace = new WritePace();
  pace.limit(200);
  const startedAt = Date.now();
  await greatestWidth(pace, 41);
  expect(Date.now() - startedAt).toBeGreaterThanOrEqual(195);
});

test('a write that fails gives its place to the next', async () => {
  const pace = new WritePace();
  pace.slowDown(0);
  const failing = Array.from({ length: 5 }, () => pace.run(() => Promise.reject(new Error('refused'))));
  expect((await Promise.allSettled(failing)).every(({ status }) => status === 'rejected')).toBe(true);
  expect(await pace.run(() => Promise.resolve('done'))).toBe('done');
});
