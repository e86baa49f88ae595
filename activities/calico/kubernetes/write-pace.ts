// How fast all writers of a connection together may go: a limit that the plan sets, and what the apiserver itself asks for. After each
// "too many requests" everybody waits as long as it says, and only half as many write at the same time; then their number grows again.
import { setTimeout as sleep } from 'node:timers/promises';

/** Complaints within it are one: they came from requests that were under way together. */
const complaintMs = 1_000;

/** Of the writes at the same time, for each that is done: slow, as each time it is too many everybody has to pause. */
const growth = 1 / 100;

export class WritePace {
  private perSecond = 0;
  /** When the next write may begin, by the limit. */
  private nextAt = 0;
  private pausedUntil = 0;
  private running = 0;
  private allowed = Number.POSITIVE_INFINITY;
  private complainedAt = 0;
  private readonly waiting: (() => void)[] = [];

  /** 0: without a limit. */
  limit(perSecond: number): void {
    this.perSecond = perSecond;
    this.nextAt = 0;
  }

  /** Runs one write when its turn has come. */
  async run<Result>(write: () => Promise<Result>): Promise<Result> {
    while (this.running >= Math.max(1, Math.floor(this.allowed))) {
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    this.running += 1;
    try {
      await this.untilTurn();
      return await write();
    } finally {
      this.running -= 1;
      this.allowed += growth;
      for (let free = Math.floor(this.allowed) - this.running; free > 0 && this.waiting.length > 0; free -= 1) {
        this.waiting.shift()?.();
      }
    }
  }

  /** The apiserver has asked for a pause. */
  slowDown(pauseMs: number): void {
    const now = Date.now();
    this.pausedUntil = Math.max(this.pausedUntil, now + pauseMs);
    if (now - this.complainedAt < complaintMs) return;
    this.complainedAt = now;
    this.allowed = Math.max(1, Math.floor(Math.min(this.allowed, this.running) / 2));
  }

  /** Ends when no pause is on; readers wait for this only. */
  async untilCalm(): Promise<void> {
    for (let wait = this.pausedUntil - Date.now(); wait > 0; wait = this.pausedUntil - Date.now()) await sleep(wait);
  }

  private async untilTurn(): Promise<void> {
    await this.untilCalm();
    if (this.perSecond === 0) return;
    const now = Date.now();
    const at = Math.max(now, this.nextAt);
    this.nextAt = at + 1_000 / this.perSecond;
    if (at > now) await sleep(at - now);
  }
}
