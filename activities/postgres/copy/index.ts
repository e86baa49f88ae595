// The copy engine that every strategy shares: plan chunks, copy them in lanes, measure, tune, stop, sum up.
import { withHeartbeat } from '../../heartbeat';
import type { PostgresDependencies } from '../../dependencies';
import { dropLedger, ownsLedger } from '../ledger';
import type { PostgresScope } from '../scope';
import { createPlanActivities, openCopyLedger } from './chunks';
import { createLaneActivities } from './lane';
import { createProgressActivities } from './progress';
import { writeSetting } from './settings';
import { createStopActivities } from './stop';

export function createCopyActivities(dependencies: PostgresDependencies) {
  const { connections } = dependencies;
  return {
    ...createPlanActivities(dependencies),
    ...createLaneActivities(dependencies),
    ...createProgressActivities(dependencies),
    ...createStopActivities(dependencies),

    /** Makes the ledger on the target, or finds it; `created` is false when it was there. @throws TargetConflict when another migration owns the target */
    async prepareLedger({ scope }: { scope: PostgresScope }): Promise<{ created: boolean }> {
      return connections.withSession(scope.target, { side: 'target', purpose: 'prepare ledger' }, async (target) => {
        const there = await ownsLedger(target, scope.migration);
        await openCopyLedger(target, scope.migration);
        return { created: !there };
      });
    },

    /** Removes the ledger with everything in it; `removed` is false when it was gone. */
    async removeLedger({ scope }: { scope: PostgresScope }): Promise<{ removed: boolean }> {
      return withHeartbeat({}, ({ signal }) =>
        connections.withSession(scope.target, { side: 'target', purpose: 'remove ledger', signal }, async (target) => ({
          removed: await dropLedger(target, scope.migration),
        })),
      );
    },

    /** Changes lanes and rate of a copy that runs; noticed within seconds. `maxBytesPerSecond` is for all lanes together, 0 without a limit. */
    async tuneCopy(input: { scope: PostgresScope; lanes?: number; maxBytesPerSecond?: number }): Promise<void> {
      const { scope, lanes, maxBytesPerSecond } = input;
      await withHeartbeat({}, ({ signal }) =>
        connections.withSession(scope.target, { side: 'target', purpose: 'tune copy', signal }, async (target) => {
          if (lanes !== undefined) await writeSetting(target, 'lanes', lanes);
          if (maxBytesPerSecond !== undefined) await writeSetting(target, 'maxBytesPerSecond', maxBytesPerSecond);
        }),
      );
    },
  };
}
