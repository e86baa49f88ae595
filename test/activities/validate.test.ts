import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Client } from 'pg';
import { createFileStore } from '../../activities/artifacts/file-store';
import { PostgresConnections } from '../../activities/postgres/connection';
import type { PostgresScope } from '../../activities/postgres/scope';
import { createValidationActivities } from '../../activities/postgres/validate';
import { parsePostgresPlan } from '../../plan/parse';
import type { Validation } from '../../plan/postgres';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';

let pair: PostgresPair;
let http: Server;
let activities: ReturnType<typeof createValidationActivities>;
const references = { source: { env: 'SOURCE' }, target: { env: 'TARGET' } };
const scope: PostgresScope = { migration: 'shop-to-18', ...references, tables: { include: ['*.*'], exclude: [] } };

beforeAll(async () => {
  pair = await startPair();
  for (const [server, rows] of [
    [pair.source, 10],
    [pair.target, 9],
  ] as const) {
    const client = new Client({ connectionString: await server.createDatabase('shop') });
    await client.connect();
    await client.query(`create type public.pair as (a int, b int);
      create table public.orders (id int, "Customer" text, p public.pair);
      insert into public.orders select n, case when n > 7 then null else 'secret-' || n end, row(null, null)::public.pair from generate_series(1, ${rows}) n;
      create table public.parts (id int, v text) partition by range (id); create table public.part_1 partition of public.parts default;
      insert into public.parts values (1, 'x')`);
    await client.end();
  }
  http = createServer((request, response) => response.writeHead(request.url === '/ok' ? 200 : 500).end('hello')).listen(
    0,
    '127.0.0.1',
  );
  const connections = new PostgresConnections({ SOURCE: pair.source.url('shop'), TARGET: pair.target.url('shop') });
  activities = createValidationActivities({
    connections,
    tools: {},
    artifacts: createFileStore('file:///tmp/cutover-unused'),
  });
});
afterAll(async () => {
  http.close();
  await pair.stop();
});

function validation(input: object): Validation {
  const parsed = parsePostgresPlan({ name: 'shop-to-18', ...references, validation: input });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
  return parsed.plan.validation;
}
const outcomes = (records: { name: string; outcome: string }[]) =>
  Object.fromEntries(records.map(({ name, outcome }) => [name, outcome]));

describe('declared checks', () => {
  it('count NULLs in every table of a pattern, partitions by the name of their parent, and never pass what cannot be looked at', async () => {
    const notNull = [
      { table: 'public.orders', columns: ['id', 'Customer', 'p', 'nowhere'] },
      { table: 'public.parts', columns: ['v'] },
      { table: 'public.gone', columns: ['id'] },
    ];
    const records = await activities.checkDeclared({ scope, validation: validation({ notNull }) });
    expect(outcomes(records)).toEqual({
      'not null: public.orders.id': 'pass',
      'not null: public.orders.Customer': 'fail',
      'not null: public.orders.p': 'pass',
      'not null: public.orders.nowhere': 'unverifiable',
      'not null: public.part_1.v': 'pass',
      'not null: public.gone': 'unverifiable',
    });
    expect(records[1]).toMatchObject({ target: '2 NULLs' });
  });

  it('compare an assertion with its expected value, or else with the source, as text', async () => {
    const assertions = [
      { name: 'expected', sql: 'select count(*) from orders', expect: '9' },
      { name: 'against source', sql: 'select count(*) from orders' },
      { name: 'equal', sql: 'select max(id) > 5 from orders' },
      { name: 'boolean', sql: 'select true', expect: 't' },
      { name: 'null', sql: 'select null', expect: 'NULL' },
    ];
    const records = await activities.checkDeclared({ scope, validation: validation({ assertions }) });
    expect(outcomes(records)).toEqual({
      'assertion: expected': 'pass',
      'assertion: against source': 'fail',
      'assertion: equal': 'pass',
      'assertion: boolean': 'pass',
      'assertion: null': 'pass',
    });
    expect(records[1]).toMatchObject({ source: '10', target: '9' });
  });

  it('are unverifiable, not passed, when the statement fails, is two, writes, or gives no single value, and quote no row', async () => {
    const assertions = [
      { name: 'typo', sql: 'select 1 from nowhere', expect: '1' },
      { name: 'cast', sql: 'select "Customer"::int from orders', expect: '1' },
      { name: 'two', sql: 'select 1; drop table orders', expect: '1' },
      { name: 'writes', sql: `delete from orders returning id`, expect: '1' },
      { name: 'many', sql: 'select id from orders', expect: '1' },
    ];
    const records = await activities.checkDeclared({ scope, validation: validation({ assertions }) });
    expect(records.map(({ outcome }) => outcome)).toEqual(Array(5).fill('unverifiable'));
    expect(records[0]?.differences).toEqual(['target relation "nowhere" does not exist (SQLSTATE 42P01)']);
    expect(records[4]?.differences).toEqual(['target gave 9 rows of 1 columns, expected one value']);
    expect(JSON.stringify(records)).not.toContain('secret-');
  });
});

it('smoke tests pass by SQL when they run and equal what is expected, by HTTP by status; what cannot run fails', async () => {
  const { port } = http.address() as AddressInfo;
  const smoke = validation({
    smoke: [
      { name: 'runs', sql: 'select * from orders' },
      { name: 'equals', sql: 'select count(*) from orders', expect: '9' },
      { name: 'differs', sql: 'select count(*) from orders', expect: '10' },
      { name: 'typo', sql: 'selec 1' },
      { name: 'page', url: `http://127.0.0.1:${port}/ok` },
      { name: 'broken page', url: `http://127.0.0.1:${port}/broken` },
    ],
  }).smoke;
  expect(outcomes(await activities.runSmokeTests({ scope, smoke, side: 'target' }))).toEqual({
    'smoke: runs': 'pass',
    'smoke: equals': 'pass',
    'smoke: differs': 'fail',
    'smoke: typo': 'fail',
    'smoke: page': 'pass',
    'smoke: broken page': 'fail',
  });
});

it('query times pass within the percentage or the tolerance, fail beyond both, and are unverifiable without a baseline', async () => {
  const sleepy = { name: 'sleepy', sql: 'select pg_sleep(0.03)' };
  const queries = [
    sleepy,
    { ...sleepy, name: 'slower' },
    { ...sleepy, name: 'noise' },
    { ...sleepy, name: 'new' },
    { name: 'typo', sql: 'selec' },
  ];
  const { performance } = validation({ performance: { queries, toleranceMilliseconds: 5 } });
  const baseline = [
    { name: 'sleepy', medianMs: 60 },
    { name: 'slower', medianMs: 10 },
    { name: 'noise', medianMs: 28 },
    { name: 'typo', medianMs: 1 },
  ];
  const records = await activities.comparePerformance({ scope, performance, baseline });
  expect(outcomes(records)).toEqual({
    'performance: sleepy': 'pass',
    'performance: slower': 'fail',
    'performance: noise': 'pass',
    'performance: new': 'unverifiable',
    'performance: typo': 'unverifiable',
  });
});
