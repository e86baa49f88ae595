// What the phases of every migration share, whatever it moves: who carries it out, and what its ending has to tell.
import type { ArtifactReference } from '../../activities/artifacts/store';
import type { Runbook } from '../runbook';

export interface Migration {
  runbook: Runbook;
  plan: { name: string; monitor: string; retainSource: string };
  scope: { migration: string };
  /** All tables with rows, bytes and digests, as JSON. */
  tables?: ArtifactReference;
  /** What was moved: rows, or objects. A count, as text. */
  rows?: string;
  /** Of earlier freezes that were given up, in milliseconds. */
  earlierDowntimeMs: number;
  /** Compensations of earlier attempts that a person gave up. */
  givenUp: string[];
}

/** A step that cannot have been skipped gives its result; a phase that needs what another left out is a defect. */
export function needed<Value>(value: Value | undefined, what: string): Value {
  if (value === undefined) throw new Error(`${what} is not there: an earlier phase did not run`);
  return value;
}
