// Subscriptions of ours as their server shows them, and how they are stopped, started and dropped. Nothing here needs the other side:
// slots are made and dropped over there by our own sessions.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientBase } from 'pg';
import { failure } from '../../errors';
import type { Side } from '../errors';
import { quoteIdentifier } from '../identifier';

export interface Subscription {
  name: string;
  enabled: boolean;
  slot?: string;
  /** Of the worker that applies. */
  workerPid?: string;
  /** Tables it applies to, markers included. */
  tables: number;
  /** Failed applications since it was made; undefined on servers before 15, which do not count. */
  errors?: number;
  /** By kind, from 18 on: `insert_exists` -> 3. */
  conflicts: Record<string, number>;
}

interface SubscriptionRow {
  name: string;
  enabled: string;
  slot: string | null;
  pid: string | null;
  tables: string;
  stats: string | null;
}

const thisDatabase = `(select oid from pg_database where datname = current_database())`;

const subscriptionsSql = (statistics: boolean): string => `
select s.subname as name, s.subenabled as enabled, s.subslotname as slot,
       (select max(w.pid) from pg_stat_subscription w where w.subid = s.oid and w.relid is null and to_jsonb(w) ->> 'leader_pid' is null) as pid,
       (select count(*) from pg_subscription_rel r where r.srsubid = s.oid) as tables,
       ${statistics ? '(select to_jsonb(t)::text from pg_stat_subscription_stats t where t.subid = s.oid)' : 'null'} as stats
  from pg_subscription s where s.subname = any ($1) and s.subdbid = ${thisDatabase}`;

const withStatistics = new WeakMap<ClientBase, boolean>();

async function countsErrors(client: ClientBase): Promise<boolean> {
  const known = withStatistics.get(client);
  if (known !== undefined) return known;
  const { rows } = await client.query<{ there: string | null }>(
    `select to_regclass('pg_catalog.pg_stat_subscription_stats')::text as there`,
  );
  const there = rows[0]?.there !== null;
  withStatistics.set(client, there);
  return there;
}

/** Those of the named subscriptions that are there, by name. */
export async function readSubscriptions(client: ClientBase, names: string[]): Promise<Map<string, Subscription>> {
  const { rows } = await client.query<SubscriptionRow>(subscriptionsSql(await countsErrors(client)), [names]);
  return new Map(
    rows.map(({ name, enabled, slot, pid, tables, stats }) => {
      const counts = Object.entries(stats === null ? {} : (JSON.parse(stats) as Record<string, unknown>));
      const conflicts = counts.flatMap(([key, value]): [string, number][] =>
        key.startsWith('confl_') && Number(value) > 0 ? [[key.slice('confl_'.length), Number(value)]] : [],
      );
      const subscription: Subscription = {
        name,
        enabled: enabled === 't',
        tables: Number(tables),
        conflicts: Object.fromEntries(conflicts),
        ...(stats === null ? {} : { errors: Number(counts.find(([key]) => key === 'apply_error_count')?.[1] ?? 0) }),
        ...(slot === null ? {} : { slot }),
        ...(pid === null ? {} : { workerPid: pid }),
      };
      return [name, subscription];
    }),
  );
}

/** Enables the named subscriptions at once, in one transaction: servers before 16 start new workers only every five seconds. */
export async function enableSubscriptions(client: ClientBase, names: string[]): Promise<void> {
  if (names.length === 0) return;
  await client
    .query(['begin', ...names.map((name) => `alter subscription ${quoteIdentifier(name)} enable`), 'commit'].join('; '))
    .catch(async (error: unknown) => {
      await client.query('rollback').catch(() => undefined);
      throw error;
    });
}

const workersEndMs = 15_000;

/** Disables the named subscriptions and waits until none of their workers is left; those that are not there are no matter. @throws NotReadyYet (retryable) */
export async function stopSubscriptions(
  client: ClientBase,
  names: string[],
  side: Side,
  signal?: AbortSignal,
): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `select subname as name from pg_subscription where subname = any ($1) and subenabled and subdbid = ${thisDatabase} order by 1`,
    [names],
  );
  if (rows.length > 0) {
    await client
      .query(
        ['begin', ...rows.map(({ name }) => `alter subscription ${quoteIdentifier(name)} disable`), 'commit'].join(
          '; ',
        ),
      )
      .catch(async (error: unknown) => {
        await client.query('rollback').catch(() => undefined);
        throw error;
      });
  }
  const deadline = Date.now() + workersEndMs;
  for (;;) {
    // A worker of a server before 16 notices only with the next change. Ended after its transaction or in it, it leaves all or nothing.
    const left = await client.query<{ pid: string }>(
      `select w.pid, pg_terminate_backend(w.pid) from pg_stat_subscription w join pg_subscription s on s.oid = w.subid
        where s.subname = any ($1) and s.subdbid = ${thisDatabase} and w.pid is not null`,
      [names],
    );
    if (left.rows.length === 0) return;
    if (Date.now() > deadline) {
      throw failure(
        'NotReadyYet',
        `The workers of ${names.join(', ')} on the ${side} have not ended (process ${left.rows.map(({ pid }) => pid).join(', ')}). It is tried again by itself; end them when it lasts.`,
      );
    }
    await sleep(3, undefined, { signal });
  }
}

/** Drops a subscription and its replication origin; its slot, wherever it is, stays. @returns whether it was there */
export async function dropSubscription(
  client: ClientBase,
  name: string,
  side: Side,
  signal?: AbortSignal,
): Promise<boolean> {
  if (!(await readSubscriptions(client, [name])).has(name)) return false;
  await stopSubscriptions(client, [name], side, signal);
  const quoted = quoteIdentifier(name);
  // Without a slot nothing is asked of the other side, which may be away.
  await client.query(`alter subscription ${quoted} set (slot_name = none)`);
  await client.query(`drop subscription if exists ${quoted}`);
  return true;
}
