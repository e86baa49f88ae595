// Roles are server-wide, so a dump of one database leaves them behind: owners, grantees and the people who log in.
// All are carried in one transaction on the target that also notes in the ledger what was made, so that undo takes away that and nothing else.
import type { PostgresDependencies } from '../../dependencies';
import { withHeartbeat } from '../../heartbeat';
import { ownsLedger, requireLedger } from '../ledger';
import type { PostgresScope } from '../scope';
import { carry, type CarriedRoles } from './carry';
import { readNeededRoles } from './needed';
import { inTransaction } from './notes';
import { passwordHashes } from './passwords';
import { remove, type RemovedRoles } from './remove';

export type { CarriedRoles, RemovedRoles };

export function createRoleActivities({ connections }: PostgresDependencies) {
  return {
    /**
     * Makes the roles that the source database needs, with attributes, password hashes where they can be read, memberships,
     * settings and comments. Roles that exist keep their attributes and password; memberships and settings they lack are added.
     * @throws PreconditionFailed (not retryable) in mode `require` when roles are missing; AuthDenied when we may not create them
     */
    async carryRoles({ scope, mode }: { scope: PostgresScope; mode: 'create' | 'require' }): Promise<CarriedRoles> {
      return withHeartbeat(undefined, async ({ signal }) => {
        const { needed, hashes } = await connections.withSession(
          scope.source,
          { side: 'source', purpose: 'read roles', signal },
          async (source) => ({ needed: await readNeededRoles(source), hashes: await passwordHashes(source) }),
        );
        return connections.withSession(
          scope.target,
          { side: 'target', purpose: 'carry roles', signal },
          async (target) => {
            await requireLedger(target, scope.migration);
            return inTransaction(target, () => carry(target, needed, hashes, mode));
          },
        );
      });
    },

    /** Drops the roles that we made, and takes back what we added to others. What others hold on to is kept and named. Nothing happens without our ledger. */
    async removeRoles({ scope }: { scope: PostgresScope }): Promise<RemovedRoles> {
      return withHeartbeat(undefined, ({ signal }) =>
        connections.withSession(scope.target, { side: 'target', purpose: 'remove roles', signal }, async (target) => {
          if (!(await ownsLedger(target, scope.migration))) return { removed: [], kept: [] };
          return remove(target);
        }),
      );
    },
  };
}
