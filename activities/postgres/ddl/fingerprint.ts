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
import { fingerprintSql, glanceSql } from './fingerprint-sql';

/** The schema of the database as far as the plan takes it: first how it was read, then one line an object, in byte order. */
export async function readFingerprint(client: Client, tables: TableSelection): Promise<string[]> {
  await glance(client);
  const { mark, lines } = await read(client, tables);
  return [JSON.stringify({ tables, mark } satisfies Head), ...split(lines ?? '')];
}

/** The lines of an artifact made by `fingerprintSchema`. */
export function fingerprintLines(text: string): string[] {
  return split(text);
}

/**
 * What has changed since `lines` were read on the same database, as lines for people: `- table public.orders: …` as it was,
 * `+ table public.orders: …` as it is; the first twenty, then how many more. Empty when nothing has.
 * Mostly one glance of some milliseconds; definitions are read (some 20 ms for 50 tables) when a row of the catalogues is another.
 * Leaves the session with `jit` off.
 */
export async function schemaChanges(client: Client, lines: readonly string[]): Promise<string[]> {
  const [head = '', ...before] = lines;
  const { tables, mark } = headSchema.parse(JSON.parse(head));
  const known = createHash('sha256').update(before.join('\n')).digest('hex');
  const seen = await glance(client);
  if (seen === mark || seen === equalTo.get(known)) return [];
  const now = await read(client, tables, known);
  if (now.lines !== null) return describeChanges(before, split(now.lines));
  remember(known, now.mark);
  return [];
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
  mark: z.string(),
});
type Head = z.infer<typeof headSchema>;

function split(text: string): string[] {
  return text === '' ? [] : text.split('\n');
}

/** Digest of a fingerprint -> a later mark of the same schema: a table truncated once is read again only once in this process. */
const equalTo = new Map<string, string>();
const remembered = 100;

function remember(digest: string, mark: string): void {
  equalTo.delete(digest);
  equalTo.set(digest, mark);
  const [oldest] = equalTo.keys();
  if (equalTo.size > remembered && oldest !== undefined) equalTo.delete(oldest);
}

async function glance(client: Client): Promise<string> {
  const { rows } = await client.query<{ mark: string }>(glanceSql);
  return rows[0]?.mark ?? '';
}

interface FingerprintRow {
  mark: string;
  /** Null when they are those of the given digest. */
  lines: string | null;
}

/** Objects that vanish while they are read make the server fail; then the next look is another one. */
const vanished = new Set(['XX000', '42P01', '42704', '42703', '42883']);
const attempts = 3;

async function read(client: Client, tables: TableSelection, known: string | null = null): Promise<FingerprintRow> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const excluded = await readExcluded(client, tables);
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
