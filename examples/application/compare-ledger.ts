// Looks every acknowledged write of a ledger up in the database that won.
// A write is there when `shop.audit_log` holds its note exactly once and its order is in the state the writes left it in.
import type { Client } from 'pg';
import { readLedger, type LedgerEntry, type Side, type WriteKind } from './ledger';

const batchSize = 5_000;

export interface LedgerComparison {
  /** Writes that the database acknowledged. */
  acknowledged: number;
  bySide: Record<Side, number>;
  /** One line each, naming write and order: the note, the order or its cancellation is not there, or a deleted order is back. */
  missing: string[];
  /** One line each: the note or the order is there more than once. */
  doubled: string[];
  /** Writes whose COMMIT got no answer: they may be there or not. */
  unknown: number;
  /** Every change of side: milliseconds from the last acknowledged write on the old to the first on the new. */
  switches: { from: Side; to: Side; at: number; freezeMs: number }[];
  /** Of the last switch. */
  freezeMs?: number;
  /** Longest time between two acknowledged writes, switches included. */
  longestPauseMs: number;
}

interface ExpectedOrder {
  last: LedgerEntry;
  /** False once a write of unknown outcome has touched it: any state is right then. */
  known: boolean;
}

/**
 * @param client a session on the winning database that may read `shop.audit_log` and `shop.orders`
 * @param options.sides only these sides' writes count; for a rollback that gave up the target's writes: `['source']`
 */
export async function compareLedger(
  ledgerPath: string,
  client: Client,
  options: { sides?: Side[] } = {},
): Promise<LedgerComparison> {
  const sides = options.sides ?? ['source', 'target'];
  const result: LedgerComparison = {
    acknowledged: 0,
    bySide: { source: 0, target: 0 },
    missing: [],
    doubled: [],
    unknown: 0,
    switches: [],
    longestPauseMs: 0,
  };
  const orders = new Map<string, ExpectedOrder>();
  let batch: LedgerEntry[] = [];
  let previous: LedgerEntry | undefined;
  for await (const entry of readLedger(ledgerPath)) {
    if (!sides.includes(entry.side)) continue;
    if (entry.outcome === 'unknown') {
      result.unknown += 1;
      orders.set(entry.order, { last: entry, known: false });
      continue;
    }
    result.acknowledged += 1;
    result.bySide[entry.side] += 1;
    measurePause(result, previous, entry);
    previous = entry;
    orders.set(entry.order, { last: entry, known: orders.get(entry.order)?.known ?? true });
    batch.push(entry);
    if (batch.length < batchSize) continue;
    await compareNotes(client, batch, result);
    batch = [];
  }
  await compareNotes(client, batch, result);
  await compareOrders(client, [...orders.values()], result);
  const freezeMs = result.switches.at(-1)?.freezeMs;
  return freezeMs === undefined ? result : { ...result, freezeMs };
}

function measurePause(result: LedgerComparison, previous: LedgerEntry | undefined, entry: LedgerEntry): void {
  if (!previous) return;
  const pauseMs = entry.at - previous.at;
  result.longestPauseMs = Math.max(result.longestPauseMs, pauseMs);
  if (previous.side !== entry.side) {
    result.switches.push({ from: previous.side, to: entry.side, at: entry.at, freezeMs: pauseMs });
  }
}

async function compareNotes(client: Client, batch: LedgerEntry[], result: LedgerComparison): Promise<void> {
  if (batch.length === 0) return;
  const { rows } = await client.query<{ write: string; notes: string }>(
    `select write_id::text as write, count(*)::text as notes
     from shop.audit_log where write_id = any ($1::uuid[]) group by write_id`,
    [batch.map(({ write }) => write)],
  );
  const notes = new Map(rows.map((row) => [row.write, Number(row.notes)]));
  for (const entry of batch) {
    const found = notes.get(entry.write) ?? 0;
    if (found === 0) result.missing.push(`${describe(entry)}: not in shop.audit_log`);
    if (found > 1) result.doubled.push(`${describe(entry)}: ${found} times in shop.audit_log`);
  }
}

async function compareOrders(client: Client, orders: ExpectedOrder[], result: LedgerComparison): Promise<void> {
  for (let first = 0; first < orders.length; first += batchSize) {
    const batch = orders.slice(first, first + batchSize);
    const { rows } = await client.query<{ order: string; found: string; cancelled: string }>(
      `select reference::text as order, count(*)::text as found,
         (count(*) filter (where status = 'cancelled'))::text as cancelled
       from shop.orders where reference = any ($1::uuid[]) group by reference`,
      [batch.map(({ last }) => last.order)],
    );
    const states = new Map(rows.map((row) => [row.order, row]));
    for (const { last, known } of batch) {
      const state = states.get(last.order);
      const found = Number(state?.found ?? 0);
      if (found > 1) result.doubled.push(`${describe(last)}: ${found} times in shop.orders`);
      const wrong = known ? whatIsWrong(last.kind, found, Number(state?.cancelled ?? 0)) : undefined;
      if (wrong) result.missing.push(`${describe(last)}: ${wrong}`);
    }
  }
}

function whatIsWrong(lastWrite: WriteKind, found: number, cancelled: number): string | undefined {
  switch (lastWrite) {
    case 'create':
      return found === 0 ? 'not in shop.orders' : undefined;
    case 'cancel':
      if (found === 0) return 'not in shop.orders';
      return cancelled === 0 ? 'not cancelled in shop.orders' : undefined;
    case 'delete':
      return found > 0 ? 'deleted, but in shop.orders' : undefined;
  }
}

function describe({ kind, order, write, seq, side }: LedgerEntry): string {
  return `${kind} of order ${order} (write ${write}, line ${seq}, ${side})`;
}
