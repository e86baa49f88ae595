// The schema as a pg_dump archive: made, listed, taken apart. Entries are cut out by pg_restore itself, never by reading SQL.
// The archive holds no rows and no large objects; those have activities of their own.
import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ArtifactReference, ArtifactStore } from '../../artifacts/store';
import { failure } from '../../errors';
import { runTool, type ClientTools } from '../client-tools';

/** One object of the archive's table of contents. */
export interface ArchiveEntry {
  /** Number in the archive; unique, and the same whenever the same archive is read. */
  id: string;
  /** `TABLE`, `FK CONSTRAINT`, … */
  kind: string;
  /** The object's oid on the source; 0 where it has none. */
  oid: string;
  /** Schema, name and owner as the list prints them: for people. */
  label: string;
}

/** Kinds of more than one word; all others end at the first space. */
const longKinds = [
  'ACCESS METHOD',
  'BLOB COMMENTS',
  'CHECK CONSTRAINT',
  'DATABASE PROPERTIES',
  'DEFAULT ACL',
  'EVENT TRIGGER',
  'FK CONSTRAINT',
  'FOREIGN DATA WRAPPER',
  'FOREIGN SERVER',
  'FOREIGN TABLE',
  'INDEX ATTACH',
  'LARGE OBJECT',
  'MATERIALIZED VIEW DATA',
  'MATERIALIZED VIEW',
  'OPERATOR CLASS',
  'OPERATOR FAMILY',
  'PROCEDURAL LANGUAGE',
  'PUBLICATION TABLES IN SCHEMA',
  'PUBLICATION TABLE',
  'ROW SECURITY',
  'SECURITY LABEL',
  'SEQUENCE OWNED BY',
  'SEQUENCE SET',
  'SHELL TYPE',
  'STATISTICS DATA',
  'SUBSCRIPTION TABLE',
  'TABLE ATTACH',
  'TABLE DATA',
  'TEXT SEARCH CONFIGURATION',
  'TEXT SEARCH DICTIONARY',
  'TEXT SEARCH PARSER',
  'TEXT SEARCH TEMPLATE',
  'USER MAPPING',
];

export class SchemaArchive {
  private constructor(
    private readonly path: string,
    private readonly pgRestore: string,
    private readonly signal: AbortSignal,
  ) {}

  /** @throws PreconditionFailed when pg_restore is missing; as `ArtifactStore.fetch` */
  static async open(
    artifacts: ArtifactStore,
    tools: ClientTools,
    reference: ArtifactReference,
    signal: AbortSignal,
  ): Promise<SchemaArchive> {
    if (!tools.pgRestore) {
      throw failure(
        'PreconditionFailed',
        'pg_restore was not found on the worker. Install the PostgreSQL client tools of the newer of both versions, then retry.',
      );
    }
    return new SchemaArchive(await artifacts.fetch(reference), tools.pgRestore, signal);
  }

  /** The entries of a section, in the order in which they can be restored. */
  async list(section: 'pre-data' | 'post-data'): Promise<ArchiveEntry[]> {
    const lines = (await this.run(['--list', `--section=${section}`])).split('\n');
    return lines.flatMap((line) => parseEntry(line) ?? []);
  }

  /** Entry -> the entries that must be there before it, over the whole archive. */
  async dependencies(): Promise<Map<string, string[]>> {
    const needs = new Map<string, string[]>();
    let current: string | undefined;
    for (const line of (await this.run(['--list', '--verbose'])).split('\n')) {
      const entry = parseEntry(line);
      if (entry) current = entry.id;
      const depends = /^;\tdepends on: ([\d ]+)$/.exec(line);
      if (depends?.[1] && current !== undefined) needs.set(current, depends[1].trim().split(' '));
    }
    return needs;
  }

  /** The SQL of these entries, in the given order, ready for one session inside a transaction. */
  async sql(entries: ArchiveEntry[]): Promise<string> {
    const list = join(tmpdir(), `cutover-entries-${randomUUID()}`);
    try {
      await writeFile(list, entries.map(({ id, oid, kind }) => `${id}; 0 ${oid} ${kind}\n`).join(''), { mode: 0o600 });
      return forSession(await this.run(['--file=-', `--use-list=${list}`]));
    } finally {
      await rm(list, { force: true });
    }
  }

  private async run(args: string[]): Promise<string> {
    const { stdout, stderr, exitCode } = await runTool(this.pgRestore, [...args, this.path], { signal: this.signal });
    if (exitCode !== 0) {
      throw failure(
        'PreconditionFailed',
        `pg_restore could not read the archive of the schema: ${stderr.trim().slice(-500)}. Use client tools of the version that made the archive or newer, then retry.`,
      );
    }
    return stdout;
  }
}

/** `3663; 3456 25099 COLLATION types german phonebook postgres`; undefined for comments and blank lines. */
export function parseEntry(line: string): ArchiveEntry | undefined {
  const match = /^(\d+); (\d+) (\d+) (.*)$/.exec(line);
  if (!match) return undefined;
  const [, id = '', , oid = '', rest = ''] = match;
  const kind = longKinds.find((long) => rest.startsWith(`${long} `)) ?? rest.split(' ')[0] ?? rest;
  return { id, kind, oid, label: rest.slice(kind.length).trim() };
}

/**
 * What only psql understands goes (`\restrict`), and so does a setting that servers before 17 do not know though their
 * newer tools write it. Both stand in the header and at the end, never inside an object's definition.
 */
function forSession(sql: string): string {
  return sql
    .replace(/^\\restrict \S+\n/m, '')
    .replace(/\n\\unrestrict \S+\n*$/, '\n')
    .replace(/^SET transaction_timeout = 0;\n/m, '');
}
