// The demo's path on a small shop, to a target some of whose tables have other columns: from the plan to the report, with rows that cannot be
// taken, and the way back when there are too many. A live application ends up on the newer PostgreSQL with every acknowledged write there.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { PostgresPlanInput } from '../../plan/postgres';
import { journalQuery, reportQuery, rollbackSignal } from '../../workflows/messages';
import { adminToken, startShopWorld, type ShopWorld } from '../fixtures/shop-world';
import { phaseIs, until, type MigrationHandle } from '../fixtures/workflow-rig';

const deliveries = {
  table: 'public.deliveries',
  columns: {
    pieces: { rename: 'quantity', type: 'integer' },
    carrier: { type: 'public.carrier', expression: 'lower(carrier)' },
    legacy: { drop: true as const },
  },
};
const subscribers = {
  table: 'public.Newsletter Subscribers',
  columns: {
    since: { rename: 'subscribed_at', type: 'timestamptz', expression: `since at time zone 'Europe/Berlin'` },
  },
};
const plan = (maxRejects: number): Partial<PostgresPlanInput> => ({
  transformations: [{ ...deliveries, maxRejects }, subscribers],
  validation: {
    notNull: [{ table: 'public.deliveries', columns: ['quantity'] }],
    smoke: [{ name: 'quantities are numbers', sql: 'select sum(quantity) > 0 from deliveries', expect: 't' }],
  },
});

let world: ShopWorld;
let handle: MigrationHandle;
beforeAll(async () => {
  world = await startShopWorld({ orders: 1_000, rate: 50 });
  await world.query(
    'source',
    `create type public.carrier as enum ('post', 'courier');
     create table public.deliveries (id int primary key, pieces text not null, carrier text, legacy text not null default 'x');
     insert into public.deliveries select i, i % 9 + 1, case when i % 2 = 0 then 'Post' else 'COURIER' end from generate_series(1, 5000) i;
     update public.deliveries set pieces = 'several' where id in (17, 4321);
     create index deliveries_carrier on public.deliveries (carrier)`,
  );
}, 600_000);
afterAll(() => world.stop(), 60_000);

it('stops when more rows than the plan takes cannot be cast, tells which, and leaves nothing behind when it goes back', async () => {
  const stopped = await world.start(plan(1));
  const { blocked } = await until(stopped, phaseIs('blocked'), 120_000);
  expect(blocked).toMatchObject({ step: 'copy-data' });
  expect(blocked?.failure).toMatch(/2 rows of public\.deliveries .* takes 1.*key=\(17\) pieces/);
  await stopped.signal(rollbackSignal, { by: 'test', reason: 'the rows have to be mended' });
  expect(await stopped.result()).toMatchObject({ outcome: 'rolled-back' });
  const journal = await stopped.query(journalQuery);
  expect(journal.left.filter(({ state }) => state === 'present')).toEqual([]);
  expect(journal.transformations?.rejects).toHaveLength(2);
  expect(journal.artifacts.map(({ name }) => name)).toContain('rejects.jsonl');
  const left = await world.query('target', `select relname from pg_class where relname ~ 'deliveries|Newsletter'`);
  expect(left).toEqual([]);
}, 300_000);

describe('with a limit that is high enough', () => {
  beforeAll(async () => {
    handle = await world.start(plan(2));
    await handle.result();
  }, 300_000);

  it('completes, with every other row on the target in its new shape', async () => {
    expect(await handle.result()).toMatchObject({ outcome: 'completed', differences: 0 });
    const [row] = await world.query(
      'target',
      `select count(*)::int as rows, sum(quantity)::int > 0 as numbers, count(distinct carrier)::int as carriers from public.deliveries`,
    );
    expect(row).toEqual({ rows: 4_998, numbers: true, carriers: 2 });
    const columns = await world.query(
      'target',
      `select attname as name, format_type(atttypid, atttypmod) as type from pg_attribute
       where attrelid in ('public.deliveries'::regclass, 'public."Newsletter Subscribers"'::regclass) and attnum > 0 and not attisdropped
       order by attrelid::regclass::text, attnum`,
    );
    expect(columns.map(({ name, type }) => `${String(name)} ${String(type)}`)).toEqual(
      expect.arrayContaining(['quantity integer', 'carrier carrier', 'subscribed_at timestamp with time zone']),
    );
    expect(columns.map(({ name }) => name)).not.toContain('legacy');
  });

  it('reports each column with its expression, the rows that are missing, and what of the schema follows from the plan', async () => {
    const journal = await handle.query(journalQuery);
    const markdown = await handle.query(reportQuery);
    expect(journal.validation?.filter(({ outcome }) => outcome !== 'pass' && outcome !== 'skipped')).toEqual([]);
    expect(journal.validation?.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        'rows of public.deliveries through its transformations',
        'public.deliveries.quantity = pieces as integer',
        'public.deliveries.carrier = lower(carrier) as public.carrier',
        `public.Newsletter Subscribers.subscribed_at = since at time zone 'Europe/Berlin' as timestamptz`,
      ]),
    );
    expect(journal.fidelity?.differences).toEqual([]);
    expect(journal.fidelity?.accepted.some((line) => line.endsWith(`(by the plan's transformations)`))).toBe(true);
    expect(markdown).toContain('key=(4321) pieces');
    const html = readFileSync(fileURLToPath((await handle.result()).reportArtifact), 'utf8');
    expect(html).toContain('shop.orders');
    expect(html).toMatch(/<code>public\.deliveries<\/code>/);
    expect(journal.tables?.find(({ table }) => table === 'public.deliveries')?.equal).toBe(true);
    const accept = journal.gates.find(({ name }) => name === 'accept');
    expect(accept?.evidence.join()).toContain('2 rows of public.deliveries');
    const rejects = journal.artifacts.find(({ name }) => name === 'rejects.jsonl');
    const lines = readFileSync(fileURLToPath(rejects?.url ?? ''), 'utf8')
      .trim()
      .split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { key: string }).key)).toEqual(['(17)', '(4321)']);
    expect(journal.left.filter(({ state }) => state === 'present')).toEqual([]);
  });

  it('has every acknowledged write on the target, once', async () => {
    const { acknowledged, missing, doubled, bySide } = await world.judge('target');
    expect({ missing, doubled }).toEqual({ missing: [], doubled: [] });
    expect(acknowledged).toBeGreaterThan(0);
    expect(bySide.target).toBeGreaterThan(0);
  });

  it('keeps the old side fenced, so that no stray writer loses anything there', async () => {
    const [source] = await world.query(
      'source',
      'select datconnlimit as limit from pg_database where datname = current_database()',
    );
    expect(source).toEqual({ limit: 0 });
  });

  it('proved every row of every table', async () => {
    const { tables } = await handle.query(journalQuery);
    expect(tables?.every(({ equal }) => equal === true)).toBe(true);
  });

  it('writes a report with every table of the runbook, as Markdown and as one HTML file', async () => {
    const { reportArtifact } = await handle.result();
    const html = readFileSync(fileURLToPath(reportArtifact), 'utf8');
    const markdown = await handle.query(reportQuery);
    for (const heading of [
      'Pre-Migration Checklist',
      'Migration Strategy',
      'Dry Run',
      'Production Migration Execution',
      'Validation',
      'Rollback',
      'Post-Migration Actions',
    ]) {
      expect(markdown.toLowerCase()).toContain(heading.toLowerCase());
    }
    expect(html).toContain('<svg');
    expect(html).not.toMatch(/(src|href)="https?:\/\/(?!127\.0\.0\.1)/);
  });

  it('has no secret in its history', async () => {
    const history = JSON.stringify(await handle.fetchHistory());
    const decoded = [...history.matchAll(/"data":"([A-Za-z0-9+/=]+)"/g)]
      .map(([, data]) => Buffer.from(data ?? '', 'base64').toString())
      .join('\n');
    expect(decoded.length).toBeGreaterThan(1_000);
    const password = new URL(world.sourceUrl).password;
    if (password) expect(decoded).not.toContain(password);
    expect(decoded).not.toContain(adminToken);
  });
});
