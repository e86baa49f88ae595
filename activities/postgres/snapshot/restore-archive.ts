// A pg_dump archive into an empty database of a scratch server, and the proof by counts that every row is in it.
import { z } from 'zod';
import type { PostgresDependencies } from '../../dependencies';
import { failure } from '../../errors';
import { runTool } from '../client-tools';
import type { RowCounts } from './dump';
import { toolFailure } from './tool-failure';

const jobs = 2;
const countsSchema = z.array(z.tuple([z.string(), z.string(), z.string()]));

/** @throws PreconditionFailed where this worker has none */
export function requirePgRestore({ tools: { pgRestore } }: PostgresDependencies): string {
  if (pgRestore) return pgRestore;
  throw failure(
    'PreconditionFailed',
    'There is no pg_restore on this worker to prove that the snapshot restores. Install the PostgreSQL client tools on every worker, then retry.',
  );
}

/** Owners, privileges and subscriptions are left out. @throws as `toolFailure` says, for the scratch server */
export async function restoreArchive(
  pgRestore: string,
  {
    path,
    database,
    environment,
    signal,
  }: { path: string; database: string; environment: Record<string, string>; signal: AbortSignal },
): Promise<void> {
  const args = [
    '--exit-on-error',
    '--no-subscriptions',
    '--no-owner',
    '--no-privileges',
    '--no-password',
    `--jobs=${jobs}`,
    `--dbname=${database}`,
    path,
  ];
  const { exitCode, stderr } = await runTool(pgRestore, args, { environment, signal });
  if (exitCode !== 0) throw toolFailure('pg_restore', 'scratch', exitCode, stderr);
}

/**
 * Two counts that are equal in every table.
 * @param counts JSON of the exact rows that the archive holds
 * @param words `archive` and `origin` as the failure names them: "the source's snapshot", "the source"
 * @returns how many rows there are in how many tables
 * @throws VerificationMismatch
 */
export function requireSameCounts(
  counts: string,
  restored: RowCounts,
  words: { archive: string; origin: string },
): { rows: bigint; tables: number } {
  const expected = countsSchema.parse(JSON.parse(counts));
  const found = new Map(restored.map(([schema, table, rows]) => [JSON.stringify([schema, table]), rows]));
  const different = expected.flatMap(([schema, table, rows]) => {
    const has = found.get(JSON.stringify([schema, table]));
    return has === rows ? [] : [`${schema}.${table}: ${rows} rows in ${words.archive}, ${has ?? 'no table'} restored`];
  });
  if (different.length > 0) {
    throw failure(
      'VerificationMismatch',
      `The restored snapshot differs from ${words.origin} in ${different.length} tables: ${different.slice(0, 20).join('; ')}. Take the snapshot again; do not go on without one that restores.`,
    );
  }
  return { rows: restored.reduce((sum, [, , rows]) => sum + BigInt(rows), 0n), tables: expected.length };
}
