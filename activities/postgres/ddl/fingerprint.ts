// What the schema of one side is, one line an object, so that a change of it while rows stream is noticed: streams carry no DDL.
// A fingerprint is only ever compared with a later one of the same database.
import { createHash } from 'node:crypto';
import type { Client } from 'pg';
import { z } from 'zod';
import type { TableSelection } from '../../../plan/postgres';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import { withHeartbeat } from '../../heartbeat';
import { readExcluded } from '../schema/excluded';
import type { PostgresScope } from '../scope';
import { describeChanges } from './changes';
import { fingerprintSql } from './fingerprint-sql';

/** The schema of the database as far as the plan takes it: first the selection that it was read with, then one line an object, in byte order. */
export async function readFingerprint(client: Client, selection: TableSelection): Promise<string[]> {
  const { lines } = await read(client, selection);
  return [headOf(selection), ...split(lines ?? '')];
}

/** The lines of an artifact made by `fingerprintSchema`. */
export function fingerprintLines(text: string): string[] {
  return split(text);
}

/**
 * What has changed since `lines` were read on the same database, as lines for people: `- table public.orders: …` as it was,
 * `+ table public.orders: …` as it is; the first twenty, then how many more. Empty when nothing has.
 * One query, that of the selection before it where the plan leaves tables out; nothing but a digest travels when all is equal.
 */
export async function schemaChanges(client: Client, lines: readonly string[]): Promise<string[]> {
  const [head = '', ...before] = lines;
  const selection = selectionOf(head);
  const known = createHash('sha256').update(before.join('\n')).digest('hex');
  const now = await read(client, selection, known);
  return now.lines === null ? [] : describeChanges(before, split(now.lines));
}

export function createFingerprintActivities({ connections, artifacts }: PostgresDependencies) {
  return {
    /**
     * Reads the schema of one side and keeps it as an artifact. Changes nothing. To be taken when the migration itself has made its last
     * object there: on the target after the last index and foreign key.
     * @throws SourceUnavailable, TargetUnavailable (retryable)
     */
    fingerprintSchema: ({
      scope,
      side,
    }: {
      scope: PostgresScope;
      side: 'source' | 'target';
    }): Promise<{ artifact: ArtifactReference; objects: number }> =>
      withHeartbeat(undefined, ({ signal }) =>
        connections.withSession(scope[side], { side, purpose: 'schema fingerprint', signal }, async (client) => {
          const lines = await readFingerprint(client, scope.tables);
          const artifact = await artifacts.put(scope.migration, `schema-of-${side}.jsonl`, lines.join('\n'));
          return { artifact, objects: lines.length - 1 };
        }),
      ),
  };
}

const headSchema = z.strictObject({
  tables: z.strictObject({ include: z.array(z.string()), exclude: z.array(z.string()) }),
});

function headOf(tables: TableSelection): string {
  return JSON.stringify({ tables } satisfies z.input<typeof headSchema>);
}

function selectionOf(head: string): TableSelection {
  return headSchema.parse(JSON.parse(head)).tables;
}

function split(text: string): string[] {
  return text === '' ? [] : text.split('\n');
}

interface FingerprintRow {
  digest: string;
  lines: string | null;
}

/** Objects that vanish while they are read make the server fail; then the next look is another one. */
const vanished = new Set(['XX000', '42P01', '42704', '42703', '42883']);
const attempts = 3;

async function read(client: Client, selection: TableSelection, known: string | null = null): Promise<FingerprintRow> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const excluded = await readExcluded(client, selection);
      const { rows } = await client.query<FingerprintRow>(fingerprintSql, [excluded.map(({ oid }) => oid), known]);
      const row = rows[0];
      if (!row) throw new Error('the fingerprint of the schema came without a row');
      return row;
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : '';
      if (attempt === attempts || !vanished.has(code)) throw error;
    }
  }
}
