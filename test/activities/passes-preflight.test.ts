// What preflight says of a migration in passes, on real servers.
import { Client } from 'pg';
import { PostgresConnections } from '../../activities/postgres/connection';
import type { PostgresDependencies } from '../../activities/dependencies';
import { runChecks } from '../../activities/postgres/preflight/check';
import { CheckContext } from '../../activities/postgres/preflight/context';
import { passChecks } from '../../activities/postgres/preflight/passes';
import type { Check } from '../../journal/types';
import { parsePostgresPlan } from '../../plan/parse';
import type { PostgresPlanInput } from '../../plan/postgres';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';

let pair: PostgresPair;
let sourceUrl: string;
let targetUrl: string;
beforeAll(async () => {
  pair = await startPair();
  sourceUrl = await pair.source.createDatabase('shop');
  targetUrl = await pair.target.createDatabase('shop');
  const source = new Client({ connectionString: sourceUrl });
  await source.connect();
  await source.query(`
    create table public.orders (id int primary key, note text, changed_at timestamptz, seen_at timestamptz);
    create index on public.orders (changed_at);
    create table public.log (line text);
    create table public.parts (id int, day date, primary key (id, day)) partition by range (day);
    create table public.parts_1 partition of public.parts default;
    create index on public.parts (day)`);
  await source.end();
});
afterAll(() => pair.stop());

async function look(
  incremental: PostgresPlanInput['incremental'] = {},
  checks?: PostgresPlanInput['validation'],
): Promise<Map<string, Check>> {
  const parsed = parsePostgresPlan({
    name: 'shop',
    strategy: 'incremental',
    source: { env: 'SOURCE' },
    target: { env: 'TARGET' },
    incremental,
    ...(checks ? { validation: checks } : {}),
  });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
  const { source, target, tables, strategy, roles, waivers, snapshot, validation, incremental: settings } = parsed.plan;
  const context = new CheckContext(
    {
      scope: { migration: 'shop', source, target, tables },
      strategy,
      roles,
      waivers,
      snapshot,
      validation,
      incremental: settings,
    },
    { connections: new PostgresConnections({ SOURCE: sourceUrl, TARGET: targetUrl }) } as PostgresDependencies,
    new AbortController().signal,
  );
  try {
    await context.connect();
    const found = await runChecks(passChecks, context, {});
    return new Map(found.map((check) => [check.name, check]));
  } finally {
    await context.end();
  }
}

describe('preflight of a migration in passes', () => {
  it('finds nothing to fail where changes are told by row versions, and names tables that are read whole', async () => {
    const checks = await look();
    expect([...checks.values()].filter(({ outcome }) => outcome === 'fail')).toEqual([]);
    expect(checks.get('tables-read-whole')).toMatchObject({ outcome: 'warn' });
    expect(checks.get('tables-read-whole')?.found).toContain('public.log (no key');
    expect(checks.get('tables-read-whole')?.found).not.toContain('orders');
    expect(checks.get('transaction-age')).toMatchObject({ outcome: 'pass' });
  });

  it('wants update columns that exist and tell time, and an index on each', async () => {
    const on = async (table: string, column: string): Promise<Check | undefined> =>
      (await look({ updateColumns: [{ table, column }] })).get('update-columns');
    expect(await on('public.orders', 'changed_at')).toMatchObject({ outcome: 'pass' });
    expect(await on('public.parts', 'day')).toMatchObject({ outcome: 'pass' });
    expect(await on('public.orders', 'seen_at')).toMatchObject({
      outcome: 'warn',
      fix: expect.stringContaining('CREATE INDEX CONCURRENTLY ON "public"."orders" ("seen_at")') as string,
    });
    expect((await on('public.orders', 'note'))?.found).toContain('public.orders.note is text');
    expect(await on('public.orders', 'gone')).toMatchObject({ outcome: 'fail' });
    expect(await on('public.nothing', 'gone')).toMatchObject({ outcome: 'fail' });
  });

  it('refuses an update column where no digest would find what leaves it alone', async () => {
    const updateColumns = [{ table: 'public.parts', column: 'day' }];
    const on = async (checksum: string[]): Promise<Check | undefined> =>
      (await look({ updateColumns }, { checksum })).get('update-columns');
    expect(await on(['public.parts_*'])).toMatchObject({ outcome: 'pass' });
    const left = await on(['public.orders']);
    expect(left).toMatchObject({ outcome: 'fail' });
    expect(left?.found).toContain('leaves out public.parts_1');
  });

  it('asks the probe of the plan', async () => {
    const probe = async (sql: string): Promise<Check | undefined> =>
      (await look({ pressure: { probe: { sql, max: 5 } } })).get('pressure-probe');
    expect(await probe('select count(*) from orders')).toMatchObject({ outcome: 'pass' });
    expect(await probe("select 'busy'")).toMatchObject({ outcome: 'fail' });
    expect(await probe('select * from nowhere')).toMatchObject({ outcome: 'fail' });
  });
});
