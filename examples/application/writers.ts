// Writers that never give up: W of them, each writing one order after the other to the active database, at a rate over all.
// Contract: after `pause()` no write is in flight, no repeat of one either, and none is acknowledged until `resume()`. While the database refuses, one writer asks
// it again every few milliseconds and the others wait for that one: writing goes on at once when it may, without a storm of logins.
import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { Ledger, Side, WriteKind } from './ledger';
import { OrderGone, writeOrder, type Written } from './write-order';

const askAgainMs = 10;
/** What a timer may be late by is made up for; a freeze is not. */
const mostBehindMs = 20;
/** A wait shorter than a timer can be is no wait. */
const shortestWaitMs = 1;
/** Orders that a writer may still cancel or delete. */
const rememberedOrders = 50;

/** Where a write goes. */
export interface Destination {
  side: Side;
  pool: Pool;
  /** Repeats it on the other side, where it is to be repeated. Never throws. */
  repeat?: (written: Written) => Promise<void>;
}

export interface WriterOptions {
  writers: number;
  /** Writes a second over all writers; 0 is as fast as they can. */
  rate: number;
  /** Where the next write goes: asked at its beginning, and so it remains for the whole of it. */
  active: () => Destination;
  ledger: Ledger;
}

export interface WriteCounts {
  acknowledged: number;
  failed: number;
  unknown: number;
  lastAcknowledgedAt?: number;
  lastFailure?: { at: number; message: string };
  /** Where the last acknowledged write went. */
  side?: Side;
  /** The last change of side: milliseconds from the last write acknowledged on the old to the first on the new. */
  lastSwitch?: { from: Side; to: Side; freezeMs: number };
}

export class Writers {
  readonly counts: WriteCounts = { acknowledged: 0, failed: 0, unknown: 0 };
  private readonly inFlight = new Set<Promise<void>>();
  private readonly running: Promise<void>[];
  private readonly stopped = new AbortController();
  /** Present while paused; settles on `resume` or `stop`. */
  private closed: Latch | undefined;
  /** Present while the database refuses; opens with the first write that it takes again. */
  private refused: Latch | undefined;

  constructor(
    private readonly options: WriterOptions,
    paused: boolean,
  ) {
    setMaxListeners(0, this.stopped.signal);
    if (paused) this.close();
    this.running = Array.from({ length: options.writers }, (_, writer) => this.write(writer));
  }

  /** Resolves when every write in flight has been acknowledged or has failed. Any number of calls may wait. */
  async pause(): Promise<void> {
    this.close();
    await this.settle();
  }

  /** Resolves when every write that is in flight now has ended, and its repeat with it. Others begin meanwhile. */
  async settle(): Promise<void> {
    await Promise.all(this.inFlight);
  }

  resume(): void {
    this.closed?.open();
    this.closed = undefined;
  }

  /** Ends for good, after the writes in flight. */
  async stop(): Promise<void> {
    this.stopped.abort();
    this.resume();
    this.goOn();
    await Promise.all(this.running);
  }

  private close(): void {
    this.closed ??= latch();
  }

  private isOver(): boolean {
    return this.stopped.signal.aborted;
  }

  /** Those who wait for the database to take writes again. */
  private goOn(): void {
    this.refused?.open();
    this.refused = undefined;
  }

  private async write(writer: number): Promise<void> {
    const { rate, writers } = this.options;
    const intervalMs = rate > 0 ? (writers * 1_000) / rate : 0;
    const remembered: string[] = [];
    let dueAt = performance.now() + (intervalMs * writer) / writers;
    let asking: Latch | undefined;
    for (;;) {
      await this.wait(dueAt - performance.now());
      if (this.isOver()) return;
      if (this.closed) {
        await this.closed.opened;
        continue;
      }
      // Nothing is awaited between the look at `closed` and this line: a write is in flight before anyone can pause.
      const written = this.writeOnce(writer, remembered);
      const settled = written.then(() => undefined);
      this.inFlight.add(settled);
      const wentWell = await written;
      this.inFlight.delete(settled);
      if (wentWell || this.isOver()) this.goOn();
      else if (this.refused && this.refused !== asking) await this.refused.opened;
      else {
        this.refused ??= latch();
        asking = this.refused;
        await this.wait(askAgainMs);
      }
      // Behind the rate, it goes on from now: no burst after a freeze.
      dueAt = Math.max(dueAt + intervalMs, performance.now() - mostBehindMs);
    }
  }

  private async wait(durationMs: number): Promise<void> {
    if (durationMs >= shortestWaitMs)
      await sleep(durationMs, undefined, { signal: this.stopped.signal }).catch(() => undefined);
  }

  /** One write, counted and in the ledger. Never throws: a database that refuses is what an application must live with. */
  private async writeOnce(writer: number, remembered: string[]): Promise<boolean> {
    const { side, pool, repeat } = this.options.active();
    const kind = chooseKind(remembered.length);
    const order = kind === 'create' ? randomUUID() : (remembered[0] ?? randomUUID());
    const write = randomUUID();
    try {
      const client = await pool.connect();
      let written: Written;
      try {
        written = await writeOrder(client, { kind, order, write, withRows: repeat !== undefined });
        client.release(written.outcome === 'unknown');
      } catch (error) {
        // The session may be in any state: it is closed, which rolls back.
        client.release(true);
        throw error;
      }
      const { outcome } = written;
      const at = performance.timeOrigin + performance.now();
      this.options.ledger.append({ writer, kind, outcome, write, order, at, side });
      this.remember(remembered, kind, order, outcome);
      if (outcome === 'unknown') this.counts.unknown += 1;
      else {
        this.noteSwitch(side, at);
        this.counts.acknowledged += 1;
        this.counts.lastAcknowledgedAt = at;
      }
      // Its customer has the answer already. Before the next write of this writer, so that the writes of an order are repeated in their order.
      await repeat?.(written);
      return outcome === 'acknowledged';
    } catch (error) {
      if (error instanceof OrderGone) remembered.shift();
      this.counts.failed += 1;
      this.counts.lastFailure = { at: Date.now(), message: error instanceof Error ? error.message : String(error) };
      return false;
    }
  }

  private noteSwitch(to: Side, at: number): void {
    const { side: from, lastAcknowledgedAt } = this.counts;
    this.counts.side = to;
    if (from === undefined || from === to || lastAcknowledgedAt === undefined) return;
    this.counts.lastSwitch = { from, to, freezeMs: Math.round((at - lastAcknowledgedAt) * 10) / 10 };
  }

  private remember(remembered: string[], kind: WriteKind, order: string, outcome: string): void {
    if (kind !== 'create') remembered.shift();
    else if (outcome === 'acknowledged') remembered.push(order);
  }
}

/** Something to wait for until somebody opens it. */
interface Latch {
  opened: Promise<void>;
  open: () => void;
}

function latch(): Latch {
  let settle = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    settle = resolve;
  });
  return { opened, open: settle };
}

/** One order in eight is cancelled later and one in eight deleted, once some fifty more have been placed. */
function chooseKind(remembered: number): WriteKind {
  if (remembered < rememberedOrders) return 'create';
  const chance = Math.random();
  if (chance < 0.3) return 'cancel';
  return chance < 0.6 ? 'delete' : 'create';
}
