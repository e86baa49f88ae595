// Preflight: everything that would stop the migration or damage something later is looked for now, without changing anything.
// A new family of checks is a file beside this one and a line in `families`; what CDC alone needs is in `replicationChecks`, and what passes need in `passChecks`.
import type { Check } from '../../../journal/types';
import type { PostgresDependencies } from '../../dependencies';
import { withHeartbeat } from '../../heartbeat';
import { activityChecks } from './activity';
import { afterwardsChecks, afterwardsChecksFor } from './afterwards';
import { runChecks, type PreflightCheck } from './check';
import { carriedApartChecks } from './carried-apart';
import { clusterChecks } from './cluster';
import { connectivityChecks } from './connectivity';
import { CheckContext, type PreflightInput } from './context';
import { diskChecks } from './disk';
import { dualWriteChecks, writesToBoth } from './dual-write';
import { encodingChecks } from './encodings';
import { extensionChecks } from './extensions';
import { gatherFacts, type MigrationFacts } from './facts';
import { fenceChecks } from './fence';
import { keyChecks } from './keys';
import { lockChecks } from './locks';
import { objectChecks } from './objects';
import { makesPasses, passChecks } from './passes';
import { privilegeChecks } from './privileges';
import { rehearsalChecks } from './rehearsal';
import { replicationChecks } from './replication';
import { roleChecks } from './roles';
import { selectionChecks } from './selection';
import { snapshotChecks } from './snapshot';
import { streams } from './streaming';
import { targetEmptyChecks } from './target-empty';
import { transformationChecks, transforms } from './transformations';
import { validationChecks } from './validation';
import { versionChecks } from './versions';

export type { MigrationFacts, PreflightInput };

const families: PreflightCheck[][] = [
  connectivityChecks,
  rehearsalChecks,
  versionChecks,
  privilegeChecks,
  fenceChecks,
  targetEmptyChecks,
  selectionChecks,
  extensionChecks,
  encodingChecks,
  diskChecks,
  activityChecks,
  objectChecks,
  carriedApartChecks,
  clusterChecks,
  keyChecks,
  roleChecks,
  lockChecks,
  validationChecks,
  snapshotChecks,
];

/** Names of all checks of all strategies, as waivers use them. */
export const preflightCheckNames: readonly string[] = [
  ...new Set(
    [
      ...families.flat(),
      ...afterwardsChecks,
      ...replicationChecks,
      ...dualWriteChecks,
      ...passChecks,
      ...transformationChecks,
    ].map(({ name }) => name),
  ),
];

export function createPreflightActivities(dependencies: PostgresDependencies) {
  return {
    /**
     * Looks at both sides, read-only, and says of each thing whether it passes, with the fix as SQL or command where it does not. Where changes
     * are to be streamed, each server is made to connect to the other, by a subscription in a transaction that is rolled back.
     * All checks run whatever the others find; what could not be looked at is a failure. Never throws for what it finds.
     * @throws SourceUnavailable, TargetUnavailable (retryable) when a server goes away while it is looked at
     */
    async preflight(input: PreflightInput): Promise<{ checks: Check[]; facts: MigrationFacts }> {
      return withHeartbeat(undefined, async ({ signal }) => {
        const context = new CheckContext(input, dependencies, signal);
        try {
          await context.connect();
          const battery = [
            ...families.flat(),
            ...afterwardsChecksFor(context),
            ...(streams(context) ? replicationChecks : []),
            ...(writesToBoth(context) ? dualWriteChecks : []),
            ...(makesPasses(context) ? passChecks : []),
            ...(transforms(context) ? transformationChecks : []),
          ];
          const checks = await runChecks(battery, context, input.waivers);
          const facts = await gatherFacts(context);
          await context.requireStillThere();
          return { checks, facts };
        } finally {
          await context.end();
        }
      });
    },
  };
}
