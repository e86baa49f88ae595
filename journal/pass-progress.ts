// How far a pass is, in the same words wherever people look: the status, the watch, the Web UI.
import { formatDurationMs } from '../plan/duration';
import type { PassRecord } from './types';

/** "4.8 s" of one that has ended; "under way, 12 of 26 tables done, about 3 s to go" of one that has not. */
export function passProgress({ durationMs, stopped, tables, tablesDone, etaMs }: PassRecord): string {
  if (durationMs !== undefined) return formatDurationMs(durationMs);
  if (stopped) return 'stopped before its end';
  return [
    'under way',
    ...(tablesDone === undefined ? [] : [`${tablesDone} of ${tables} tables done`]),
    ...(etaMs === undefined ? [] : [`about ${formatDurationMs(etaMs)} to go`]),
  ].join(', ');
}
