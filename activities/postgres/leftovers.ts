// The last look: everything that the service may have made on either side, found or not found by looking, never by memory.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import type { CreatedObject } from '../../journal/types';
import type { PostgresDependencies } from '../dependencies';
import { withHeartbeat } from '../heartbeat';
import { applicationNamePrefix } from './connection';
import { readMark } from './fence/former';
import { ownsLedger } from './ledger';
import { ledgerSchema, type PostgresScope } from './scope';
import { scratchDatabase } from './snapshot/scratch';

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
     * @throws SourceUnavailable, TargetUnavailable (retryable): what cannot be looked at is not called gone
     */
    findLeftovers: ({ scope, kept }: { scope: PostgresScope; kept: KeptObjects }): Promise<CreatedObject[]> =>
      withHeartbeat('looking for anything left behind', async ({ signal }) => {
        const look = (side: Where): Promise<CreatedObject[]> =>
          connections.withSession(scope[side], { side, purpose: 'last look', signal }, (session) =>
            lookAt(session, side, scope, kept, signal),
          );
        return [...(await look('source')), ...(await look('target'))];
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
  const scratch = scratchDatabase(scope.migration);
  return [
    ...(where === 'target' ? [await ledger(session, scope)] : []),
    await fence(session, where, scope, (where === 'source' ? kept.sourceFence : kept.targetFence) ?? false),
    ...found(
      'replication slot',
      where,
      'cutover_*',
      await names(
        session,
        `select slot_name as name, 'holds WAL on the server: select pg_drop_replication_slot(…)' as why from pg_replication_slots where slot_name like 'cutover\\_%' and coalesce(database, current_database()) = current_database()`,
      ),
    ),
    ...found(
      'publication',
      where,
      'cutover_*',
      await names(
        session,
        `select pubname as name, 'drop publication removes it' as why from pg_publication where pubname like 'cutover\\_%'`,
      ),
    ),
    ...found(
      'subscription',
      where,
      'cutover_*',
      await names(
        session,
        `select subname as name, 'drop subscription removes it' as why from pg_subscription where subname like 'cutover\\_%' and subdbid = (select oid from pg_database where datname = current_database())`,
      ),
    ),
    ...found(
      'scratch database',
      where,
      scratch,
      await names(
        session,
        `select datname as name, 'drop database removes it' as why from pg_database where datname = $1`,
        [scratch],
      ),
    ),
    ...found('session', where, `${applicationNamePrefix} *`, await lingering(session, signal)),
  ];
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
  const deadline = Date.now() + sessionsEndMs;
  for (;;) {
    const left = await names(session, sql);
    if (left.length === 0 || Date.now() > deadline) return left;
    await sleep(50, undefined, { signal });
  }
}

function found(kind: string, where: Where, sought: string, there: Name[]): CreatedObject[] {
  if (there.length === 0) return [{ kind, where, name: sought, state: 'gone' }];
  return there.map(({ name, why }) => ({ kind, where, name, state: 'present', why }));
}
