// What keeps a cutover from beginning, one line each: of the streams, of whoever else could write to the side that follows, of the schema
// on both sides, and of what the outage would have to wait for.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { failureType } from '../../errors';
import { schemaChanges } from '../ddl/fingerprint';
import { identityOf } from '../digest/relations';
import { barrierStands, readAccess } from '../fence/former';
import { findHoles, writingSessions } from '../fence/sessions';
import type { PostgresScope } from '../scope';
import { lockInTheWay, tablesInTheWay } from './failing';
import { passMarker } from './marker';
import type { Stream, WritingSide } from './names';
import type { Sides } from './sides';
import { inTheWayOfSlots } from './slot';
import { shownName } from './streamed-tables';
import { lookAtStreams, lossOf, type StreamLook } from './stream-look';
import { whyNotStarted } from './subscription';

/** A worker that is being started, or was just told of a change, is there within this. */
const settlesWithinMs = 1_500;
/** What is open for longer is named; what an application does in passing is not. */
const lingersMs = 5_000;

export interface StreamsSeen {
  looks: StreamLook[];
  lagMs?: number;
  problems: string[];
}

/** Looks at each stream and has a marker pass through all of them. */
export async function seeStreams(
  sides: Sides,
  streams: Stream[],
  markerTimeoutMs: number,
  signal: AbortSignal,
): Promise<StreamsSeen> {
  const [first] = streams;
  // Nothing that is streamed, as in a database without tables.
  if (!first) return { looks: [], lagMs: 0, problems: [] };
  let looks = await lookAtStreams(sides, streams);
  const deadline = Date.now() + settlesWithinMs;
  while (looks.some(isSettling) && Date.now() < deadline) {
    await sleep(50, undefined, { signal });
    looks = await lookAtStreams(sides, streams);
  }
  const problems: string[] = [];
  for (const look of looks) problems.push(...(await streamProblems(sides, look)));
  for (const stream of streams) problems.push(...(await tableProblems(sides, stream)));
  if (problems.length > 0) return { looks, problems };
  try {
    const { ms } = await passMarker(sides[first.from], sides[first.to], streams, {
      signal,
      timeoutMs: markerTimeoutMs,
    });
    return { looks: await lookAtStreams(sides, streams), lagMs: ms, problems };
  } catch (error) {
    if (failureType(error) !== 'NotReadyYet') throw error;
    looks = await lookAtStreams(sides, streams);
    const why = await Promise.all(looks.map((look) => whyBehind(sides, look)));
    return {
      looks,
      problems: [
        `a marker was not through on the ${first.to} after ${markerTimeoutMs} ms`,
        ...why.flatMap((line) => (line === undefined ? [] : [line])),
      ],
    };
  }
}

async function whyBehind(sides: Sides, look: StreamLook): Promise<string | undefined> {
  const { stream, slot } = look;
  const lock = await lockInTheWay(sides, look);
  if (lock !== undefined) return `${stream.name} on the ${stream.to}: ${lock}`;
  const failing = await failingWords(sides, look);
  if (failing !== undefined) return failing;
  return slot && slot.lagBytes > 0 ? `${stream.name} is ${slot.lagBytes} bytes behind` : undefined;
}

/** Of a stream that does not come forward, where it has ever failed. */
async function failingWords(sides: Sides, look: StreamLook): Promise<string | undefined> {
  const { stream, subscription } = look;
  if (!subscription?.errors) return undefined;
  const tables = await tablesInTheWay(sides, look);
  const what = tables.length > 0 ? ` stands at a transaction on ${tables.join(', ')} and` : '';
  return `${stream.name}${what} has failed ${subscription.errors} times; the log of the ${stream.to} says why`;
}

function isSettling({ slot, subscription }: StreamLook): boolean {
  return Boolean(subscription?.enabled) && (subscription?.workerPid === undefined || slot?.activePid === undefined);
}

async function streamProblems(sides: Sides, look: StreamLook): Promise<string[]> {
  const { stream, slot, subscription } = look;
  const { name, from, to } = stream;
  const loss = lossOf(look);
  if (loss !== undefined) return [loss];
  if (!subscription) return [`the subscription ${name} is not there on the ${to}`];
  if (!subscription.enabled) return [`the subscription ${name} on the ${to} is disabled`];
  if (isSettling(look))
    return [(await failingWords(sides, look)) ?? `${name}: ${await whyNotStarted(sides[to], [name], stream)}`];
  return slot?.walStatus === 'unreserved'
    ? [
        `the replication slot ${name} of the ${from} is about to be given up by the server: it holds back more WAL than max_slot_wal_keep_size`,
      ]
    : [];
}

/** A subscription skips changes of tables that its publication did not hold when it was made, without a word. */
async function tableProblems(sides: Sides, { name, from, to }: Stream): Promise<string[]> {
  // Quoted by us, not by the servers: what is a keyword, and so is quoted, differs between versions.
  const published = await sides[from].query<{ schema: string; name: string }>(
    `select schemaname as schema, tablename as name from pg_publication_tables where pubname = $1`,
    [name],
  );
  const followed = await sides[to].query<{ schema: string; name: string; state: string }>(
    `select n.nspname as schema, c.relname as name, r.srsubstate as state
       from pg_subscription s join pg_subscription_rel r on r.srsubid = s.oid
       join pg_class c on c.oid = r.srrelid join pg_namespace n on n.oid = c.relnamespace
      where s.subname = $1 and s.subdbid = (select oid from pg_database where datname = current_database())`,
    [name],
  );
  const known = new Set(followed.rows.map(identityOf));
  const skipped = published.rows.filter((table) => !known.has(identityOf(table))).map(shownName);
  const unready = followed.rows.filter(({ state }) => state !== 'r').map(shownName);
  return [
    ...named(
      skipped,
      (tables) => `changes of ${tables} are published on the ${from} as ${name}, but skipped on the ${to}`,
    ),
    ...named(unready, (tables) => `${tables} on the ${to} is not ready to follow by ${name}`),
    ...(published.rows.length === 0 ? [`the publication ${name} on the ${from} is gone or empty`] : []),
  ];
}

function named(tables: string[], words: (tables: string) => string): string[] {
  if (tables.length === 0) return [];
  const more = tables.length > 5 ? ` and ${tables.length - 5} more` : '';
  return [words(`${tables.slice(0, 5).join(', ')}${more}`)];
}

/** Whoever else could write to the side that follows. */
export async function followerProblems(following: Client, scope: PostgresScope, side: WritingSide): Promise<string[]> {
  const { now, mark } = await readAccess(following, side);
  const ours = mark?.migration === scope.migration;
  const fence =
    ours && barrierStands(now, mark.former)
      ? []
      : [`the fence on ${now.database} of the ${side} is not up: others may write to the side that follows`];
  // Behind the fence only a superuser can be there: who looks harms nobody, who writes does.
  const writers = await writingSessions(following);
  const holes = await findHoles(following, mark?.former ?? now);
  return [
    ...fence,
    ...writers
      .slice(0, 5)
      .map(({ description }) => `somebody else writes to the ${side}, which follows: ${description}`),
    ...holes.filter((hole) => hole.startsWith('subscription ')).map((hole) => `on the ${side}: ${hole}`),
  ];
}

/** What the outage would have to wait for, or would be refused by. */
export async function hindrances(sides: Sides, { from, to }: Stream): Promise<string[]> {
  const slot = await inTheWayOfSlots(sides[to], lingersMs);
  const prepared = await sides[from].query<{ gid: string }>(
    `select gid from pg_prepared_xacts where database = current_database() and prepared < clock_timestamp() - $1 * interval '1 millisecond' limit 5`,
    [lingersMs],
  );
  const foreign = await sides[from].query<{ name: string }>(
    `select subname as name from pg_subscription
      where subdbid = (select oid from pg_database where datname = current_database()) and subenabled and not starts_with(subname, 'cutover_') limit 5`,
  );
  return [
    ...slot.map((line) => `the slot of the way back would wait on the ${to} for ${line}`),
    ...prepared.rows.map(
      ({ gid }) => `the prepared transaction ${gid} on the ${from} must be committed or rolled back`,
    ),
    ...foreign.rows.map(
      ({ name }) =>
        `the subscription ${name} writes to the ${from} from elsewhere and must be disabled for the cutover`,
    ),
  ];
}

/** What has changed of the schema of one side since its fingerprint was taken. */
export async function schemaProblems(client: Client, lines: readonly string[], side: WritingSide): Promise<string[]> {
  return (await schemaChanges(client, lines)).map((change) => `schema of the ${side} has changed: ${change}`);
}
