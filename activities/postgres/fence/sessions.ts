// Who is in the database besides us, who could still come in, and how sessions are ended.
// Ours are known by role and application name together; replication walsenders are nobody's business here.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { failure } from '../../errors';
import { applicationNamePrefix } from '../connection';
import type { Side } from '../errors';
import { quoteLiteral } from '../identifier';
import { ledgerSchema } from '../scope';
import type { FormerAccess } from './former';

/** A session as people can find it; never its query. */
export interface ForeignSession {
  pid: string;
  description: string;
}

/** Of the session that raises a fence. */
export const raisingPurpose = 'fence';

const thisDatabase = `(select oid from pg_database where datname = current_database())`;
/** A role without pg_read_all_stats is not shown what others' processes are: whoever has a role and does not replicate is a client then. */
const kind = `coalesce(a.backend_type, case when a.usesysid is null then 'server process'
                  when a.pid in (select r.pid from pg_stat_replication r) then 'walsender' else 'client backend' end)`;
const notOurs = `not (a.usename = current_user and a.application_name like '${applicationNamePrefix} %')`;
const described = `format('pid %s: role %s, program %s, from %s, %s', a.pid, coalesce(a.usename, '(none)'), coalesce(nullif(a.application_name, ''), '(unnamed)'),
              coalesce(host(a.client_addr), 'local socket'), coalesce(a.state, ${kind}))`;

const isForeign = `a.datid = ${thisDatabase} and a.pid <> pg_backend_pid() and ${kind} = 'client backend' and ${notOurs}`;

export const foreignSql = `
select a.pid::text as pid, ${described} as description
  from pg_stat_activity a where ${isForeign} order by a.backend_start limit 20`;

/** Ends all of them, however many, and says who they were, and whether a fence lets them in again. */
export const endingSql = `
select f.pid::text as pid, f.description, f.superuser::text as superuser, pg_terminate_backend(f.pid)::text as ended
  from (select a.pid, coalesce((select rolsuper from pg_roles where oid = a.usesysid), false) as superuser, ${described} as description from pg_stat_activity a where ${isForeign} order by a.backend_start offset 0) f`;

/** Any process with a transaction id of its own, background workers and walsenders included; autovacuum writes statistics only. */
export const writersSql = `
select a.pid::text as pid, ${described} as description
  from pg_stat_activity a
 where a.datid = ${thisDatabase} and a.pid <> pg_backend_pid() and a.backend_xid is not null and ${kind} not in ('autovacuum worker', 'server process') and ${notOurs}
 order by a.xact_start limit 20`;

/** A backend that has passed the door but is not in pg_stat_activity yet holds this lock until it is through. */
export const enteringSql = `
select l.pid || ' ' || l.virtualtransaction as key
  from pg_locks l
 where l.locktype = 'object' and l.classid = 'pg_catalog.pg_database'::regclass and l.objid = ${thisDatabase}
   and l.mode = 'RowExclusiveLock' and l.pid <> pg_backend_pid()`;

/** Client sessions of others on this database, the oldest twenty. */
export async function foreignSessions(session: Client): Promise<ForeignSession[]> {
  return (await session.query<ForeignSession>(foreignSql)).rows;
}

/** Processes of others with an open writing transaction on this database. */
export async function openWriters(session: Client): Promise<ForeignSession[]> {
  return (await session.query<ForeignSession>(writersSql)).rows;
}

/** Client sessions of others among them: on a side that follows, the workers of its subscriptions write all the time. */
export async function writingSessions(session: Client): Promise<ForeignSession[]> {
  const [writers, sessions] = [await openWriters(session), await foreignSessions(session)];
  return writers.filter(({ pid }) => sessions.some((other) => other.pid === pid));
}

/** Waits until every connection that was on its way in when called is either seen or refused. @throws NotReadyYet after `timeoutMs` */
export async function awaitEntering(
  session: Client,
  side: Side,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<void> {
  const entering = async (): Promise<string[]> =>
    (await session.query<{ key: string }>(enteringSql)).rows.map(({ key }) => key);
  let waiting = await entering();
  await until(
    timeoutMs,
    signal,
    async () => {
      if (waiting.length === 0) return true;
      const still = new Set(await entering());
      waiting = waiting.filter((key) => still.has(key));
      return waiting.length === 0;
    },
    () =>
      failure(
        'NotReadyYet',
        `${waiting.length} connections to the ${side} have been starting for ${timeoutMs} ms. It is tried again by itself; look at pg_locks there when that lasts.`,
      ),
  );
}

/**
 * Ends all sessions of others and waits until they are gone.
 * @returns how many were ended
 * @throws AuthDenied when the role may not end them; NotReadyYet (retryable) when they are not gone after `timeoutMs`
 */
export async function endSessions(
  session: Client,
  side: Side,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<number> {
  const ended = new Set<string>();
  let last: ForeignSession[] = [];
  await until(
    timeoutMs,
    signal,
    async () => {
      last = (await session.query<ForeignSession>(endingSql).catch((error: unknown) => mayNotEnd(error, side))).rows;
      for (const { pid } of last) ended.add(pid);
      return last.length === 0;
    },
    () =>
      failure(
        'NotReadyYet',
        `${last.length} sessions on the ${side} have not ended after ${timeoutMs} ms: ${namesOf(last)}. It is tried again by itself; end them by hand when that lasts.`,
      ),
  );
  return ended.size;
}

/** Rethrows what ending sessions threw; a missing privilege with the grant that mends it. */
export function mayNotEnd(error: unknown, side: Side): never {
  if (!(typeof error === 'object' && error !== null && 'code' in error && error.code === '42501')) throw error;
  throw failure(
    'AuthDenied',
    `The fence on the ${side} cannot end the sessions of others: the role of the migration may not. Run GRANT pg_signal_backend TO that role (sessions of superusers must be ended by a superuser), then retry.`,
    { sqlState: '42501' },
  );
}

/** The first twenty. */
export function namesOf(sessions: ForeignSession[]): string {
  return sessions
    .slice(0, 20)
    .map(({ description }) => description)
    .join('; ');
}

/**
 * Waits until no other session of this role raises a fence on this database, or carries into it what must not be carried once it is in use,
 * ending those that do: attempts whose workers were given up. @throws NotReadyYet after `timeoutMs`
 */
export async function endRaisers(session: Client, side: Side, timeoutMs: number, signal?: AbortSignal): Promise<void> {
  await until(
    timeoutMs,
    signal,
    async () => {
      const { rowCount } = await session.query(
        `select pg_terminate_backend(a.pid) from pg_stat_activity a
          where a.datid = ${thisDatabase} and a.pid <> pg_backend_pid() and a.usename = current_user
            and (a.application_name = ${quoteLiteral(`${applicationNamePrefix} ${raisingPurpose}`)} or a.application_name like '${applicationNamePrefix} carry %')`,
      );
      return rowCount === 0;
    },
    () =>
      failure(
        'NotReadyYet',
        `An older attempt to raise or use the fence on the ${side} has not ended after ${timeoutMs} ms. It is tried again by itself; end the sessions "${applicationNamePrefix} ${raisingPurpose}" and "${applicationNamePrefix} carry" there by hand when that lasts.`,
      ),
  );
}

export interface Prepared {
  gid: string;
  owner: string;
  since: string;
}

export const preparedSql = `select gid, owner, prepared::text as since from pg_prepared_xacts where database = current_database() order by prepared limit 20`;

/** Waits for prepared transactions: they commit through any fence. @throws PreconditionFailed with the statements that end them */
export async function awaitNoPrepared(
  session: Client,
  side: Side,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<void> {
  let last: Prepared[] = [];
  await until(
    timeoutMs,
    signal,
    async () => {
      last = (await session.query<Prepared>(preparedSql)).rows;
      return last.length === 0;
    },
    () => stillPrepared(last, side),
  );
}

export function stillPrepared(prepared: Prepared[], side: Side): Error {
  const statements = prepared.map(
    ({ gid }) => `COMMIT PREPARED ${quoteLiteral(gid)} or ROLLBACK PREPARED ${quoteLiteral(gid)}`,
  );
  const who = prepared.map(({ gid, owner, since }) => `${gid} of ${owner} since ${since}`).join('; ');
  return failure(
    'PreconditionFailed',
    `Prepared transactions on the ${side} would commit through the fence: ${who}. End each on the ${side} with ${statements.join('; ')}, then retry.`,
  );
}

/** Ways in that the fence leaves open: one line each, empty when there is none. */
export async function findHoles(session: Client, former: Pick<FormerAccess, 'mechanism'>): Promise<string[]> {
  const { rows } = await session.query<{ hole: string }>(
    `
select format('role %s is a superuser: no connection limit and no privilege keeps it out', rolname) as hole
  from pg_roles where rolcanlogin and rolsuper and rolname <> current_user
union all
select format('role %s may still connect to the database, as its owner or a member of a role that may', rolname)
  from pg_roles where $1 = 'revoke-connect' and rolcanlogin and not rolsuper and rolname <> current_user and has_database_privilege(rolname, current_database(), 'CONNECT')
union all
select format('%s (pid %s) runs inside the server, where no connection is needed', a.backend_type, a.pid)
  from pg_stat_activity a
 where a.datid = ${thisDatabase} and a.backend_type not in ('client backend', 'autovacuum worker', 'parallel worker', 'walsender')
   and a.backend_type not like 'logical replication %'
union all
select format('subscription %s applies changes from elsewhere; ALTER SUBSCRIPTION %I DISABLE stops it', subname, subname)
  from pg_subscription where subdbid = ${thisDatabase} and subenabled and subname not like '${ledgerSchema}\\_%'
limit 50`,
    [former.mechanism],
  );
  return rows.map(({ hole }) => hole);
}

async function until(
  timeoutMs: number,
  signal: AbortSignal | undefined,
  done: () => Promise<boolean>,
  tooLate: () => Error,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await done())) {
    signal?.throwIfAborted();
    if (Date.now() > deadline) throw tooLate();
    await sleep(5, undefined, { signal });
  }
}
