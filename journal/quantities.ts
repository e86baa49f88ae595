// Numbers, sizes, rates and times as people read them. Pure and without locale, so that a replay gives the same text everywhere.
import { formatDurationMs } from '../plan/duration';

const units = ['bytes', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

/** "1204113" -> "1 204 113". Text that is no whole number passes as it is. */
export function formatCount(count: string | number): string {
  const text = String(count);
  return /^-?\d+$/.test(text) ? text.replaceAll(/\B(?=(\d{3})+$)/g, ' ') : text;
}

/** 536870912 -> "512 MB"; units of 1024 as `pg_size_pretty` has them. */
export function formatBytes(bytes: number): string {
  let amount = bytes;
  let unit = 0;
  while (Math.abs(amount) >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || amount >= 100 ? 0 : amount >= 10 ? 1 : 2;
  return `${amount.toFixed(digits)} ${units[unit]}`;
}

/** Bytes in milliseconds -> "87.3 MB/s"; a dash when no time was measured. */
export function formatRate(bytes: number, durationMs: number | undefined): string {
  return durationMs === undefined || durationMs <= 0 ? '–' : `${formatBytes((bytes * 1_000) / durationMs)}/s`;
}

/** A duration, or a dash when there is none yet. */
export function formatMaybeMs(durationMs: number | undefined): string {
  return durationMs === undefined ? '–' : formatDurationMs(durationMs);
}

/** "2026-11-21T08:04:05.123Z" -> "2026-11-21 08:04:05 UTC"; a dash when there is none yet. */
export function formatTime(iso: string | undefined): string {
  if (iso === undefined) return '–';
  const match = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z$/.exec(iso);
  return match ? `${match[1]} ${match[2]} UTC` : iso;
}

/** From one ISO time to another, in milliseconds; undefined when one of them is missing or no time. */
export function betweenMs(start: string | undefined, end: string | undefined): number | undefined {
  if (start === undefined || end === undefined) return undefined;
  const difference = Date.parse(end) - Date.parse(start);
  return Number.isFinite(difference) ? difference : undefined;
}

/** "1 table", "3 tables": `plural(3, 'table')`. */
export function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}
