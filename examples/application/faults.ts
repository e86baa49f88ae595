// Faults that a test or a demo asks for: repeats that are not made, and repeats that come late. None unless asked.
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';

const percent = z.number().min(0).max(100).default(0);

/** The body of `POST /admin/faults`. What it leaves out is off. */
export const faultsSchema = z.strictObject({
  /** Of a hundred repeats, so many are not made. */
  failRepeatsPercent: percent,
  /** Of a hundred repeats, so many are made `lateMs` later. */
  lateRepeatsPercent: percent,
  lateMs: z.number().int().min(0).max(10_000).default(200),
  /** The same seed draws the same numbers. */
  seed: z.number().int().optional(),
});
export type FaultSettings = z.infer<typeof faultsSchema>;

export class InjectedFault extends Error {
  override readonly name = 'InjectedFault';
}

export class Faults {
  private settings?: FaultSettings;
  private draw: () => number = Math.random;

  /** From the next repeat on; replaces what was set before. */
  set(settings: FaultSettings): void {
    this.settings = settings;
    this.draw = settings.seed === undefined ? Math.random : drawsOf(settings.seed);
  }

  /** Before a repeat. @throws InjectedFault when it is not to be made */
  async beforeRepeat(): Promise<void> {
    if (!this.settings) return;
    const { failRepeatsPercent, lateRepeatsPercent, lateMs } = this.settings;
    const [fails, late] = [this.draw() * 100 < failRepeatsPercent, this.draw() * 100 < lateRepeatsPercent];
    if (late) await sleep(lateMs);
    if (fails) throw new InjectedFault('not made: a fault that was asked for');
  }
}

/** Mulberry32: numbers from 0 to 1. */
function drawsOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
