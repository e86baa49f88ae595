// How long a plan's queries take, by the server's own clock, as the baseline was measured: planning and execution, rows not sent,
// median of five runs. Only times measured in the same way may be compared.
import type { Client } from 'pg';
import { z } from 'zod';
import type { NamedQuery } from '../../plan/postgres';
import { askOne } from './plan-query';

const runs = 5;
const planSchema = z.tuple([z.object({ 'Planning Time': z.number(), 'Execution Time': z.number() })]);

export type TimedQuery = { name: string; medianMs: number } | { name: string; error: string };

/** Times each query in a session with the settings of `planSession`. A query that fails is told with its reason; a lost server is thrown. */
export async function timeQueries(session: Client, queries: NamedQuery[]): Promise<TimedQuery[]> {
  const times: TimedQuery[] = [];
  for (const { name, sql } of queries) times.push({ name, ...(await timeQuery(session, sql)) });
  return times;
}

async function timeQuery(session: Client, sql: string): Promise<{ medianMs: number } | { error: string }> {
  const taken: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    const answer = await askOne(session, `explain (analyze, timing off, buffers off, format json) ${sql}`);
    if ('error' in answer) return answer;
    const [plan] = planSchema.parse(JSON.parse(answer.value));
    taken.push(plan['Planning Time'] + plan['Execution Time']);
  }
  taken.sort((left, right) => left - right);
  return { medianMs: Math.round((taken[runs >> 1] ?? 0) * 1_000) / 1_000 };
}
