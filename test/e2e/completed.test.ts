// The demo's path on a small shop: a live application ends up on the newer PostgreSQL with every acknowledged write there, and a report that says so.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { journalQuery, reportQuery } from '../../workflows/messages';
import { startShopWorld, type ShopWorld } from '../fixtures/shop-world';
import type { MigrationHandle } from '../fixtures/workflow-rig';

let world: ShopWorld;
let handle: MigrationHandle;
beforeAll(async () => {
  world = await startShopWorld();
  handle = await world.start();
  await handle.result();
}, 600_000);
afterAll(() => world.stop(), 60_000);

describe('a big-bang migration of a live shop', () => {
  it('completes, and its result says so', async () => {
    expect(await handle.result()).toMatchObject({ outcome: 'completed', differences: 0 });
  });

  it('has every acknowledged write on the target, once', async () => {
    const { acknowledged, missing, doubled, bySide } = await world.judge('target');
    expect(missing).toEqual([]);
    expect(doubled).toEqual([]);
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

  it('proved the schema and every row, and left nothing behind that is not named', async () => {
    const journal = await handle.query(journalQuery);
    expect(journal.validation?.filter(({ outcome }) => outcome !== 'pass' && outcome !== 'skipped')).toEqual([]);
    expect(journal.fidelity?.differences).toEqual([]);
    expect(journal.tables?.every(({ equal }) => equal === true)).toBe(true);
    expect(journal.left.filter(({ state }) => state === 'present')).toEqual([]);
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
    expect(decoded).not.toContain('test-only-token');
  });
});
