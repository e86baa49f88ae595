// Names of everything that CDC makes on the two servers. Slots carry no comment, so the name must say whose it is; publication, slot,
// subscription and marker table of one stream share it. At most 63 bytes, lower case, digits and underscores: no quoting needed.
import { createHash } from 'node:crypto';
import { otherSide, writingSide, type Leg, type WritingSide } from '../../../journal/sides';
import { ledgerSchema } from '../scope';

export { otherSide, writingSide, type Leg, type WritingSide };

export interface Stream {
  /** Of publication, slot and subscription: `cutover_1f3a5c7e90_g1`. */
  name: string;
  /** Table in the schema `cutover` on both sides, whose one row goes through the stream: `marker_1f3a5c7e90_g1`. */
  marker: string;
  from: WritingSide;
  to: WritingSide;
}

/** Ten hex digits of the migration's id. */
export function migrationKey(migration: string): string {
  return createHash('sha256').update(migration).digest('hex').slice(0, 10);
}

/** What the names of a migration's slots, publications and subscriptions begin with. */
export function streamPrefix(migration: string): string {
  return `${ledgerSchema}_${migrationKey(migration)}_`;
}

/** The stream of one copy group, from 1. */
export function groupStream(migration: string, group: number): Stream {
  return streamNamed(migration, `g${group}`, 'source');
}

/** The one stream of a leg from 1 on. */
export function legStream(migration: string, leg: Leg): Stream {
  return streamNamed(migration, `l${leg}`, writingSide(leg));
}

/** The small stream with which the turn to a leg is tried beforehand. */
export function trialStream(migration: string, leg: Leg): Stream {
  return streamNamed(migration, `try${leg}`, writingSide(leg));
}

function streamNamed(migration: string, suffix: string, from: WritingSide): Stream {
  return {
    name: `${streamPrefix(migration)}${suffix}`,
    marker: `marker_${migrationKey(migration)}_${suffix}`,
    from,
    to: otherSide(from),
  };
}
