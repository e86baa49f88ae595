// The counters of a watch: all in all, in a sliding window of at most a hundred buckets, and for each trigger; small enough for a heartbeat.
import { z } from 'zod';
import type { TriggerRecord } from '../../journal/types';

const triggerNames = ['slowdown', 'prometheus', 'integrity', 'smoke'] as const satisfies TriggerRecord['name'][];

const triggerSchema = z.object({
  looks: z.number().int().nonnegative(),
  bad: z.number().int().nonnegative(),
  unknown: z.number().int().nonnegative(),
  /** Bad looks one after the other; one that could not be made neither adds to them nor ends them. */
  inARow: z.number().int().nonnegative(),
  last: z.string().optional(),
});

const stateSchema = z.object({
  samples: z.number().int().nonnegative(),
  errors: z.number().int().nonnegative(),
  /** Oldest first; `at` in milliseconds since 1970. */
  window: z.array(z.object({ at: z.number(), samples: z.number().int(), errors: z.number().int() })),
  slowdownPercent: z.number().optional(),
  lastError: z.string().optional(),
  triggers: z.partialRecord(z.enum(triggerNames), triggerSchema).optional(),
});
export type WatchState = z.infer<typeof stateSchema>;

export const initialState: WatchState = { samples: 0, errors: 0, window: [] };
const buckets = 100;
const longestText = 300;

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
  const lastError = round.errors[0]?.slice(0, longestText) ?? state.lastError;
  return {
    ...state,
    samples: state.samples + samples,
    errors: state.errors + errors,
    window,
    ...(lastError !== undefined && { lastError }),
  };
}

/** What one look of a trigger came to. */
export interface LookOutcome {
  /** `unknown`: it could not be looked. */
  verdict: 'fine' | 'bad' | 'unknown';
  /** One line: the figure, or what is wrong. */
  said: string;
}

/** Adds one look of a trigger; its samples and errors are a round of their own. */
export function addLook(state: WatchState, name: TriggerRecord['name'], { verdict, said }: LookOutcome): WatchState {
  const { looks, bad, unknown, inARow } = state.triggers?.[name] ?? { looks: 0, bad: 0, unknown: 0, inARow: 0 };
  const trigger = {
    looks: looks + 1,
    bad: bad + (verdict === 'bad' ? 1 : 0),
    unknown: unknown + (verdict === 'unknown' ? 1 : 0),
    inARow: verdict === 'unknown' ? inARow : verdict === 'bad' ? inARow + 1 : 0,
    last: said.slice(0, longestText),
  };
  return { ...state, triggers: { ...state.triggers, [name]: trigger } };
}

/** Every trigger that looked, and whether it was bad so many times in a row. */
export function triggersOf({ triggers = {} }: WatchState, breachesNeeded: number): TriggerRecord[] {
  return triggerNames.flatMap((name) => {
    const trigger = triggers[name];
    if (!trigger) return [];
    const { inARow, ...counted } = trigger;
    return [{ name, ...counted, breached: inARow >= breachesNeeded }];
  });
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
