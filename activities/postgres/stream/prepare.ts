// What a leg of streaming needs of the side that writes before there is any stream: replica identities, marker tables and, for every
// leg but the first, the publication. All of it is made while the application runs; none of it may be left to the outage.
import type { PostgresDependencies } from '../../dependencies';
import { withHeartbeat } from '../../heartbeat';
import { requireLedger } from '../ledger';
import type { PostgresScope } from '../scope';
import { listTables } from '../tables';
import { ensureMarker } from './marker';
import { legStream, otherSide, type Leg } from './names';
import { ensurePublication } from './publication';
import { changedIdentities, ensureIdentities, restoreReplicaIdentities } from './replica-identity';
import { withSides } from './sides';
import { isStreamed, plannedAsStreamed } from './streamed-tables';

export function createStreamPreparationActivities({ connections }: PostgresDependencies) {
  return {
    /**
     * Makes what the leg needs on its writing side. `tables` counts those that the leg publishes, `identitiesChanged` names (`schema.table`)
     * the first twenty whose replica identity is not the one they came with.
     * @throws PreconditionFailed naming tables without a key and without a decision; SchemaChanged; AuthDenied; SourceUnavailable, TargetUnavailable, NotReadyYet (retryable)
     */
    async prepareStreaming({
      scope,
      leg,
      tablesWithoutKey,
    }: {
      scope: PostgresScope;
      leg: Leg;
      tablesWithoutKey: 'refuse' | 'full';
    }): Promise<{ tables: number; identitiesChanged: string[] }> {
      const stream = legStream(scope.migration, leg);
      const { from } = stream;
      return withHeartbeat({ published: 0 }, ({ signal, report }) =>
        withSides(connections, scope, 'preparing the streams', signal, async (sides) => {
          const { source, target } = sides;
          await requireLedger(target, scope.migration);
          const tables =
            leg === 0 ? (await listTables(source, scope.tables)).filter(isStreamed) : await plannedAsStreamed(target);
          const identities = { ledger: target, tables, tablesWithoutKey, signal };
          await ensureIdentities({ ...identities, client: sides[from], side: from });
          if (leg > 0) {
            // The side that follows finds rows by an identity of its own.
            const follows = otherSide(from);
            await ensureIdentities({ ...identities, client: sides[follows], side: follows });
            await ensureMarker(source, stream);
            await ensureMarker(target, stream);
            await ensurePublication(sides[from], stream, tables, {
              side: from,
              signal,
              onProgress: (published) => report({ published }),
            });
          }
          return { tables: tables.length, identitiesChanged: await changedIdentities(target, from) };
        }),
      );
    },

    /** Puts back every replica identity that was changed, on whichever side; names (`schema.table`) the first twenty. @throws NotReadyYet, SourceUnavailable, TargetUnavailable (retryable) */
    async restoreIdentities({ scope }: { scope: PostgresScope }): Promise<{ restored: string[] }> {
      return withHeartbeat({}, async ({ signal }) => ({
        restored: await restoreReplicaIdentities(connections, scope, signal),
      }));
    },
  };
}
