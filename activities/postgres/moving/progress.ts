// What a heartbeat says of the comparison: by bytes of both sides, since tables are of all sizes. Rows that are looked at again are
// not among them; while they are, `looking` says how many.
import type { Subject } from './subjects';

export interface MovingProgress {
  tablesDone: number;
  tablesTotal: number;
  /** Read on either side; approaches `bytesTotal`. */
  bytesDone: number;
  bytesTotal: number;
  bytesPerSecond?: number;
  etaMs?: number;
  /** The biggest table that is being read. */
  table?: string;
  /** Rows that are being looked at one by one. */
  looking?: number;
}

export function movingProgress(all: Subject[], open: Subject[], report: (progress: MovingProgress) => void) {
  const total = (subjects: Subject[]): number => subjects.reduce((sum, { bytes }) => sum + bytes, 0);
  const started = Date.now();
  const [bytesTotal, bytesOpen] = [total(all), total(open)];
  let read = 0;
  let tablesDone = all.length - open.length;
  let table: string | undefined;
  let looking = 0;
  const say = (): void => {
    const seconds = (Date.now() - started) / 1_000;
    const bytesPerSecond = read > 0 && seconds > 0 ? Math.round(read / seconds) : undefined;
    report({
      tablesDone,
      tablesTotal: all.length,
      bytesDone: bytesTotal - bytesOpen + read,
      bytesTotal,
      ...(bytesPerSecond
        ? { bytesPerSecond, etaMs: Math.round((Math.max(0, bytesOpen - read) / bytesPerSecond) * 1_000) }
        : {}),
      ...(table ? { table } : {}),
      ...(looking > 0 ? { looking } : {}),
    });
  };
  say();
  return {
    begin: (name: string): void => {
      table = name;
      say();
    },
    bytes: (bytes: number): void => {
      read += bytes;
      say();
    },
    looking: (rows: number): void => {
      looking = rows;
      say();
    },
    done: (tables: number): void => {
      tablesDone += tables;
      say();
    },
  };
}
