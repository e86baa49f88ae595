// The second half of a dual write: what the active side has acknowledged is repeated on the other one.
// Contract: never throws, and the customer never hears of it: what the other side does not take is counted, and left to whoever reconciles.
// A writer repeats its write before it begins the next one, so the writes of one order, which only its writer changes, arrive in their order;
// rows that many writers change carry a version, and an older one never overwrites a newer one (`repeatWrite`).
import { DatabaseError, type Pool } from 'pg';
import type { Faults } from './faults';
import { repeatWrite } from './repeat-write';
import { messageOf } from './sides';
import type { Written } from './write-order';

/**
 * Deadlock, serialization failure, and a key that is there although ON CONFLICT did not see it: the row was being changed at that moment, and it
 * has other unique indexes than the one looked at. Nothing was written, and the next attempt is another one.
 */
const passing = /^(40P01|40001|23505)$/;
const attempts = 5;
/** SQLSTATEs of a side that is not there, or takes no session: no word on the write. */
const notThere = /^(08|28|3D|53|57)/;
/** A side that is not there is asked again so often, by one writer alone: the others go on. */
const askAgainMs = 500;

export interface RepeatCounts {
  repeated: number;
  failedRepeats: number;
  lastFailure?: { at: number; message: string };
}

export class Repeats {
  readonly counts: RepeatCounts;
  /** Present while the other side is not there. */
  private away?: { askAt: number; message: string };

  /**
   * @param failedBefore repeats that are known to have failed before the application was started
   * @param remember told each new number of failed repeats
   */
  constructor(
    failedBefore: number,
    private readonly remember: (failedRepeats: number) => void,
    readonly faults: Faults,
  ) {
    this.counts = { repeated: 0, failedRepeats: failedBefore };
  }

  async repeat(pool: Pool, { outcome, rows }: Written): Promise<void> {
    try {
      if (outcome === 'unknown')
        throw new Error('the active side gave no answer to COMMIT, so there is nothing to repeat');
      if (rows === undefined) throw new Error('the write gave no rows');
      await this.faults.beforeRepeat();
      await this.make(pool, rows);
      this.counts.repeated += 1;
    } catch (error) {
      this.fail(error);
    }
  }

  /** Counts a repeat that was not made. */
  fail(error: unknown): void {
    this.counts.failedRepeats += 1;
    this.counts.lastFailure = { at: Date.now(), message: messageOf(error) };
    this.remember(this.counts.failedRepeats);
  }

  private async make(pool: Pool, rows: string): Promise<void> {
    const { away } = this;
    if (away) {
      if (performance.now() < away.askAt) throw new Error(`not tried: ${away.message}`);
      away.askAt = Infinity;
    }
    try {
      await attempt(pool, rows);
      this.away = undefined;
    } catch (error) {
      this.away = isAnswer(error) ? undefined : { askAt: performance.now() + askAgainMs, message: messageOf(error) };
      throw error;
    }
  }
}

async function attempt(pool: Pool, rows: string): Promise<void> {
  for (let left = attempts; ; left -= 1) {
    const client = await pool.connect();
    try {
      await repeatWrite(client, rows);
      client.release();
      return;
    } catch (error) {
      client.release(!isAnswer(error));
      if (left > 1 && error instanceof DatabaseError && passing.test(error.code ?? '')) continue;
      throw error;
    }
  }
}

/** PostgreSQL has looked at the statement, and its session can be used again. */
function isAnswer(error: unknown): boolean {
  return error instanceof DatabaseError && !notThere.test(error.code ?? '');
}
