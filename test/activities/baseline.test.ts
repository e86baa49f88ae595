import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Client } from 'pg';
import { createFileStore } from '../../activities/artifacts/file-store';
import { failureType } from '../../activities/errors';
import { createBaselineActivities } from '../../activities/postgres/baseline';
import { PostgresConnections } from '../../activities/postgres/connection';
import type { PostgresScope } from '../../activities/postgres/scope';
import { startPostgres, type PostgresServer } from '../../local/postgres-server';

describe.each([15, 18] as const)('baseline metrics of PostgreSQL %i', (major) => {
  let server: PostgresServer;
  let folder: string;
  let admin: Client;
  const artifacts = () => createFileStore(pathToFileURL(folder).href);
  const scope: PostgresScope = {
    migration: 'baseline',
    source: { env: 'SOURCE' },
    target: { env: 'SOURCE' },
    tables: { include: ['*.*'], exclude: ['public.left_out'] },
  };
  const activities = () =>
    createBaselineActivities({
      connections: new PostgresConnections({ SOURCE: server.url('shop') }),
      artifacts: artifacts(),
      tools: {},
    });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cutover-baseline-'));
    server = await startPostgres({ major });
    admin = new Client({ connectionString: await server.createDatabase('shop') });
    await admin.connect();
    await admin.query(`
      create schema "Odd Schema";
      create table public.orders (id int primary key, updated_at timestamptz);
      insert into public.orders select i, timestamptz '2026-01-01 00:00:00.123456Z' - i * interval '1 day' from generate_series(0, 999) i;
      insert into public.orders values (-1, 'infinity'), (-2, null);
      create table "Odd Schema"."Item.s" (id int, created_at timestamp);
      insert into "Odd Schema"."Item.s" values (1, '2025-03-04 05:06:07');
      create index on public.orders (updated_at);
      create table public.parent (a int);
      create table public.child () inherits (public.parent);
      insert into public.parent values (1);
      insert into public.child values (2), (3);
      create table public.left_out as select generate_series(1, 50) as n;
      create table public.days (at date) partition by range (at);
      create table public.days_2025 partition of public.days for values from ('2025-01-01') to ('2026-01-01');
      insert into public.days values ('2025-05-05');`);
  });
  afterAll(async () => {
    await admin.end();
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('counts every selected table exactly, inheritance children once, and keeps the counts as an artifact', async () => {
    const { metrics, counts } = await activities().measureBaseline({ scope, queries: [] });
    expect(metrics).toMatchObject({ tables: 5, rows: String(1002 + 1 + 1 + 2 + 1), connections: 1 });
    expect(metrics.databaseBytes).toBeGreaterThan(1_000_000);
    expect(metrics).not.toHaveProperty('replicationLagBytes');
    const { tables } = JSON.parse(await artifacts().read(counts)) as { tables: { table: string; rows: string }[] };
    expect(tables.map(({ table, rows }) => [table, rows])).toEqual([
      ['Odd Schema.Item.s', '1'],
      ['public.child', '2'],
      ['public.days_2025', '1'],
      ['public.orders', '1002'],
      ['public.parent', '1'],
    ]);
  });

  it('finds the latest update by an indexed column, infinity left out, microseconds kept', async () => {
    const { metrics } = await activities().measureBaseline({ scope, queries: [] });
    expect(metrics.latestUpdate).toEqual({
      column: 'public.orders.updated_at',
      value: '2026-01-01 00:00:00.123456+00',
    });
  });

  it('times the named queries without changing anything, and names the one that cannot run', async () => {
    const queries = [
      { name: 'slow', sql: 'select pg_sleep(0.02)' },
      { name: 'orders', sql: 'select * from orders where id = 5' },
    ];
    const { performance } = await activities().measureBaseline({ scope, queries });
    expect(performance.map(({ name }) => name)).toEqual(['slow', 'orders']);
    expect(performance[0]?.medianMs).toBeGreaterThan(20);
    const writing = { name: 'writing', sql: `delete from public.orders` };
    const twice = { name: 'twice', sql: `select 1; delete from public.orders` };
    for (const query of [writing, twice]) {
      const refused: unknown = await activities()
        .measurePerformance({ scope, side: 'source', queries: [query] })
        .catch((error: unknown) => error);
      expect(failureType(refused)).toBe('PreconditionFailed');
      expect(String(refused)).toContain(`"${query.name}"`);
    }
    expect((await admin.query<{ n: string }>('select count(*) as n from public.orders')).rows[0]?.n).toBe('1002');
  });
});
