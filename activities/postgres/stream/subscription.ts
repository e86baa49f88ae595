// The way a side follows: a subscription that starts from a slot which is there already and copies nothing.
import type { PostgresDependencies } from '../../dependencies';
import type { PostgresScope } from '../scope';
import type { Leg } from './names';

export interface LegInput {
  scope: PostgresScope;
  leg: Leg;
}

export function createSubscriptionActivities(_dependencies: PostgresDependencies) {
  return {
    /**
     * Subscribes the following side to every stream of the leg whose slot is there; enabled, and seen to have a worker.
     * Subscriptions that are there already are enabled. Gives the names of the streams.
     * @throws StreamLost when a slot is gone or invalid; AuthDenied; PreconditionFailed; SourceUnavailable, TargetUnavailable, NotReadyYet (retryable)
     */
    async subscribe(_input: LegInput): Promise<{ streams: string[] }> {
      throw new Error('not yet');
    },
  };
}
