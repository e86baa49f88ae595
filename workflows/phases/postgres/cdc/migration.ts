// What the phases of a migration by CDC share on top of every PostgreSQL migration.
import type { ArtifactReference } from '../../../../activities/artifacts/store';
import type { FormerAccess } from '../../../../activities/postgres/fence';
import { writingSide, type Leg, type WritingSide } from '../../../../journal/sides';
import type { Replication } from '../../../../journal/types';
import type { PostgresMigration } from '../migration';

export interface CdcMigration extends PostgresMigration {
  /** How often the writing side has changed. */
  leg: Leg;
  /** The copy group last opened; 0 for none. */
  group: number;
  /** That group is neither closed nor given up. */
  groupOpen: boolean;
  /** Tables of the source, the first twenty, whose replica identity was changed for the streams. */
  identitiesChanged: string[];
  /** How each side was entered before its first fence. */
  access: Partial<Record<WritingSide, FormerAccess>>;
  /** The schema of both sides, against which changes are noticed. */
  fingerprints: Partial<Record<WritingSide, ArtifactReference>>;
  /** Keys that moved too fast to be compared while they stream; for the freeze. */
  pending?: ArtifactReference;
  /** Up to which leg the streams of before are gone, and the publication of the next is there. */
  settledLeg: Leg;
  preparedLeg: Leg;
  /** Tables that a person wants copied again: `schema.table`. */
  recopying: string[];
  /** Such tables have left their streams and do not follow yet. */
  takenOut: boolean;
  /** The side that does not write follows the one that does, and loses nothing. */
  following: boolean;
  /** What the slot guardian last said. */
  guardian?: NonNullable<Replication['guardian']>;
  /** Whether a way back was asked for and is under way. */
  turning: boolean;
}

export function newCdcMigration(migration: PostgresMigration): CdcMigration {
  return Object.assign(migration, {
    leg: 0,
    group: 0,
    groupOpen: false,
    identitiesChanged: [],
    access: {},
    fingerprints: {},
    recopying: [],
    takenOut: false,
    settledLeg: 0,
    preparedLeg: 0,
    following: false,
    turning: false,
  });
}

/** The target is in use: going back means another hand-over. */
export function switched({ leg }: CdcMigration): boolean {
  return writingSide(leg) === 'target';
}
