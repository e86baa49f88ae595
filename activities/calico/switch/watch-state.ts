// The counters of a watch after the switch, small enough for a heartbeat, and what of them is a breach: what cannot be waited out at once,
// what may pass (a node that restarts, a server that is away) when it has lasted too long.
import { z } from 'zod';

const stateSchema = z.object({
  samples: z.number().int().nonnegative(),
  errors: z.number().int().nonnegative(),
  /** By what was looked at: since when it is in trouble without a break (milliseconds since 1970), and how. */
  troubles: z.record(z.string(), z.object({ since: z.number(), what: z.string() })),
});
export type WatchState = z.infer<typeof stateSchema>;

export const initialState: WatchState = { samples: 0, errors: 0, troubles: {} };

/** One look: fine, in trouble that may pass, or something that no waiting mends. */
export interface Look {
  /** "DaemonSet kube-system/calico-node" */
  at: string;
  trouble?: string;
  breach?: string;
}

/** A state from the heartbeat of an earlier attempt, or undefined when it is none. */
export function parseState(details: unknown): WatchState | undefined {
  return stateSchema.safeParse(details).data;
}

export function addLooks(state: WatchState, looks: Look[], nowMs: number): WatchState {
  const bad = looks.filter(({ trouble, breach }) => trouble !== undefined || breach !== undefined);
  const troubles = Object.fromEntries(
    bad.map(({ at, trouble, breach }) => [
      at,
      { since: state.troubles[at]?.since ?? nowMs, what: (trouble ?? breach ?? '').slice(0, 300) },
    ]),
  );
  return { samples: state.samples + looks.length, errors: state.errors + bad.length, troubles };
}

/** One line each; `patienceMs` is how long trouble may last. */
export function breachesOf({ troubles }: WatchState, looks: Look[], nowMs: number, patienceMs: number): string[] {
  const atOnce = looks.flatMap(({ breach }) => (breach === undefined ? [] : [breach]));
  const lasting = looks.flatMap(({ at, trouble }) => {
    const since = troubles[at]?.since ?? nowMs;
    if (trouble === undefined || nowMs - since < patienceMs) return [];
    return [`${at}: ${trouble}, for ${Math.round((nowMs - since) / 1000)} s now`];
  });
  return [...atOnce, ...lasting];
}
