// The streams themselves: subscribed to, watched, turned round and removed. Groups, freeze and guardian are made beside it.
import type { PostgresDependencies } from '../../dependencies';
import { createHealthActivities } from './health';
import { createRemovalActivities } from './remove';
import { createSubscriptionActivities } from './subscription';
import { createTurnActivities } from './turn';

export function createStreamActivities(dependencies: PostgresDependencies) {
  return {
    ...createSubscriptionActivities(dependencies),
    ...createHealthActivities(dependencies),
    ...createTurnActivities(dependencies),
    ...createRemovalActivities(dependencies),
  };
}

export type StreamActivities = ReturnType<typeof createStreamActivities>;
