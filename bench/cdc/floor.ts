// The floor: a hand-over by a bare script, with no proof, no way to undo and nothing that survives a crash. What is left of the freeze when
// everything is left out that can be, on the same servers, under the same load, at the end of a plain subscription's round.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { connect, loadRole } from './data';
import type { LoadProcess, Side } from './load-process';
import { passMark } from './stream-probe';

const sideNames: Record<Side, string> = { source: 'source-database', target: 'new-database' };

interface End {
  side: Side;
  url: string;
  client: Client;
}

/**
 * Forward and back once. The target must follow the source by the subscription `following`; in the end nothing follows, and the source is written to.
 * @returns milliseconds of both freezes, as the writers saw them
 */
export async function floorOf(
  load: LoadProcess,
  sourceUrl: string,
  targetUrl: string,
  following: string,
): Promise<number[]> {
  const source: End = { side: 'source', url: sourceUrl, client: await connect(sourceUrl) };
  const target: End = { side: 'target', url: targetUrl, client: await connect(targetUrl) };
  const before = (await load.status()).switches.length;
  try {
    await target.client.query(`do $$ begin
      if not exists (select from pg_roles where rolname = '${loadRole.name}') then
        create role ${loadRole.name} login password '${loadRole.password}';
      end if;
    end $$`);
    await target.client.query(
      `grant select, insert, update, delete on all tables in schema public to ${loadRole.name}`,
    );
    await target.client.query(`grant usage on all sequences in schema public to ${loadRole.name}`);
    await handOver(load, source, target, following, 'bench_floor_back');
    await load.measureRate(1_000);
    await handOver(load, target, source, 'bench_floor_back', 'bench_floor_forth');
    await load.measureRate(1_000);
    return (await load.status()).switches.slice(before).map(({ freezeMs }) => freezeMs);
  } finally {
    for (const { client } of [source, target]) await removeAll(client);
    await Promise.all([source.client.end(), target.client.end()]);
  }
}

/** `stream` leads from the side that is left to the other; `next` is made the other way. */
async function handOver(load: LoadProcess, from: End, to: End, stream: string, next: string): Promise<void> {
  await to.client.query(`create publication ${next} for all tables`);
  const link = from.url.replaceAll("'", "''");
  const back = to.url.replaceAll("'", "''");
  await load.command('maintenance-mode', { enabled: true });
  await from.client.query(`alter database ${databaseOf(link)} connection limit 0`);
  await from.client.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where usename = '${loadRole.name}' and datname = current_database()`,
  );
  await passMark(from.client, to.client, 30_000);
  const { rows } = await from.client.query<{ last: string }>('select last_value::text as last from events_id_seq');
  await to.client.query(`select setval('events_id_seq', ${rows[0]?.last} + 1000)`);
  await to.client.query(`alter subscription ${stream} disable`);
  await to.client.query(`select pg_create_logical_replication_slot('${next}', 'pgoutput')`);
  await from.client.query(
    `create subscription ${next} connection '${back}' publication ${next} with (create_slot = false, copy_data = false)`,
  );
  while (!(await isActive(to.client, next))) await sleep(2);
  await to.client.query(`alter database ${databaseOf(back)} connection limit -1`);
  await load.command('switch-datastore', { target: sideNames[to.side] });
  await load.command('normal-mode', {});
}

function databaseOf(url: string): string {
  return new URL(url).pathname.slice(1);
}

async function isActive(client: Client, slot: string): Promise<boolean> {
  const { rows } = await client.query<{ active: boolean }>(
    'select active from pg_replication_slots where slot_name = $1',
    [slot],
  );
  return rows[0]?.active === true;
}

/** All subscriptions and publications of this database, and the slots of the floor. */
async function removeAll(client: Client): Promise<void> {
  const subscriptions = await client.query<{ name: string }>(
    `select subname as name from pg_subscription where subname like 'bench_floor%' and subdbid = (select oid from pg_database where datname = current_database())`,
  );
  for (const { name } of subscriptions.rows) {
    await client.query(`alter subscription ${name} disable`);
    await client.query(`alter subscription ${name} set (slot_name = none)`);
    await client.query(`drop subscription ${name}`);
  }
  const slots = `select slot_name from pg_replication_slots where slot_name like 'bench_floor%' and database = current_database()`;
  await client.query(
    `select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name like 'bench_floor%' and active`,
  );
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const { rows } = await client.query<{ active: boolean }>(
      `select coalesce(bool_or(active), false) as active from pg_replication_slots where slot_name like 'bench_floor%' and database = current_database()`,
    );
    if (rows[0]?.active !== true) break;
    await sleep(50);
  }
  await client.query(`select pg_drop_replication_slot(slot_name) from (${slots}) as found`);
  const publications = await client.query<{ name: string }>(
    `select pubname as name from pg_publication where pubname like 'bench_floor%'`,
  );
  for (const { name } of publications.rows) await client.query(`drop publication ${name}`);
}
