// The comparison's part of the ledger: one row for each table that is done. A killed attempt goes on with the others; another attempt
// begins anew, and forgets.
import type { Client } from 'pg';
import { z } from 'zod';
import { ledgerSchema } from '../scope';
import type { MovingResult } from './batch';

const table = `${ledgerSchema}.moving`;

export const movingDdl = `
create table if not exists ${table} (
  attempt text not null,
  schema_name text not null,
  table_name text not null,
  result text not null,
  primary key (attempt, schema_name, table_name)
)`;

const resultSchema: z.ZodType<MovingResult> = z.object({
  verdict: z.object({
    table: z.string(),
    schema: z.string(),
    name: z.string(),
    outcome: z.enum(['equal', 'unequal', 'unverifiable']),
    digested: z.boolean(),
    sourceRows: z.string().optional(),
    targetRows: z.string().optional(),
    sourceDigest: z.string().optional(),
    targetDigest: z.string().optional(),
    why: z.string().optional(),
    comparable: z.boolean(),
    bytes: z.number(),
  }),
  lines: z.array(z.string()),
  onOneSideOnly: z.boolean(),
  moved: z.number(),
  undecided: z.array(z.string()),
  whole: z.boolean(),
});

/** What this attempt has found so far; forgets other attempts, and what could not be read. */
export async function resumeResults(target: Client, attempt: string): Promise<MovingResult[]> {
  await target.query(`delete from ${table} where attempt <> $1`, [attempt]);
  const { rows } = await target.query<{ result: string }>(
    `select result from ${table} where attempt = $1 order by schema_name collate "C", table_name collate "C"`,
    [attempt],
  );
  return rows
    .map(({ result }) => resultSchema.parse(JSON.parse(result)))
    .filter(({ verdict }) => verdict.outcome !== 'unverifiable');
}

export async function noteResults(target: Client, attempt: string, results: MovingResult[]): Promise<void> {
  for (const result of results) {
    await target.query(
      `insert into ${table} (attempt, schema_name, table_name, result) values ($1, $2, $3, $4)
       on conflict (attempt, schema_name, table_name) do update set result = excluded.result`,
      [attempt, result.verdict.schema, result.verdict.name, JSON.stringify(result)],
    );
  }
}
