// How long a plan's queries take: median of several runs after a warm-up, as a client sees it, answer thrown away.
import { performance } from 'node:perf_hooks';
import type { Client } from 'pg';
import type { NamedQuery } from '../../plan/postgres';
import { askAny } from './plan-query';

const runs = 5;

export type QueryTime = { name: string; medianMs: number } | { name: string; error: string };

/** Times each query in a session with the settings of `planSession`. A query that fails is told with its reason; a lost server is thrown. */
export async function timeQueries(session: Client, queries: NamedQuery[]): Promise<QueryTime[]> {
  const times: QueryTime[] = [];
  for (const { name, sql } of queries) times.push({ name, ...(await timeQuery(session, sql)) });
  return times;
}

async function timeQuery(session: Client, sql: string): Promise<{ medianMs: number } | { error: string }> {
  const warm = await askAny(session, sql);
  if ('error' in warm) return warm;
  const taken: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    const started = performance.now();
    const answer = await askAny(session, sql);
    if ('error' in answer) return answer;
    taken.push(performance.now() - started);
  }
  taken.sort((left, right) => left - right);
  return { medianMs: Math.round((taken[runs >> 1] ?? 0) * 100) / 100 };
}
