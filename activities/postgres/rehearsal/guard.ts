// The guard of every rehearsal: four databases are asked who they are, whatever names they were reached by, and a scratch database that is
// production in any way is refused. Cautious on purpose: what cannot be told apart counts as the same.
import type { RehearsalServers } from '../../../plan/rehearsal';
import { failure } from '../../errors';
import type { PostgresConnections } from '../connection';
import { quoteIdentifier } from '../identifier';
import { readServer, sameDatabase, sameServer, type ServerFacts } from '../preflight/server-facts';
import type { RehearsalRequest } from './index';

/** One of the four databases, and what it says of itself. */
export interface Place {
  name: 'source' | 'target' | 'rehearsal source' | 'rehearsal target';
  facts: ServerFacts;
}

export interface Judgement {
  /** Empty: the scratch databases are apart from production, and from each other. One line each, with what to do. */
  refusals: string[];
  /** Who each of the four is. */
  evidence: string[];
}

/** @param production source and target; @param scratch the two of the rehearsal */
export function judgeRehearsal(production: Place[], scratch: Place[]): Judgement {
  const [first, second] = scratch;
  const twice =
    first && second && sameDatabase(first.facts, second.facts)
      ? [
          `both references of plan.rehearsal lead to the database ${first.facts.database} of the same server: give each its own`,
        ]
      : [];
  const standbys = scratch
    .filter(({ facts }) => facts.inRecovery)
    .map(({ name }) => `the ${name} is a standby, which takes no writes: give a server of its own`);
  const clashes = scratch.flatMap((place) => production.flatMap((other) => clash(place, other) ?? []));
  return {
    refusals: [...new Set([...clashes, ...twice, ...standbys])],
    evidence: [...production, ...scratch].map(describePlace),
  };
}

const ownServer = 'make a server of its own by initdb and point plan.rehearsal there';

/** Why a scratch database may not be used beside one of production; undefined where they are apart. */
function clash({ name, facts }: Place, { name: other, facts: production }: Place): string | undefined {
  if (sameDatabase(facts, production))
    return `the ${name} is the ${other} itself, database ${facts.database}, whatever name it was reached by: ${ownServer}`;
  // Roles belong to the whole server, and so do WAL and disks: a fence or a role of the rehearsal would be felt in production.
  if (sameServer(facts, production)) return `the ${name} is on the server of the ${other}: ${ownServer}`;
  const [one, two] = [facts.systemIdentifier, production.systemIdentifier];
  if (one === undefined || two === undefined) return untold({ name, facts }, { name: other, facts: production });
  // A standby may be promoted, and a clone may have been made to replace the original: nothing in it says which of them is production.
  if (one === two)
    return `the ${name} is a physical copy of the server of the ${other} (same system identifier): it may follow it or take its place, so ${ownServer}`;
  return undefined;
}

function untold(scratch: Place, production: Place): string {
  const [blind] = [production, scratch].filter(({ facts }) => facts.systemIdentifier === undefined);
  const who = blind ?? scratch;
  return `the ${scratch.name} cannot be told apart from the ${production.name}, since the system identifier of the ${who.name} may not be read: as a superuser there, grant execute on function pg_control_system() to ${quoteIdentifier(who.facts.user)}`;
}

function describePlace({ name, facts }: Place): string {
  const since = new Date(Number(facts.startedAt) * 1_000).toISOString();
  return `${name}: database ${facts.database} (${facts.databaseOid}) at ${facts.address ?? 'a local socket'}, up since ${since}, system ${facts.systemIdentifier ?? 'unknown'}`;
}

/** What the guard found: who is who, and the scratch servers, bound to what they were when it looked. */
export interface Apart {
  evidence: string[];
  /** To be used in place of the plan's: a session of these ends where the reference leads to another server than the one that was looked at. */
  servers: RehearsalServers;
}

/** Asks all four anew. @throws PreconditionFailed with every reason; SourceUnavailable, TargetUnavailable (retryable) */
export async function requireApart(
  connections: PostgresConnections,
  { scope, rehearsal }: Omit<RehearsalRequest, 'inventories'>,
  signal?: AbortSignal,
): Promise<Apart> {
  const ask = async (name: Place['name'], reference: typeof scope.source, side: 'source' | 'target' | 'scratch') => ({
    name,
    facts: await connections.withSession(reference, { side, purpose: 'rehearsal guard', signal }, readServer),
  });
  const [source, target, scratchSource, scratchTarget] = await Promise.all([
    ask('source', scope.source, 'source'),
    ask('target', scope.target, 'target'),
    ask('rehearsal source', rehearsal.source, 'scratch'),
    ask('rehearsal target', rehearsal.target, 'scratch'),
  ]);
  const { refusals, evidence } = judgeRehearsal([source, target], [scratchSource, scratchTarget]);
  if (refusals.length > 0)
    throw failure(
      'PreconditionFailed',
      `A rehearsal never runs on production: ${refusals.join('; ')}. Nothing was written there; correct the references of plan.rehearsal.`,
    );
  return {
    evidence,
    servers: {
      ...rehearsal,
      source: { ...rehearsal.source, system: scratchSource.facts.systemIdentifier },
      target: { ...rehearsal.target, system: scratchTarget.facts.systemIdentifier },
    },
  };
}
