// Writes the report of a migration to the artifact store: Markdown, one HTML file, and the journal itself as JSON.
// The same journal gives the same three references, so writing again is harmless.
import { ApplicationFailure } from '@temporalio/common';
import { renderHtml } from '../../journal/html';
import { renderReport } from '../../journal/markdown';
import type { Journal, TableRecord } from '../../journal/types';
import type { ArtifactReference, ArtifactStore } from '../artifacts/store';

/** Tables in the Markdown and HTML forms; the JSON has all of them. */
const tablesShown = 2_000;

export interface ReportRequest {
  journal: Journal;
  /** JSON with the records of all tables: an array, or an object whose `tables` is one. Without it the report has those of the journal. */
  tables?: ArtifactReference;
}

export interface Report {
  markdown: ArtifactReference;
  html: ArtifactReference;
  json: ArtifactReference;
}

export function createReportActivities({ artifacts }: { artifacts: ArtifactStore }) {
  return {
    /**
     * A list of tables that is damaged or gone is noted in the report; the report is written all the same.
     * @throws ArtifactStoreUnavailable (retryable), PreconditionFailed when the store is full
     */
    async writeReport({ journal, tables }: ReportRequest): Promise<Report> {
      const whole = tables ? await withAllTables(journal, tables, artifacts) : journal;
      const shown = shorten(whole);
      const { migration } = journal;
      return {
        markdown: await artifacts.put(migration, 'report.md', renderReport(shown)),
        html: await artifacts.put(migration, 'report.html', renderHtml(shown)),
        json: await artifacts.put(migration, 'report.json', `${JSON.stringify(whole, undefined, 2)}\n`),
      };
    },
  };
}

export type ReportActivities = ReturnType<typeof createReportActivities>;

async function withAllTables(
  journal: Journal,
  reference: ArtifactReference,
  artifacts: ArtifactStore,
): Promise<Journal> {
  const { name, url, sha256, bytes } = reference;
  const records = await readTables(reference, artifacts);
  if (typeof records === 'string') {
    const at = journal.endedAt ?? journal.startedAt;
    return {
      ...journal,
      notes: [...journal.notes, { at, text: `The list of all tables is missing here: ${records}` }],
    };
  }
  const known = journal.artifacts.some((artifact) => artifact.sha256 === sha256);
  const apart = new Set(journal.transformations?.tables.map(({ table }) => table));
  const inJournal = new Map((journal.tables ?? []).map((record) => [record.table, record]));
  return {
    ...journal,
    // The journal may know more of a table than the list, which was written at one moment.
    tables: [
      ...records.map((record) => ({ ...record, ...inJournal.get(record.table) })),
      // Transformed tables are compared apart, and are in no list once they are.
      ...[...inJournal.values()].filter(({ table }) => apart.has(table) && !records.some((one) => one.table === table)),
    ],
    tablesNotListed: 0,
    artifacts: known ? journal.artifacts : [...journal.artifacts, { name, url, sha256, bytes }],
  };
}

/** The records, or why there are none. */
async function readTables(reference: ArtifactReference, artifacts: ArtifactStore): Promise<TableRecord[] | string> {
  try {
    const parsed: unknown = JSON.parse(await artifacts.read(reference));
    const list: unknown = typeof parsed === 'object' && parsed !== null && 'tables' in parsed ? parsed.tables : parsed;
    return Array.isArray(list) && list.every(isTable) ? list : `${reference.url} is no list of tables.`;
  } catch (error) {
    // Trying again may still give the whole report.
    if (error instanceof ApplicationFailure && !error.nonRetryable) throw error;
    return error instanceof ApplicationFailure ? error.message : `${reference.url} is no JSON.`;
  }
}

function isTable(value: unknown): value is TableRecord {
  return (
    typeof value === 'object' &&
    value !== null &&
    'table' in value &&
    typeof value.table === 'string' &&
    'rows' in value &&
    typeof value.rows === 'string' &&
    'bytes' in value &&
    typeof value.bytes === 'number'
  );
}

function shorten(journal: Journal): Journal {
  const { tables = [], tablesNotListed = 0 } = journal;
  if (tables.length <= tablesShown) return journal;
  const largest = [...tables].sort((left, right) => right.bytes - left.bytes).slice(0, tablesShown);
  return { ...journal, tables: largest, tablesNotListed: tablesNotListed + tables.length - largest.length };
}
