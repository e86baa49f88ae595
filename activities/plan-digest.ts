// One number for a plan: the same for plans that mean the same, whatever the order of their fields.
import { createHash } from 'node:crypto';

/** sha256 of the plan with its defaults, as JSON with sorted keys; hex. */
export function digestOf(plan: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify(sorted(plan)))
    .digest('hex');
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}
