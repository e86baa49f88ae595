// Passes in the status of a migration that is brought up in them: the last ones, what each lane does, why one waits, and how long a freeze would be.
import { passProgress } from '../journal/pass-progress';
import { formatBytes, formatCount } from '../journal/quantities';
import type { MigrationStatus } from '../workflows/messages';
import type { RunningActivity } from './migration';
import { plainText, type Colors } from './output';

/** Passes shown; older ones are counted only. */
const passesShown = 4;

/** A lane of a pass, as it last reported itself. */
interface PassLane {
  lane: number;
  /** None between two tables. */
  table?: string;
  /** Committed, and of the table under way; of the COPY streams. */
  bytes: number;
  bytesInFlight: number;
  bytesPerSecond: number;
  /** Tables that this lane has brought. */
  tables: number;
  /** The source is under pressure. */
  waiting?: string;
}

/** Whether a running activity says that it is one. */
export function isPassLane(progress: unknown): progress is PassLane {
  if (typeof progress !== 'object' || progress === null) return false;
  const numbers = ['lane', 'tables', 'bytes', 'bytesInFlight', 'bytesPerSecond'];
  return (
    'deleted' in progress && numbers.every((name) => typeof (progress as Record<string, unknown>)[name] === 'number')
  );
}

/** Nothing for migrations without passes, and once it has ended. */
export function passLines(
  { passes = [], passesNotListed = 0, forecast, outcome }: MigrationStatus,
  activities: RunningActivity[],
  { colors }: { colors: Colors },
): string[] {
  const last = passes.at(-1);
  if (!last || outcome) return [];
  const before = passes.length + passesNotListed - passesShown;
  const lanes =
    last.durationMs === undefined ? activities.flatMap(({ progress }) => (isPassLane(progress) ? [progress] : [])) : [];
  return [
    '',
    ...(before > 0 ? [colors.dim(`  … ${before} passes before`)] : []),
    ...passes
      .slice(-passesShown)
      .map(
        (pass) =>
          `  pass ${pass.pass}  ${pass.durationMs === undefined ? colors.cyan(passProgress(pass)) : passProgress(pass)}  ${formatCount(pass.rows)} rows written, ${formatCount(pass.deleted)} deleted, in ${pass.tablesChanged} of ${pass.tables} tables  ${colors.dim(plainText(pass.why))}`,
      ),
    ...lanes
      .sort((left, right) => left.lane - right.lane)
      .map(
        ({ lane, table, bytes, bytesInFlight, bytesPerSecond, tables, waiting }) =>
          `      lane ${lane + 1}  ${plainText(table ?? 'between two tables')}  ${colors.dim(`${formatBytes(bytes + bytesInFlight)}, ${formatBytes(bytesPerSecond)}/s, ${tables} tables`)}${waiting === undefined ? '' : colors.yellow(`  waits: ${plainText(waiting)}`)}`,
      ),
    ...(forecast ? [`  ${forecast.fits ? forecast.verdict : colors.yellow(forecast.verdict)}`] : []),
  ];
}
