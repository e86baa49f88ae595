// Everything that streaming makes on a server, found by its name and removed whatever half of it is there. Subscriptions go first, on
// both sides, then slots: neither needs the other server. Of another migration's things nothing is touched.
import type { Client, ClientBase } from 'pg';
import { failureType } from '../../errors';
import { quoteIdentifier, quoteLiteral, quoteQualified } from '../identifier';
import { ledgerSchema } from '../scope';
import { markerSchemaComment } from './marker';
import { migrationKey, type Leg, type WritingSide } from './names';
import { sidedFailure, type Sides } from './sides';
import { dropSlot } from './slot';
import { dropSubscription } from './subscription-state';

export type StreamObjectKind =
  'subscription' | 'replication slot' | 'event trigger' | 'function' | 'publication' | 'marker table' | 'schema';

export interface StreamObject {
  kind: StreamObjectKind;
  name: string;
}

/** Which of our objects are meant: of one migration's key (ten hex digits), all or those whose name ends in what the pattern matches. */
export interface WhichObjects {
  key: string;
  /** Regular expression of PostgreSQL for what follows `cutover_<key>_`: `g[0-9]+`. All by default. */
  suffix?: string;
}

export function allObjects(migration: string): WhichObjects {
  return { key: migrationKey(migration) };
}

export function legObjects(migration: string, leg: Leg): WhichObjects {
  return { key: migrationKey(migration), suffix: leg === 0 ? 'g[0-9]+' : `l${leg}` };
}

const thisDatabase = `(select oid from pg_database where datname = current_database())`;

const objectsSql = `
select * from (
  select 'subscription' as kind, subname::text as name from pg_subscription where subdbid = ${thisDatabase}
  union all select 'replication slot', slot_name::text from pg_replication_slots where database = current_database()
  union all select 'event trigger', evtname::text from pg_event_trigger
  union all select 'function', p.proname::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = '${ledgerSchema}'
  union all select 'publication', pubname::text from pg_publication
) o where name ~ $1
union all
select 'marker table', c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = '${ledgerSchema}' and c.relkind = 'r' and c.relname ~ $2
order by 1, 2`;

/** What is there of it on this server, in this database. */
export async function findObjects(client: ClientBase, { key, suffix = '.*' }: WhichObjects): Promise<StreamObject[]> {
  const { rows } = await client.query<StreamObject>(objectsSql, [
    `^${ledgerSchema}_${key}_(${suffix})$`,
    `^marker_${key}_(${suffix})$`,
  ]);
  return rows;
}

export interface RemovedObjects {
  /** `replication slot cutover_1f3a5c7e90_g1 of the source`. */
  removed: string[];
  /** The same, with the reason. */
  left: string[];
}

/** In this order nothing needs anything that is gone already, and no subscription looks for a slot that is. */
const stages: StreamObjectKind[][] = [
  ['subscription'],
  ['replication slot'],
  ['event trigger', 'publication'],
  ['function', 'marker table'],
];

/**
 * Removes them on the sides there are sessions for. What the server refuses to remove is `left`; a server that is lost on the way is an error.
 * Sessions are those of `openSide`.
 */
export async function dropObjects(
  sides: Partial<Sides>,
  which: WhichObjects,
  signal?: AbortSignal,
): Promise<RemovedObjects> {
  const removed: string[] = [];
  const left: string[] = [];
  const present = (['source', 'target'] as const).flatMap((side) => {
    const client = sides[side];
    return client ? [{ side, client }] : [];
  });
  for (const stage of stages) {
    for (const { side, client } of present) {
      const there = (await findObjects(client, which)).filter(({ kind }) => stage.includes(kind));
      for (const object of there) {
        const words = `${object.kind} ${object.name} of the ${side}`;
        const why = await refusal(words, () => drop(client, object, side, signal));
        if (why === undefined) removed.push(words);
        else left.push(why);
      }
    }
  }
  return { removed, left };
}

/**
 * Drops the schema that streaming made on a source, when nothing is in it any more. That of a ledger has another comment, and stays.
 * @returns whether it was there and is gone
 */
export async function dropMarkerSchema(client: Client): Promise<boolean> {
  const { rowCount } = await client.query(
    `select from pg_namespace n
      where n.nspname = '${ledgerSchema}' and obj_description(n.oid, 'pg_namespace') = ${quoteLiteral(markerSchemaComment)}
        and not exists (select from pg_class c where c.relnamespace = n.oid)
        and not exists (select from pg_proc p where p.pronamespace = n.oid)`,
  );
  if (rowCount === 0) return false;
  await client.query(`drop schema if exists ${ledgerSchema} restrict`);
  return true;
}

async function drop(
  client: Client,
  { kind, name }: StreamObject,
  side: WritingSide,
  signal?: AbortSignal,
): Promise<void> {
  switch (kind) {
    case 'subscription':
      await dropSubscription(client, name, side, signal);
      return;
    case 'replication slot':
      await dropSlot(client, name, side, signal);
      return;
    case 'event trigger':
      await client.query(`drop event trigger if exists ${quoteIdentifier(name)}`);
      return;
    case 'function':
      await client.query(`drop function if exists ${quoteQualified(ledgerSchema, name)}`);
      return;
    case 'publication':
      await client.query(`drop publication if exists ${quoteIdentifier(name)}`);
      return;
    case 'marker table':
      await client.query(`drop table if exists ${quoteQualified(ledgerSchema, name)}`);
      return;
    case 'schema':
      await dropMarkerSchema(client);
  }
}

/** Why it could not be done; undefined when it was. Throws when it is worth trying again. */
async function refusal(words: string, work: () => Promise<void>): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    const told = sidedFailure(error, `Removing the ${words}`);
    const type = failureType(told);
    if (
      !(told instanceof Error) ||
      (type !== 'AuthDenied' && type !== 'PreconditionFailed' && type !== 'TargetConflict')
    )
      throw told;
    return told.message;
  }
}
