// Preflight: everything that would stop the migration or damage something later is looked for now, without changing anything.
// A new family of checks is a file beside this one and a line in `families`.
import type { Check } from '../../../journal/types';
import type { PostgresDependencies } from '../../dependencies';
import { withHeartbeat } from '../../heartbeat';
import { activityChecks } from './activity';
import { runChecks, type PreflightCheck } from './check';
import { clusterChecks } from './cluster';
import { connectivityChecks } from './connectivity';
import { CheckContext, type PreflightInput } from './context';
import { diskChecks } from './disk';
import { encodingChecks } from './encodings';
import { extensionChecks } from './extensions';
import { gatherFacts, type MigrationFacts } from './facts';
import { keyChecks } from './keys';
import { lockChecks } from './locks';
import { objectChecks } from './objects';
import { privilegeChecks } from './privileges';
import { roleChecks } from './roles';
import { selectionChecks } from './selection';
import { snapshotChecks } from './snapshot';
import { targetEmptyChecks } from './target-empty';
import { validationChecks } from './validation';
import { versionChecks } from './versions';

export type { MigrationFacts, PreflightInput };

const families: PreflightCheck[][] = [
  connectivityChecks,
  versionChecks,
  privilegeChecks,
  targetEmptyChecks,
  selectionChecks,
  extensionChecks,
  encodingChecks,
  diskChecks,
  activityChecks,
  objectChecks,
  clusterChecks,
  keyChecks,
  roleChecks,
  lockChecks,
  validationChecks,
  snapshotChecks,
];

/** Names of all checks, as waivers use them. */
export const preflightCheckNames: readonly string[] = families.flat().map(({ name }) => name);

export function createPreflightActivities(dependencies: PostgresDependencies) {
  return {
    /**
     * Looks at both sides, read-only, and says of each thing whether it passes, with the fix as SQL or command where it does not.
     * All checks run whatever the others find; what could not be looked at is a failure. Never throws for what it finds; only for cancellation.
     */
    async preflight(input: PreflightInput): Promise<{ checks: Check[]; facts: MigrationFacts }> {
      return withHeartbeat(undefined, async ({ signal }) => {
        const context = new CheckContext(input, dependencies, signal);
        try {
          await context.connect();
          const checks = await runChecks(families.flat(), context, input.waivers);
          return { checks, facts: await gatherFacts(context) };
        } finally {
          await context.end();
        }
      });
    },
  };
}
