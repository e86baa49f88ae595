// Whether an object that was read back is what was to be written; exact for 64-bit numbers.
import type { JsonObject } from '../json';
import type { DesiredNode } from './desired';

/** Paths that differ, with both values: `spec.cidr: wanted "10.0.0.0/8", found nothing`. Empty: equal. */
export function differences(_desired: JsonObject, _live: JsonObject): string[] {
  throw new Error('not yet');
}

/** As `differences`, for Calico's annotations on a node; those of others do not count. */
export function nodeDifferences(_desired: DesiredNode, _live: Record<string, string | undefined>): string[] {
  throw new Error('not yet');
}
