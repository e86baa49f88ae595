// The counters of a watch: all in all, and in a sliding window of at most a hundred buckets, small enough for a heartbeat.
import { z } from 'zod';

const stateSchema = z.object({
  samples: z.number().int().nonnegative(),
  errors: z.number().int().nonnegative(),
  /** Oldest first; `at` in milliseconds since 1970. */
  window: z.array(z.object({ at: z.number(), samples: z.number().int(), errors: z.number().int() })),
  slowdownPercent: z.number().optional(),
  slowestQuery: z.string().optional(),
  lastError: z.string().optional(),
});
export type WatchState = z.infer<typeof stateSchema>;

export const initialState: WatchState = { samples: 0, errors: 0, window: [] };
const buckets = 100;

/** A state from the heartbeat of an earlier attempt, or undefined when it is none. */
export function parseState(details: unknown): WatchState | undefined {
  return stateSchema.safeParse(details).data;
}

/** Adds a round of looks and lets go of what is older than the window. */
export function addRound(
  state: WatchState,
  round: { at: number; samples: number; errors: string[] },
  windowMs: number,
): WatchState {
  const { at, samples } = round;
  const errors = round.errors.length;
  const kept = state.window.filter((bucket) => bucket.at > at - windowMs);
  const last = kept.at(-1);
  const window =
    last && at - last.at < windowMs / buckets
      ? [...kept.slice(0, -1), { at: last.at, samples: last.samples + samples, errors: last.errors + errors }]
      : [...kept, { at, samples, errors }];
  const lastError = round.errors[0]?.slice(0, 300) ?? state.lastError;
  return {
    ...state,
    samples: state.samples + samples,
    errors: state.errors + errors,
    window,
    ...(lastError !== undefined && { lastError }),
  };
}

/** Of the whole watch. */
export function errorRateOf({ samples, errors }: WatchState): number {
  return samples === 0 ? 0 : (errors / samples) * 100;
}

/** Of the window alone. */
export function windowRateOf({ window }: WatchState): { samples: number; errors: number; percent: number } {
  const samples = window.reduce((sum, bucket) => sum + bucket.samples, 0);
  const errors = window.reduce((sum, bucket) => sum + bucket.errors, 0);
  return { samples, errors, percent: samples === 0 ? 0 : (errors / samples) * 100 };
}
