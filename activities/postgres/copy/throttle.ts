// A token bucket for one lane: bytes flow at the rate that was set last, in small portions, and a lane that waits can still be ended.
import { setTimeout as sleep } from 'node:timers/promises';

/** Tokens for this long may be saved up: short stalls are caught up, long ones are not. */
const burstSeconds = 0.25;
/** A new rate is noticed after this, even by a lane that is waiting under an old one. */
const napMs = 250;

export class Throttle {
  private bytesPerSecond = 0;
  private tokens = 0;
  private refilledAt = performance.now();

  /** 0 is without a limit. */
  limit(bytesPerSecond: number): void {
    this.refill();
    this.bytesPerSecond = bytesPerSecond;
    this.tokens = Math.min(this.tokens, bytesPerSecond * burstSeconds);
  }

  /** Takes the bytes that have passed; a promise when the next must wait. */
  take(bytes: number, signal?: AbortSignal): Promise<void> | undefined {
    if (this.bytesPerSecond === 0) return undefined;
    this.refill();
    this.tokens -= bytes;
    return this.tokens < 0 ? this.wait(signal) : undefined;
  }

  private async wait(signal?: AbortSignal): Promise<void> {
    while (this.bytesPerSecond > 0 && this.tokens < 0 && !signal?.aborted) {
      await sleep(Math.min(napMs, Math.ceil((-this.tokens / this.bytesPerSecond) * 1_000)));
      this.refill();
    }
  }

  private refill(): void {
    const now = performance.now();
    this.tokens = Math.min(
      this.bytesPerSecond * burstSeconds,
      this.tokens + ((now - this.refilledAt) / 1_000) * this.bytesPerSecond,
    );
    this.refilledAt = now;
  }
}
