// Whether a freeze that begins now would end in time, by what was measured; and whether another pass is worth making. Pure.
import type { FreezeForecast } from '../../../../journal/types';
import { formatDurationMs } from '../../../../plan/duration';

/** Maintenance mode, the fence and its proof, sequences, the switch: what no measurement covers. */
export const fixedMs = 5_000;
/** A pass that is not smaller than this share of the one before brings nothing more. */
const shrinking = 0.9;
/** Of the limit, for the pass: the next one may be larger, and the proof must find time. */
const shareOfPass = 0.5;

export interface Measured {
  /** Passes of this series in milliseconds, oldest first; at least one. */
  series: number[];
  compareMs: number;
  restMs: number;
  limitMs: number;
  maxPasses: number;
}

export interface Forecast extends Omit<FreezeForecast, 'madeAt'> {
  /** Another pass may bring it nearer. */
  again: boolean;
}

export function forecastFreeze({ series, compareMs, restMs, limitMs, maxPasses }: Measured): Forecast {
  const passMs = series.at(-1) ?? 0;
  const before = series.at(-2);
  const totalMs = passMs + compareMs + restMs + fixedMs;
  const told = { totalMs, passMs, compareMs, restMs: restMs + fixedMs, limitMs };
  const limit = formatDurationMs(limitMs);
  const total = `a freeze would last about ${formatDurationMs(totalMs)}`;
  if (totalMs <= limitMs && passMs <= limitMs * shareOfPass)
    return { ...told, fits: true, again: false, verdict: `${total}, within maxDowntime (${limit})` };

  const misfit = (why: string): Forecast => ({ ...told, fits: false, again: false, verdict: why });
  const withoutPassMs = totalMs - passMs;
  if (withoutPassMs > limitMs)
    return misfit(
      `${total}; ${formatDurationMs(withoutPassMs)} of it, mostly the comparison of every row, no pass can shorten, and maxDowntime is ${limit}: raise maxDowntime, or give the servers more`,
    );
  if (before !== undefined && passMs > before * shrinking)
    return misfit(
      `passes no longer shrink (${formatDurationMs(before)}, then ${formatDurationMs(passMs)}): ${total}, and maxDowntime is ${limit}: wait for less load, index the update columns, or raise maxDowntime`,
    );
  if (series.length >= maxPasses)
    return misfit(
      `after ${series.length} passes (maxPasses) the last one takes ${formatDurationMs(passMs)}: ${total}, and maxDowntime is ${limit}: wait for less load, or raise maxDowntime or maxPasses`,
    );
  return { ...told, fits: false, again: true, verdict: `${total}, maxDowntime is ${limit}: another pass follows` };
}
