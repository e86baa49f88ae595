import { Readable } from 'node:stream';
import { createHash } from 'node:crypto';
import type { ArtifactReference, ArtifactStore } from '../../activities/artifacts/store';
import { failure } from '../../activities/errors';
import { createReportActivities } from '../../activities/report/write';
import { completedJournal } from '../fixtures/journal';

/** A store in memory: what it must do besides is the business of the real one's tests. */
function memoryStore(): ArtifactStore & { text(reference: ArtifactReference): string } {
  const contents = new Map<string, string>();
  const text = ({ url, sha256 }: ArtifactReference): string => {
    const content = contents.get(url);
    if (content === undefined || createHash('sha256').update(content).digest('hex') !== sha256) {
      throw failure('VerificationMismatch', `${url} is damaged. Look for it in a backup.`);
    }
    return content;
  };
  return {
    text,
    put(migration, name, content) {
      if (content instanceof Readable) throw new Error('not needed here');
      const stored = content.toString();
      const sha256 = createHash('sha256').update(stored).digest('hex');
      const reference = { url: `memory://${migration}/${sha256}-${name}`, sha256, bytes: stored.length, name };
      contents.set(reference.url, stored);
      return Promise.resolve(reference);
    },
    read: async (reference) => text(reference),
    fetch: () => Promise.reject(new Error('not needed here')),
    remove: () => Promise.reject(new Error('not needed here')),
  };
}

const tables = Array.from({ length: 2_500 }, (_, index) => ({ table: `public.t${index}`, rows: '1', bytes: index }));

it('writes Markdown, HTML and JSON, and the same again', async () => {
  const store = memoryStore();
  const activities = createReportActivities({ artifacts: store });
  const report = await activities.writeReport({ journal: completedJournal() });
  expect(store.text(report.markdown)).toContain('# Data Migration Report: orders-to-18');
  expect(store.text(report.html)).toMatch(/^<!doctype html>/);
  expect(JSON.parse(store.text(report.json))).toEqual(completedJournal());
  expect(await activities.writeReport({ journal: completedJournal() })).toEqual(report);
});

it.each([
  ['an array', tables],
  ['an object with tables', { tables }],
])('lists every table of %s in the JSON, and the largest in the other forms', async (_name, content) => {
  const store = memoryStore();
  const activities = createReportActivities({ artifacts: store });
  const list = await store.put('orders-to-18', 'tables.json', JSON.stringify(content));
  const report = await activities.writeReport({ journal: completedJournal(), tables: list });
  expect(JSON.parse(store.text(report.json))).toMatchObject({ tables: { length: 2_500 } });
  expect(store.text(report.markdown)).toContain('`public.t2499`');
  expect(store.text(report.markdown)).toContain('500 more tables, all smaller');
  expect(store.text(report.markdown)).toContain(list.sha256);
});

it.each([
  ['damaged', 'no JSON'],
  ['no list', '{"rows": 3}'],
])('owes a report also when the list of tables is %s', async (_name, content) => {
  const store = memoryStore();
  const activities = createReportActivities({ artifacts: store });
  const list = await store.put('orders-to-18', 'tables.json', content);
  const report = await activities.writeReport({ journal: completedJournal(), tables: list });
  expect(store.text(report.markdown)).toContain('The list of all tables is missing here');
  expect(store.text(report.markdown)).toContain('`public.orders`');
});

it('is tried again while the store cannot be reached', async () => {
  const store = memoryStore();
  const list = await store.put('orders-to-18', 'tables.json', '[]');
  const away = {
    ...store,
    read: () => Promise.reject(failure('ArtifactStoreUnavailable', 'The store is away. Mount it.')),
  };
  const activities = createReportActivities({ artifacts: away });
  await expect(activities.writeReport({ journal: completedJournal(), tables: list })).rejects.toThrow(
    'The store is away',
  );
});
