// The last look before the switch: the tables written most, and the keys that validation left open, compared while nobody writes.
import type { ValidationRecord } from '../../../journal/types';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import type { PostgresScope } from '../scope';
import type { Part } from './freeze';
import type { Leg } from './names';

export interface ComparedUnderFence {
  records: ValidationRecord[];
  /** Tables that differ or could not be compared. */
  unequal: number;
  parts: Part[];
}

export function createHotActivities(dependencies: PostgresDependencies) {
  void dependencies;
  return {
    compareUnderFence: async (request: {
      scope: PostgresScope;
      leg: Leg;
      budgetBytes: number;
      pending?: ArtifactReference;
    }): Promise<ComparedUnderFence> => {
      void request;
      return Promise.reject(new Error('not yet'));
    },
  };
}

export type HotActivities = ReturnType<typeof createHotActivities>;
