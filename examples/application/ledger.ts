// The ledger of the demo application: every write that the database acknowledged, one JSON line each, in a local file.
// Compared with a database afterwards it is the test that a migration lost nothing and did nothing twice.
import { closeSync, createReadStream, existsSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';

export type Side = 'source' | 'target';
export type WriteKind = 'create' | 'cancel' | 'delete';

export interface LedgerEntry {
  seq: number;
  writer: number;
  kind: WriteKind;
  /** `unknown`: the connection was lost during COMMIT, so nobody can say; never counted as missing. */
  outcome: 'acknowledged' | 'unknown';
  /** Noted by the write itself in `shop.audit_log`. */
  write: string;
  /** `shop.orders.reference`. */
  order: string;
  /** When COMMIT was acknowledged: milliseconds since the epoch, with fractions. */
  at: number;
  side: Side;
}

/** Appends synchronously: when `append` returns, the line is in the file, whatever becomes of the process. */
export class Ledger {
  private readonly file: number;
  private seq: number;

  constructor(readonly path: string) {
    this.seq = existsSync(path) ? lastSeq(path) : 0;
    this.file = openSync(path, 'a');
  }

  append(entry: Omit<LedgerEntry, 'seq'>): void {
    this.seq += 1;
    writeSync(this.file, `${JSON.stringify({ seq: this.seq, ...entry })}\n`);
  }

  close(): void {
    closeSync(this.file);
  }
}

/** Goes on after the last whole line; a torn one (the process was killed while writing) is cut off from what follows. */
function lastSeq(path: string): number {
  const file = openSync(path, 'r+');
  try {
    const { size } = fstatSync(file);
    const tail = Buffer.alloc(Math.min(size, 4_096));
    readSync(file, tail, 0, tail.length, size - tail.length);
    const text = tail.toString('utf8');
    if (size > 0 && !text.endsWith('\n')) writeSync(file, '\n', size);
    return text.split('\n').reduce((seq, line) => Math.max(seq, parseEntry(line)?.seq ?? 0), 0);
  } finally {
    closeSync(file);
  }
}

/** Undefined for a torn line: its write was acknowledged by the database, but the application never got to know. */
function parseEntry(line: string): LedgerEntry | undefined {
  try {
    const entry: unknown = JSON.parse(line);
    return isEntry(entry) ? entry : undefined;
  } catch {
    return undefined;
  }
}

function isEntry(value: unknown): value is LedgerEntry {
  return value !== null && typeof value === 'object' && 'seq' in value && 'write' in value && 'order' in value;
}

/** The entries in the order of writing. */
export async function* readLedger(path: string): AsyncGenerator<LedgerEntry> {
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    const entry = parseEntry(line);
    if (entry) yield entry;
  }
}

export { compareLedger, type LedgerComparison } from './compare-ledger';
