// The last look: everything that the service may have made on either side, found or not found by looking, never by memory.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import type { CreatedObject } from '../../journal/types';
import type { PostgresDependencies } from '../dependencies';
import { failureType } from '../errors';
import { withHeartbeat } from '../heartbeat';
import { applicationNamePrefix, waitingPurpose } from './connection';
import { readMark } from './fence/former';
import { ownsLedger } from './ledger';
import { ledgerSchema, type PostgresScope } from './scope';
import { markerSchemaComment } from './stream/marker';
import { migrationKey, streamPrefix } from './stream/names';
import { findObjects, type StreamObject, type StreamObjectKind } from './stream/objects';
import { waitMs } from './waiting-sessions';

/** Fences that are meant to stay: nobody shall write to the losing side by mistake. */
export interface KeptObjects {
  sourceFence?: boolean;
  targetFence?: boolean;
}

type Where = 'source' | 'target';
/** Sessions that have been told to end get this long before they count as left. */
const sessionsEndMs = 3_000;

export function createLeftoverActivities({ connections }: PostgresDependencies) {
  return {
    /**
     * One record for each kind of thing and side that is gone, one for each thing that is still there. Changes nothing.
     * @param retired what the plan had done with the source: a database that was dropped is not looked into, a server that was stopped need not answer
     * @throws SourceUnavailable, TargetUnavailable (retryable): what cannot be looked at is not called gone
     */
    findLeftovers: ({
      scope,
      kept,
      retired,
    }: {
      scope: PostgresScope;
      kept: KeptObjects;
      retired?: 'dropped' | 'by-command';
    }): Promise<CreatedObject[]> =>
      withHeartbeat('looking for anything left behind', async ({ signal }) => {
        const look = async (side: Where): Promise<CreatedObject[]> => {
          await connections.endWaiting(scope[side]);
          return connections.withSession(scope[side], { side, purpose: 'last look', signal }, (session) =>
            lookAt(session, side, scope, kept, signal),
          );
        };
        const lookAtRetired = async (): Promise<CreatedObject[]> => {
          const record = { kind: 'database', where: 'source', name: 'the source' } as const;
          if (retired === 'dropped') return [{ ...record, state: 'gone', why: 'dropped, as the plan says' }];
          try {
            return await look('source');
          } catch (error) {
            signal.throwIfAborted();
            if (failureType(error) !== 'SourceUnavailable') throw error;
            return [
              { ...record, state: 'kept', why: 'not looked at: it does not answer since the command of the plan' },
            ];
          }
        };
        return [...(await (retired ? lookAtRetired() : look('source'))), ...(await look('target'))];
      }),
  };
}

async function lookAt(
  session: Client,
  where: Where,
  scope: PostgresScope,
  kept: KeptObjects,
  signal: AbortSignal,
): Promise<CreatedObject[]> {
  const streamed = await findObjects(session, { key: '[0-9a-f]{10}' });
  return [
    where === 'target' ? await ledger(session, scope) : await markerSchema(session, scope, streamed),
    await fence(session, where, scope, (where === 'source' ? kept.sourceFence : kept.targetFence) ?? false),
    ...streamKinds.flatMap(({ kind, why }) =>
      ofStreams(
        kind,
        where,
        scope,
        streamed.filter((object) => object.kind === kind),
        why,
      ),
    ),
    ...(await origins(session, where)),
    ...found('session', where, `${applicationNamePrefix} *`, await lingering(session, signal)),
  ];
}

const streamKinds: { kind: StreamObjectKind; why: string }[] = [
  { kind: 'replication slot', why: 'holds WAL on the server: select pg_drop_replication_slot(…)' },
  { kind: 'publication', why: 'drop publication removes it' },
  { kind: 'subscription', why: 'drop subscription removes it' },
  { kind: 'event trigger', why: 'refuses changes of the schema: drop event trigger removes it' },
  { kind: 'function', why: 'drop function removes it' },
  { kind: 'marker table', why: 'drop table removes it' },
];

/** By the key in its name a thing is this migration's or not; of others nothing is asked. */
function ofStreams(
  kind: StreamObjectKind,
  where: Where,
  { migration }: PostgresScope,
  there: StreamObject[],
  why: string,
): CreatedObject[] {
  const mine = there.filter((object) => isOf(object, migration));
  const others = there.filter((object) => !isOf(object, migration)).slice(0, 20);
  return [
    ...found(
      kind,
      where,
      `${streamPrefix(migration)}*`,
      mine.slice(0, 50).map(({ name }) => ({ name, why })),
    ),
    ...others.map(({ name }): CreatedObject => ({
      kind,
      where,
      name,
      state: 'kept',
      why: `of another migration, whose key is ${keyIn(name) ?? 'unknown'}; cutover reap tells whether that one still runs`,
    })),
  ];
}

function isOf({ name }: StreamObject, migration: string): boolean {
  return keyIn(name) === migrationKey(migration);
}

function keyIn(name: string): string | undefined {
  return /^(?:cutover|marker)_([0-9a-f]{10})_/.exec(name)?.[1];
}

/** On the source the schema holds markers and the guard against DDL, of every migration that reads from it. */
async function markerSchema(session: Client, scope: PostgresScope, streamed: StreamObject[]): Promise<CreatedObject> {
  const record = { kind: 'schema', where: 'source', name: ledgerSchema } as const;
  const { rows } = await session.query<{ comment: string | null; things: string }>(
    `select obj_description(n.oid, 'pg_namespace') as comment,
            (select count(*) from pg_class c where c.relnamespace = n.oid) + (select count(*) from pg_proc p where p.pronamespace = n.oid) as things
       from pg_namespace n where n.nspname = $1`,
    [ledgerSchema],
  );
  const [schema] = rows;
  if (!schema) return { ...record, state: 'gone' };
  const inside = streamed.filter(({ kind }) => kind === 'marker table' || kind === 'function');
  const ours = inside.some((object) => isOf(object, scope.migration));
  if (ours || (schema.comment === markerSchemaComment && schema.things === '0'))
    return { ...record, state: 'present', why: `drop schema ${ledgerSchema} removes it, once it is empty` };
  return { ...record, state: 'kept', why: 'there is such a schema, but nothing in it is of this migration' };
}

/** Each goes with its subscription, in one transaction; one without can only be somebody else's. */
async function origins(session: Client, where: Where): Promise<CreatedObject[]> {
  const orphans = await names(
    session,
    `select roname as name, '' as why from pg_replication_origin
      where roname ~ '^pg_[0-9]+' and not exists (select from pg_subscription s where s.oid::text = substring(roname from '^pg_([0-9]+)'))`,
  );
  if (orphans.length === 0) return [{ kind: 'replication origin', where, name: 'pg_*', state: 'gone' }];
  const why =
    'its subscription is gone, and was not dropped by this migration; pg_replication_origin_drop removes it, if nobody needs it';
  return orphans.map(({ name }) => ({ kind: 'replication origin', where, name, state: 'kept', why }));
}

async function ledger(session: Client, scope: PostgresScope): Promise<CreatedObject> {
  const record = { kind: 'schema', where: 'target', name: ledgerSchema } as const;
  const there = await names(session, `select nspname as name, '' as why from pg_namespace where nspname = $1`, [
    ledgerSchema,
  ]);
  if (there.length === 0) return { ...record, state: 'gone' };
  const owned = await ownsLedger(session, scope.migration);
  return owned
    ? { ...record, state: 'present', why: `drop schema ${ledgerSchema} cascade removes it` }
    : { ...record, state: 'kept', why: 'there is such a schema, but this migration did not make it' };
}

async function fence(
  session: Client,
  where: Where,
  scope: PostgresScope,
  meantToStay: boolean,
): Promise<CreatedObject> {
  const mark = await readMark(session);
  const record = { kind: 'fence', where, name: mark?.former.database ?? 'database' };
  if (!mark)
    return {
      ...record,
      state: 'gone',
      ...(meantToStay && { why: 'it was meant to stay, but somebody has lowered it' }),
    };
  if (mark.migration !== scope.migration)
    return { ...record, state: 'kept', why: `raised by the migration "${mark.migration}", not by this one` };
  return meantToStay
    ? {
        ...record,
        state: 'kept',
        why: `up since ${mark.raisedAt}, so that nobody writes to the losing side by mistake`,
      }
    : { ...record, state: 'present', why: 'new sessions are still refused' };
}

interface Name {
  name: string;
  why: string;
}

async function names(session: Client, sql: string, values: string[] = []): Promise<Name[]> {
  return (await session.query<Name>(`${sql} order by 1 limit 50`, values)).rows;
}

async function lingering(session: Client, signal: AbortSignal): Promise<Name[]> {
  const sql = `select application_name || ' (pid ' || pid || ')' as name, 'pg_terminate_backend ends it, if no other migration uses it' as why
    from pg_stat_activity
   where datname = current_database() and pid <> pg_backend_pid() and usename = current_user and application_name like '${applicationNamePrefix} %'`;
  const startedAt = Date.now();
  for (;;) {
    const left = await names(session, sql);
    // Another worker's, which end by themselves.
    const waiting = left.every(({ name }) => name.startsWith(`${applicationNamePrefix} ${waitingPurpose} `));
    if (left.length === 0 || Date.now() - startedAt > sessionsEndMs + (waiting ? waitMs : 0)) return left;
    await sleep(50, undefined, { signal });
  }
}

function found(kind: string, where: Where, sought: string, there: Name[]): CreatedObject[] {
  if (there.length === 0) return [{ kind, where, name: sought, state: 'gone' }];
  return there.map(({ name, why }) => ({ kind, where, name, state: 'present', why }));
}
