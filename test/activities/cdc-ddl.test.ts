import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Client } from 'pg';
import { createFileStore } from '../../activities/artifacts/file-store';
import { runTool } from '../../activities/postgres/client-tools';
import { PostgresConnections } from '../../activities/postgres/connection';
import {
  createFingerprintActivities,
  fingerprintLines,
  readFingerprint,
  schemaChanges,
} from '../../activities/postgres/ddl/fingerprint';
import { createGuardActivities, guardName } from '../../activities/postgres/ddl/guard';
import type { TableSelection } from '../../plan/postgres';
import { locateClientTools } from '../../worker/client-tools';
import { failureOf } from '../fixtures/failure-of';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';
import { until } from '../fixtures/until';

const all: TableSelection = { include: ['*.*'], exclude: [] };

let pair: PostgresPair;
let folder: string;
let number = 0;
let database: string;
const open: Client[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cutover-ddl-'));
  pair = await startPair();
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.end()));
});
afterAll(async () => {
  await pair.stop();
  await rm(folder, { recursive: true, force: true });
});

type Side = 'source' | 'target';

/** A session of an application. */
async function connect(url: string): Promise<Client> {
  const client = new Client({ connectionString: url, application_name: 'shop' });
  client.on('error', () => undefined);
  await client.connect();
  open.push(client);
  return client;
}

/** A session of ours. */
async function ours(side: Side, name = database): Promise<Client> {
  const connections = new PostgresConnections({ URL: pair[side].url(name) });
  const client = await connections.open({ env: 'URL' }, { side, purpose: 'test' });
  open.push(client);
  return client;
}

async function freshDatabase(side: Side): Promise<Client> {
  database = `shop ${++number}`;
  return connect(await pair[side].createDatabase(database));
}

const schema = `
create extension hstore;
create schema "Odd ""sales.of";
create type public.mood as enum ('sad', 'fine');
create domain public.positive as int check (value > 0);
create function public.tax(amount numeric) returns numeric language sql immutable as 'select amount * 0.2';
create procedure public.tidy() language plpgsql as 'begin end';
create table "Odd ""sales.of"."Order" (id bigint generated always as identity primary key, customer int, note text default 'none', feeling public.mood,
  price numeric(10,2) not null, gross numeric generated always as (price * 1.2) stored, constraint dear check (price > 0));
create index "by customer" on "Odd ""sales.of"."Order" (customer);
create table public.days (at date, what text) partition by range (at);
create table public.d1 partition of public.days for values from ('2025-01-01') to ('2026-01-01');
create table public.d2 partition of public.days for values from ('2026-01-01') to ('2027-01-01');
create table public.customers (id serial primary key, name text, tags public.hstore);
create table public.scratch (id int primary key, entry jsonb);
create function public.touch() returns trigger language plpgsql as 'begin return new; end';
create trigger touching before update on public.customers for each row execute function public.touch();
create view public.dear as select id, price from "Odd ""sales.of"."Order" where price > 100;
create materialized view public.sums as select customer, sum(price) from "Odd ""sales.of"."Order" group by 1;
create unique index on public.sums (customer);
alter table public.customers enable row level security;
create policy own on public.customers using (id > 0)`;

/** What somebody does, and what is told of it: every line that must be there. */
const changes: [what: string, sql: string, told: RegExp[]][] = [
  ['a new column', 'alter table public.customers add extra int', [/^\+ column public\.customers\.extra: integer/]],
  ['a column gone', 'alter table public.customers drop tags', [/^- column public\.customers\.tags: public\.hstore/]],
  [
    'another type',
    'alter table public.customers alter name type varchar(30)',
    [/^- column public\.customers\.name: text/, /^\+ column public\.customers\.name: character varying\(30\)/],
  ],
  [
    'another default',
    `alter table "Odd ""sales.of"."Order" alter note set default 'x'`,
    [/\+ column .*note: text default 'x'::text/],
  ],
  [
    'NOT NULL',
    'alter table public.customers alter name set not null',
    [/^\+ column public\.customers\.name: text not null/],
  ],
  [
    'a column made anew as it was',
    'alter table public.scratch drop entry; alter table public.scratch add entry jsonb',
    [/^- column public\.scratch\.entry: jsonb \(number 2\)/, /^\+ column public\.scratch\.entry: jsonb \(number 3\)/],
  ],
  [
    'a table made anew as it was',
    'drop table public.scratch; create table public.scratch (id int primary key, entry jsonb)',
    [/^- table public\.scratch: number \d+/, /^\+ table public\.scratch: number \d+/],
  ],
  [
    'identity taken away',
    `alter table "Odd ""sales.of"."Order" alter id drop identity`,
    [/^\+ column "Odd ""sales\.of"\."Order"\.id: bigint not null \(number 1\)/],
  ],
  [
    'a constraint',
    'alter table public.customers add constraint named check (name <> $$$$)',
    [/^\+ constraint named of public\.customers: CHECK/],
  ],
  ['a constraint gone', `alter table "Odd ""sales.of"."Order" drop constraint dear`, [/^- constraint dear of /]],
  [
    'an index',
    'create index on public.customers (name)',
    [/^\+ index customers_name_idx of public\.customers: CREATE INDEX/],
  ],
  ['an index gone', 'drop index "Odd ""sales.of"."by customer"', [/^- index "by customer" of /]],
  [
    'a trigger',
    'create trigger again before insert on public.customers for each row execute function public.touch()',
    [/^\+ trigger again of public\.customers/],
  ],
  [
    'a trigger put out',
    'alter table public.customers disable trigger touching',
    [/^\+ trigger touching of public\.customers: .* enabled D$/],
  ],
  [
    'a function’s body',
    `create or replace function public.tax(amount numeric) returns numeric language sql immutable as 'select amount * 0.19'`,
    [/^- function public\.tax\(amount numeric\)/, /^\+ function public\.tax\(amount numeric\)/],
  ],
  ['a procedure gone', 'drop procedure public.tidy()', [/^- procedure public\.tidy\(\)/]],
  [
    'an enum’s label',
    `alter type public.mood add value 'glad' before 'fine'`,
    [/^\+ enum public\.mood: 'sad', 'glad', 'fine'/],
  ],
  [
    'a domain',
    'alter domain public.positive drop constraint positive_check',
    [/^\+ domain public\.positive: integer$/],
  ],
  [
    'a table',
    'create table public.more (id serial primary key, x text)',
    [/^\+ table public\.more: number/, /^\+ sequence public\.more_id_seq/],
  ],
  ['a table gone', 'drop table public.scratch', [/^- table public\.scratch/]],
  [
    'a partition',
    `create table public.d3 partition of public.days for values from ('2027-01-01') to ('2028-01-01')`,
    [/^\+ table public\.d3: number \d+, partition of public\.days, FOR VALUES FROM/],
  ],
  ['a partition gone', 'drop table public.d2', [/^- table public\.d2/]],
  ['a partition let go', 'alter table public.days detach partition public.d2', [/^\+ table public\.d2: number \d+$/]],
  ['UNLOGGED', 'alter table public.scratch set unlogged', [/^\+ table public\.scratch: number \d+, unlogged/]],
  ['a policy', 'drop policy own on public.customers', [/^- policy own of public\.customers/]],
  [
    'row security',
    'alter table public.customers disable row level security',
    [/^\+ table public\.customers: number \d+$/],
  ],
  [
    'a view',
    'create or replace view public.dear as select id, price from "Odd ""sales.of"."Order" where price > 99',
    [/^- view public\.dear/, /^\+ view public\.dear/],
  ],
  [
    'a rule',
    'create rule quiet as on delete to public.customers do instead nothing',
    [/^\+ rule quiet of public\.customers/],
  ],
  [
    'a sequence’s step',
    'alter sequence public.customers_id_seq increment 5',
    [/^\+ sequence public\.customers_id_seq: integer start 1 increment 5/],
  ],
  ['a schema', 'create schema more', [/^\+ schema more$/]],
  [
    'a renamed table',
    'alter table public.scratch rename to scratched',
    [/^- table public\.scratch:/, /^\+ table public\.scratched:/],
  ],
  ['an extension', 'drop extension hstore cascade', [/^- extension hstore/, /^- column public\.customers\.tags/]],
];

describe.each(['source', 'target'] as const)('a fingerprint of the %s', (side) => {
  let client: Client;
  let lines: string[];
  let application: Client;

  beforeAll(async () => {
    application = await freshDatabase(side);
    await application.query(schema);
    await application.end();
    open.length = 0;
  });
  beforeEach(async () => {
    application = await connect(pair[side].url(database));
    client = await ours(side);
    lines = await readFingerprint(client, all);
  });

  it('is the same as often as it is read, and tells nothing then', async () => {
    expect(await readFingerprint(await ours(side), all)).toEqual(lines);
    expect(await schemaChanges(client, lines)).toEqual([]);
  });

  it('tells every change of a definition, and what it was before', async () => {
    const missed: Record<string, string[]> = {};
    for (const [what, sql, told] of changes) {
      await client.query('begin');
      await client.query(sql);
      const found = await schemaChanges(client, lines);
      await client.query('rollback');
      if (!told.every((expected) => found.some((line) => expected.test(line)))) missed[what] = found;
    }
    expect(missed).toEqual({});
    expect(await schemaChanges(client, lines)).toEqual([]);
  });

  it('takes nothing for a change that is rows, upkeep, ours or temporary', async () => {
    for (const sql of [
      `insert into "Odd ""sales.of"."Order" (price) values (7), (8)`,
      `select nextval('public.customers_id_seq')`,
      'truncate public.scratch',
      'analyze',
      'vacuum full public.scratch',
      'reindex table concurrently public.customers',
      'refresh materialized view concurrently public.sums',
      'create temp table basket (id serial primary key, x text default 1); create index on pg_temp.basket (x)',
      'alter table public.scratch replica identity full',
      'alter table "Odd ""sales.of"."Order" replica identity using index "Order_pkey"',
      'create publication of_others for table public.customers',
      'grant select on public.customers to public',
      `comment on table public.customers is 'people'`,
      'create schema cutover; create table cutover.marker (id int primary key); create function cutover.f() returns int language sql as $$select 1$$',
    ]) {
      await application.query(sql);
      expect([sql, await schemaChanges(client, lines)]).toEqual([sql, []]);
    }
    await application.query('drop schema cutover cascade; drop publication of_others');
  });

  it('leaves out what the plan leaves out, now and later', async () => {
    const selection: TableSelection = { include: ['*.*'], exclude: ['public.scratch*', 'public.days'] };
    const some = await readFingerprint(client, selection);
    await client.query('begin');
    await client.query(
      `alter table public.scratch add x int; create table public.scratch_more (id serial primary key); drop table public.d2`,
    );
    expect(await schemaChanges(client, some)).toEqual([]);
    await client.query('alter table public.customers add x int');
    expect(await schemaChanges(client, some)).toEqual([expect.stringMatching(/^\+ column public\.customers\.x/)]);
    await client.query('rollback');
  });

  it('tells of a new table only that it is there, and of many changes the first twenty', async () => {
    await client.query('begin');
    await client.query(
      'create table public.wide (a int primary key, b text not null, c int check (c > 0)); create index on public.wide (b)',
    );
    expect(await schemaChanges(client, lines)).toEqual([expect.stringMatching(/^\+ table public\.wide/)]);
    for (let index = 10; index < 40; index += 1) await client.query(`create table public.t${index} (a int)`);
    const told = await schemaChanges(client, lines);
    await client.query('rollback');
    expect(told).toHaveLength(21);
    expect(told[0]).toMatch(/^\+ table public\.t10/);
    expect(told[20]).toBe('and 11 more');
  });
});

it('is kept as an artifact, and compared on 50 tables in some milliseconds, or some tens where it must be read', async () => {
  for (const side of ['source', 'target'] as const) {
    const application = await freshDatabase(side);
    for (let index = 0; index < 50; index += 1) {
      await application.query(
        `create table public.t${index} (id bigint generated always as identity primary key, a text not null default 'x', b numeric(10,2), c timestamptz default now(), d jsonb, e int check (e > 0));
         create index on public.t${index} (a); create index on public.t${index} (c, b)`,
      );
    }
    const connections = new PostgresConnections({ URL: pair[side].url(database) });
    const artifacts = createFileStore(pathToFileURL(folder).href);
    const { fingerprintSchema } = createFingerprintActivities({ connections, artifacts, tools: {} });
    const scope = { migration: 'shop', source: { env: 'URL' }, target: { env: 'URL' }, tables: all };
    const { artifact, objects } = await fingerprintSchema({ scope, side });
    const lines = fingerprintLines(await artifacts.read(artifact));
    expect(lines).toHaveLength(objects + 1);
    expect(objects).toBeGreaterThan(500);
    const client = await ours(side);
    const tookMs = async (): Promise<number> => {
      const started = performance.now();
      expect(await schemaChanges(client, lines)).toEqual([]);
      return performance.now() - started;
    };
    // Alone on the machine it takes 4 and 20 ms; others beside this test take the processor away most of the time.
    await until('a glance takes less than 30 ms', async () => (await tookMs()) < 30);
    await until('reading takes less than 100 ms', async () => {
      await client.query('truncate public.t7');
      return (await tookMs()) < 100;
    });
  }
});

describe('the guard', () => {
  const scopeOf = (migration = 'shop') => ({
    migration,
    source: { env: 'URL' },
    target: { env: 'NOWHERE' },
    tables: all,
  });
  const guard = (url: string) =>
    createGuardActivities({
      connections: new PostgresConnections({ URL: url }),
      artifacts: createFileStore(pathToFileURL(folder).href),
      tools: {},
    });

  it.each(['source', 'target'] as const)(
    'refuses DDL of others on the %s while it is up, and nothing else',
    async (side) => {
      const application = await freshDatabase(side);
      const url = pair[side].url(database);
      await application.query(schema);
      const clerk = `clerk ${number}`;
      await application.query(
        `create role "${clerk}" login password '${pair[side].password}'; grant create, usage on schema public to "${clerk}"; grant temporary on database "${database}" to "${clerk}"`,
      );
      const { guardDdl } = guard(url);
      const scope = scopeOf('shop 100% "new"');
      expect(await guardDdl({ scope, on: true })).toEqual({ on: true });
      expect(await guardDdl({ scope, on: true })).toEqual({ on: true });

      const clerks = await connect(pair[side].url(database, clerk));
      const refused = [
        ...changes.map(([, sql]) => sql),
        'select 1 as a into public.made',
        'drop schema "Odd ""sales.of" cascade',
      ];
      const passed: string[] = [];
      for (const sql of refused) {
        await application.query('begin');
        const end = await application.query(sql).then(() => 'done', String);
        await application.query('rollback');
        if (!end.includes('the migration shop 100% "new" streams')) passed.push(`${sql}: ${end}`);
      }
      expect(passed).toEqual([]);
      await expect(clerks.query('create table public.theirs (a int)')).rejects.toMatchObject({ code: '55000' });

      for (const sql of [
        `insert into "Odd ""sales.of"."Order" (price) values (7), (8)`,
        'truncate public.scratch',
        'analyze',
        'vacuum full public.scratch',
        'cluster public.scratch using scratch_pkey',
        'reindex table concurrently public.customers',
        'refresh materialized view public.sums',
        'refresh materialized view concurrently public.sums',
        `comment on table public.customers is 'people'`,
        'grant select on public.customers to public',
        'create table if not exists public.customers (a int)',
        'drop table if exists public.not_there',
      ])
        await application.query(sql);
      for (const client of [application, clerks]) {
        for (const sql of [
          'create temp table basket (id serial primary key, x int default 1 check (x > 0))',
          'create index on basket (x)',
          'alter table basket alter x type bigint',
          'alter table basket alter x drop default',
          'alter table basket drop x',
          'create temp view seen as select * from basket',
          'drop table basket cascade',
          'begin; create temp table short on commit drop as select 1 as a; commit',
          'select 1 as a into temp other',
          'discard all',
        ])
          await client.query(sql);
      }
      const { pgDump } = await locateClientTools(process.env);
      if (side === 'source' && pgDump) {
        expect((await runTool(pgDump, ['--schema-only', '--dbname', url], {})).exitCode).toBe(0);
      }

      const us = await ours(side);
      await us.query(
        'alter table public.customers add of_ours int; drop table public.scratch; create table public.scratch (id int)',
      );
      expect(await guardDdl({ scope, on: false })).toEqual({ on: false });
      expect(await guardDdl({ scope, on: false })).toEqual({ on: false });
      await application.query('alter table public.customers add of_theirs int');
      const left = await application.query(
        `select evtname from pg_event_trigger union all select proname from pg_proc where proname like 'cutover\\_%'`,
      );
      expect(left.rows).toEqual([]);
    },
  );

  it('is not for a role that may not make one: that is told with the way out, and nothing is left', async () => {
    const application = await freshDatabase('source');
    await application.query(`create role low${number} login password '${pair.source.password}'`);
    await application.query(`grant create on database "${database}" to low${number}`);
    const failed = await failureOf(
      guard(pair.source.url(database, `low${number}`)).guardDdl({ scope: scopeOf(), on: true }),
    );
    expect(failed).toMatchObject({ type: 'PreconditionFailed', nonRetryable: true });
    expect(failed.message).toContain('cdc.ddl to "watch"');
    expect((await application.query(`select from pg_namespace where nspname = 'cutover'`)).rowCount).toBe(0);
  });

  it('has a name that says whose it is', () => {
    expect(guardName('shop')).toMatch(/^cutover_[0-9a-f]{10}_ddl$/);
  });
});
