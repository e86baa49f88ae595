// How far a stream is behind, seen from outside: a row is written on one side and waited for on the other. The same look for ours and for a
// plain subscription.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { connect, execute } from './data';

/** One row of `marks` through the stream. @returns milliseconds from its commit until it was seen; Infinity after `timeoutMs` */
export async function passMark(from: Client, to: Client, timeoutMs: number): Promise<number> {
  const { rows } = await from.query<{ token: string }>(
    'update public.marks set token = token + 1 where id = 1 returning token::text as token',
  );
  const committedAt = performance.now();
  while (performance.now() - committedAt < timeoutMs) {
    const seen = await to.query('select from public.marks where id = 1 and token >= $1', [rows[0]?.token]);
    if (seen.rowCount === 1) return performance.now() - committedAt;
    await sleep(1);
  }
  return Infinity;
}

async function between<Result>(
  writing: string,
  following: string,
  look: (from: Client, to: Client) => Promise<Result>,
): Promise<Result> {
  const [from, to] = await Promise.all([connect(writing), connect(following)]);
  try {
    return await look(from, to);
  } finally {
    await Promise.all([from.end(), to.end()]);
  }
}

/** Waits until a row written now is seen on the following side. @returns milliseconds. @throws when it is not seen within `timeoutMs` */
export function awaitPassage(writing: string, following: string, timeoutMs: number): Promise<number> {
  return between(writing, following, async (from, to) => {
    const ms = await passMark(from, to, timeoutMs);
    if (ms === Infinity) throw new Error(`a row did not pass the stream within ${timeoutMs} ms`);
    return ms;
  });
}

/** So many samples of the lag in milliseconds, ten a second. */
export function sampleLag(writing: string, following: string, samples: number): Promise<number[]> {
  return between(writing, following, async (from, to) => {
    const lags: number[] = [];
    for (let sample = 0; sample < samples; sample += 1) {
      lags.push(await passMark(from, to, 60_000));
      await sleep(100);
    }
    return lags;
  });
}

const rowsATransaction = 100;

/** What a load of rows leaves to the server to do afterwards, done: it must not fall into a measurement of the stream. */
export async function settleServers(writing: string, following: string): Promise<void> {
  await Promise.all([execute(writing, 'checkpoint'), execute(following, 'vacuum analyze', 'checkpoint')]);
}

/**
 * Catch-up: so many rows are changed on the writing side as fast as it can, a hundred a transaction, and waited for on the other.
 * @returns changed rows a second, from the first change until all have been seen
 */
export function burst(writing: string, following: string, rows: number): Promise<number> {
  return between(writing, following, async (from, to) => {
    const startedAt = performance.now();
    await from.query(`do $$ begin
      for low in 1..${rows} by ${rowsATransaction} loop
        update public.orders set note = note where id between low and least(low + ${rowsATransaction - 1}, ${rows});
        commit;
      end loop;
    end $$`);
    await passMark(from, to, 300_000);
    return (rows * 1_000) / (performance.now() - startedAt);
  });
}
