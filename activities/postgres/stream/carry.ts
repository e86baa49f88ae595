// What no stream carries, carried under the fence: sequences, unlogged tables, large objects, materialized views.
import type { PostgresDependencies } from '../../dependencies';
import type { PostgresScope } from '../scope';
import type { Part } from './freeze';
import type { Leg } from './names';

export interface CarriedUnderFence {
  sequences: number;
  /** Tables. */
  unlogged: number;
  largeObjects: number;
  parts: Part[];
}

export function createCarryActivities(dependencies: PostgresDependencies) {
  void dependencies;
  return {
    carryUnderFence: async (request: {
      scope: PostgresScope;
      leg: Leg;
      /** Steps that sequences are set ahead, in their own direction. */
      margin: number;
      largeObjects: boolean;
      refreshViews: boolean;
    }): Promise<CarriedUnderFence> => {
      void request;
      return Promise.reject(new Error('not yet'));
    },
  };
}

export type CarryActivities = ReturnType<typeof createCarryActivities>;
