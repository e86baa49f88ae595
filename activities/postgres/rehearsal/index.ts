// The scratch servers of a rehearsal: told apart from production, found empty, emptied again. Whatever writes there asks the guard first.
import type { RehearsalServers } from '../../../plan/rehearsal';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import { failure } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import type { PostgresScope } from '../scope';
import { requireApart } from './guard';
import { emptyDatabase, recordEmpty } from './scratch';

/** `scope` is production's, `rehearsal` the scratch servers. */
export interface RehearsalRequest {
  scope: PostgresScope;
  rehearsal: RehearsalServers;
}

/** What the scratch databases were like before we touched them: empty, but for what every new database has. */
export interface ScratchInventories {
  /** Missing where somebody else has filled it: then it is not ours to empty. */
  source?: ArtifactReference;
  target: ArtifactReference;
}

export function createRehearsalActivities(dependencies: PostgresDependencies) {
  const { connections } = dependencies;

  return {
    /**
     * Refuses scratch servers that are production in any way: the same database or server under another name, or a physical copy of it.
     * Changes nothing. @returns `servers`: those of the request, bound to what they were found to be; an older version did not tell them
     * @throws PreconditionFailed naming which and why; SourceUnavailable, TargetUnavailable (retryable)
     */
    guardRehearsal: (request: RehearsalRequest): Promise<{ evidence: string[]; servers?: RehearsalServers }> =>
      withHeartbeat('rehearsal guard', ({ signal }) => requireApart(connections, request, signal)),

    /**
     * Guards, requires that both scratch databases are empty, and records how they are, so that everything found there later is known to be ours.
     * @param request `filledByHand`: somebody restores another kind of backup into the scratch source; it is neither looked at nor emptied
     * @throws PreconditionFailed when one is production, not empty, or of another encoding; SourceUnavailable, TargetUnavailable (retryable)
     */
    prepareScratch: (
      request: RehearsalRequest & { filledByHand: boolean },
    ): Promise<{ inventories: ScratchInventories; evidence: string[] }> =>
      withHeartbeat('looking at the scratch databases', async ({ signal }) => {
        const { scope, filledByHand } = request;
        const { evidence, servers } = await requireApart(connections, request, signal);
        await requireEncoding(dependencies, request, signal);
        const { source, target } = servers;
        const filled = filledByHand
          ? undefined
          : await recordEmpty(dependencies, { scope, side: 'source', reference: source, signal });
        const inventories = {
          ...(filled ? { source: filled } : {}),
          target: await recordEmpty(dependencies, { scope, side: 'target', reference: target, signal }),
        };
        const empty = filledByHand ? 'the scratch target is empty' : 'both scratch databases are empty';
        return { inventories, evidence: [...evidence, empty] };
      }),

    /**
     * Guards, and puts the scratch databases back to how they were found; `left` names what could not be removed. Idempotent.
     * @throws PreconditionFailed when one is production by now; TargetConflict when another migration has fenced one; TargetUnavailable (retryable)
     */
    emptyScratch: (
      request: RehearsalRequest & { inventories: ScratchInventories },
    ): Promise<{ dropped: number; left: string[] }> =>
      withHeartbeat('emptying the scratch databases', async ({ signal }) => {
        const { scope, inventories } = request;
        const { servers } = await requireApart(connections, request, signal);
        const emptied = { dropped: 0, left: [] as string[] };
        for (const side of ['target', 'source'] as const) {
          const inventory = inventories[side];
          if (!inventory) continue;
          const { dropped, left } = await emptyDatabase(dependencies, {
            scope,
            side,
            reference: servers[side],
            inventory,
            signal,
          });
          emptied.dropped += dropped;
          emptied.left.push(...left.map((name) => `${name} on the rehearsal ${side}`));
        }
        return emptied;
      }),
  };
}

/** Text that another encoding cannot hold would stop the restore halfway. */
async function requireEncoding(
  { connections }: PostgresDependencies,
  { scope, rehearsal }: RehearsalRequest,
  signal: AbortSignal,
): Promise<void> {
  const sql =
    'select pg_encoding_to_char(encoding) as encoding from pg_catalog.pg_database where datname = current_database()';
  const read = (reference: typeof scope.source, side: 'source' | 'scratch'): Promise<string> =>
    connections.withSession(reference, { side, purpose: 'scratch look', signal }, async (session) => {
      const { rows } = await session.query<{ encoding: string }>(sql);
      return rows[0]?.encoding ?? '';
    });
  const [wanted, there] = [await read(scope.source, 'source'), await read(rehearsal.source, 'scratch')];
  if (wanted === there) return;
  throw failure(
    'PreconditionFailed',
    `The scratch database of rehearsal.source has the encoding ${there}, the source ${wanted}: its backup may not fit. Make the scratch database anew with encoding '${wanted}' template template0, then retry.`,
  );
}
