// How many errors there were before the migration: the same probes and the same Prometheus query that the target is watched by later.
import { setTimeout as sleep } from 'node:timers/promises';
import type { BaselineMetrics } from '../../journal/types';
import { parseDurationMs } from '../../plan/duration';
import type { RollbackTriggers } from '../../plan/triggers';
import { probe } from './probes';
import { askPrometheus } from './prometheus';

const rounds = 20;
/** Of the interval of the watch, between two rounds: half a minute all in all where the plan says nothing. */
const shareOfInterval = 1 / 20;
const longestPauseMs = 2_000;
const probeTimeoutMs = 10_000;

/** Nothing of what the plan does not name. Never throws, except the signal's reason when it is aborted. */
export async function measureErrorRate(
  { probes, interval, prometheus }: Pick<RollbackTriggers, 'probes' | 'interval' | 'prometheus'>,
  { environment, signal }: { environment?: NodeJS.ProcessEnv; signal: AbortSignal },
): Promise<Pick<BaselineMetrics, 'probes' | 'prometheusValue'>> {
  const answer = prometheus && (await askPrometheus(prometheus, { environment, signal }));
  const value = answer && 'value' in answer ? { prometheusValue: answer.value } : {};
  if (probes.length === 0) return value;
  const pauseMs = Math.min(longestPauseMs, (parseDurationMs(interval) ?? 0) * shareOfInterval);
  let errors = 0;
  for (let round = 0; round < rounds; round += 1) {
    if (round > 0) await sleep(pauseMs, undefined, { signal });
    const answers = await Promise.all(probes.map((target) => probe(target, probeTimeoutMs, signal)));
    errors += answers.filter(({ ok }) => !ok).length;
  }
  const samples = rounds * probes.length;
  return { ...value, probes: { samples, errors, errorRatePercent: Math.round((errors / samples) * 10_000) / 100 } };
}
