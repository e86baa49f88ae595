// What the report of a migration in passes says of them: what each brought, how long it took, and what was predicted of the freeze.
import { heading, paragraph, table, type Block } from '../document';
import { passProgress } from '../pass-progress';
import { betweenMs, formatBytes, formatCount, formatMaybeMs, formatTime } from '../quantities';
import { formatDurationMs } from '../../plan/duration';
import { open, quiet } from '../reading';
import type { FreezeForecast, Journal, PassRecord } from '../types';

/** Nothing for migrations without passes. */
export function passes(journal: Journal): Block[] {
  const { passes: records = [], passesNotListed = 0, forecast } = journal;
  if (records.length === 0) return [];
  return [
    heading('Passes'),
    ...(forecast ? [paragraph(forecastText(journal, forecast))] : []),
    table(
      ['>Pass', 'Why', 'Begun', '>Duration', '>Tables', '>Changed', '>Rows written', '>Rows deleted', '>Size'],
      records.map(row),
    ),
    ...(passesNotListed > 0 ? [paragraph(quiet(`${passesNotListed} passes in between are not listed.`))] : []),
  ];
}

function row(record: PassRecord) {
  const { pass, why, startedAt, durationMs, tables, tablesChanged, rows, deleted, bytes, paused } = record;
  return [
    String(pass),
    why,
    formatTime(startedAt),
    durationMs === undefined
      ? open(passProgress(record))
      : `${formatDurationMs(durationMs)}${paused ? ' (with a pause)' : ''}`,
    String(tables),
    String(tablesChanged),
    formatCount(rows),
    formatCount(deleted),
    formatBytes(bytes),
  ];
}

/** What was expected, and what came of it. */
function forecastText({ downtime }: Journal, forecast: FreezeForecast): string {
  const { totalMs, passMs, compareMs, restMs, madeAt, verdict } = forecast;
  const actual = downtime?.endedAt
    ? ` Writes were stopped for ${formatMaybeMs(downtime.durationMs ?? betweenMs(downtime.startedAt, downtime.endedAt))}.`
    : '';
  return `Predicted at ${formatTime(madeAt)}: ${formatDurationMs(totalMs)} without writes (the last pass ${formatDurationMs(passMs)}, comparing every row ${formatDurationMs(compareMs)}, the rest ${formatDurationMs(restMs)}); ${verdict}.${actual}`;
}
