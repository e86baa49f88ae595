// Writes the report of a migration to the artifact store: Markdown, one HTML file, and the journal itself as JSON.
// The same journal gives the same three references, so writing again is harmless.
import { renderHtml } from '../../journal/html';
import { renderReport } from '../../journal/markdown';
import type { Journal, TableRecord } from '../../journal/types';
import type { ArtifactReference, ArtifactStore } from '../artifacts/store';
import { failure } from '../errors';

/** Tables in the Markdown and HTML forms; the JSON has all of them. */
const tablesShown = 2_000;

export interface ReportRequest {
  journal: Journal;
  /** JSON array of the records of all tables; without it the report has those of the journal. */
  tables?: ArtifactReference;
}

export interface Report {
  markdown: ArtifactReference;
  html: ArtifactReference;
  json: ArtifactReference;
}

export function createReportActivities({ artifacts }: { artifacts: ArtifactStore }) {
  return {
    /** @throws ArtifactStoreUnavailable (retryable), PreconditionFailed when the store is full, VerificationMismatch when the table list was changed */
    async writeReport({ journal, tables }: ReportRequest): Promise<Report> {
      const whole = tables ? withAllTables(journal, tables, await artifacts.read(tables)) : journal;
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

function withAllTables(journal: Journal, reference: ArtifactReference, text: string): Journal {
  const { name, url, sha256, bytes } = reference;
  const known = journal.artifacts.some((artifact) => artifact.sha256 === sha256);
  const compared = new Map((journal.tables ?? []).map((record) => [record.table, record]));
  return {
    ...journal,
    // The journal may know more of a table than the list, which was written at one moment.
    tables: parseTables(text, url).map((record) => ({ ...record, ...compared.get(record.table) })),
    tablesNotListed: 0,
    artifacts: known ? journal.artifacts : [...journal.artifacts, { name, url, sha256, bytes }],
  };
}

function parseTables(text: string, url: string): TableRecord[] {
  const parsed: unknown = JSON.parse(text);
  if (Array.isArray(parsed) && parsed.every(isTable)) return parsed;
  throw failure(
    'VerificationMismatch',
    `The list of tables in ${url} is no list of tables. Write the report without it.`,
  );
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
