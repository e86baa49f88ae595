// What was still moving when validation ended: compared key by key under the fence, where nothing moves. The artifact holds all that
// the comparison needs, so that the freeze spends no time on catalogs.
import type { ClientBase } from 'pg';
import { z } from 'zod';
import type { ValidationRecord } from '../../../journal/types';
import { formatBytes } from '../../../journal/quantities';
import type { ArtifactReference, ArtifactStore } from '../../artifacts/store';
import { keysShown, shortened } from '../digest/bisect';
import { unreadable } from '../digest/read-pieces';
import { identityOf, nameOf } from '../digest/relations';
import { digestSql, type Hash } from '../digest/row-digest';
import type { MovingResult } from './batch';
import { absent, type Seen } from './judgement';
import { portionsOf } from './settle';
import { lookSql, type Statement } from './sql';
import type { Subject } from './subjects';

/** Of all tables together: some tenths of a second under the fence. */
const keysAtMost = 10_000;
/** Of a table that is digested whole under the fence, because it has no key or has changed too much, on either side. */
const wholeBytes = 16 * 1_048_576;
const keysInOneStatement = 1_000;

/** The record that stands for undecided rows until the freeze, and after it. */
export const pendingName = 'rows that moved all the time';

const sideSchema = z.object({
  relation: z.object({
    schema: z.string(),
    name: z.string(),
    columns: z.array(z.object({ name: z.string(), type: z.string() })),
    key: z.array(z.string()).optional(),
    condition: z.string().optional(),
    bytes: z.number(),
    pages: z.number(),
  }),
  equality: z.array(z.string()),
});

const pendingSchema = z.object({
  hash: z.enum(['md5', 'sha256']),
  tables: z.array(
    z.object({
      schema: z.string(),
      name: z.string(),
      /** Digested as a whole. */
      whole: z.boolean(),
      source: sideSchema,
      target: sideSchema,
      /** JSON arrays of text; none for a whole table. */
      keys: z.array(z.string()),
    }),
  ),
});
export type Pending = z.infer<typeof pendingSchema>;
type PendingTable = Pending['tables'][number];

/**
 * Takes the undecided rows of as many tables as can be compared under the fence. Those of other tables make their table unverifiable:
 * the results that come back say so.
 */
export function planPending(
  results: MovingResult[],
  subjects: Subject[],
  hash: Hash,
): { pending: Pending; results: MovingResult[]; undecided: number } {
  const byName = new Map(subjects.map((subject) => [identityOf(subject), subject]));
  const pending: Pending = { hash, tables: [] };
  const tooMuch = new Map<MovingResult, string>();
  let keys = 0;
  const open = results.filter(({ undecided, whole }) => whole || undecided.length > 0);
  for (const result of open.sort((one, other) => one.undecided.length - other.undecided.length)) {
    const subject = byName.get(identityOf(result.verdict));
    if (!subject) continue;
    const { schema, name, keyed, source, target } = subject;
    if (result.whole && subject.bytes > 2 * wholeBytes) {
      const how = keyed ? 'changed too much, or was rewritten, while it was read' : 'moves all the time and has no key';
      const why = `${how}, and is too large (${formatBytes(subject.bytes / 2)}) to be compared under the fence: compare it again when less is written to it`;
      tooMuch.set(result, why);
      continue;
    }
    const wanted = result.whole ? [] : result.undecided;
    if (keys + wanted.length > keysAtMost) {
      const why = `has ${wanted.length} rows that move all the time, too many to be compared under the fence: compare it again when less is written to it`;
      tooMuch.set(result, why);
      continue;
    }
    keys += wanted.length;
    pending.tables.push({ schema, name, whole: result.whole, source, target, keys: wanted });
  }
  return {
    pending,
    undecided: keys + pending.tables.filter(({ whole }) => whole).length,
    results: results.map((result) => {
      const why = tooMuch.get(result);
      if (!why || result.verdict.outcome !== 'equal') return result;
      return { ...result, verdict: { ...result.verdict, outcome: 'unverifiable', why } };
    }),
  };
}

/** To be called before the freeze, not in it. @throws VerificationMismatch, ArtifactStoreUnavailable */
export async function readPending(artifacts: ArtifactStore, reference: ArtifactReference): Promise<Pending> {
  return pendingSchema.parse(JSON.parse(await artifacts.read(reference)));
}

/**
 * Compares exactly these keys, and some small tables as a whole. Nobody may write on either side, and the stream must be drained.
 * One record for all; `unequal` counts the tables that differ or could not be read. Driver errors of a lost server pass as they are.
 */
export async function comparePending(
  source: ClientBase,
  target: ClientBase,
  pending: Pending,
): Promise<{ records: ValidationRecord[]; unequal: number }> {
  if (pending.tables.length === 0) return { records: [], unequal: 0 };
  const started = Date.now();
  const lines: string[] = [];
  let [rows, unequal, unread] = [0, 0, 0];
  for (const table of pending.tables) {
    rows += table.keys.length;
    try {
      const found = await compareTable(source, target, table, pending.hash);
      if (found.length > 0) unequal += 1;
      lines.push(...found);
    } catch (error) {
      const { reason } = unreadable(error);
      if (reason === undefined) throw error;
      unread += 1;
      lines.push(`${nameOf(table)} could not be read: ${reason}`);
    }
  }
  const whole = pending.tables.filter((table) => table.whole).length;
  const what = `${rows} rows${whole > 0 ? ` and ${whole} whole tables` : ''}, compared under the fence`;
  const shown = lines.slice(0, keysShown);
  if (lines.length > shown.length) shown.push(`and ${lines.length - shown.length} more`);
  return {
    unequal: unequal + unread,
    records: [
      {
        name: pendingName,
        source: what,
        target: what,
        outcome: unequal > 0 ? 'fail' : unread > 0 ? 'unverifiable' : 'pass',
        durationMs: Date.now() - started,
        ...(shown.length > 0 ? { differences: shown } : {}),
      },
    ],
  };
}

async function compareTable(
  source: ClientBase,
  target: ClientBase,
  table: PendingTable,
  hash: Hash,
): Promise<string[]> {
  const name = nameOf(table);
  if (table.whole) {
    const [here, there] = await Promise.all(
      [source, target].map(async (client, at) => {
        const { relation } = at === 0 ? table.source : table.target;
        return rowsOf(client, { text: digestSql(relation, {}, hash), values: [] });
      }),
    );
    return JSON.stringify(here) === JSON.stringify(there)
      ? []
      : [`${name}: ${here?.[0]?.[0]} rows on the source, ${there?.[0]?.[0]} on the target, not the same`];
  }
  const differing: string[] = [];
  for (const keys of portionsOf(table.keys, keysInOneStatement)) {
    const [here, there] = await Promise.all([
      lookAll(source, lookSql(table.source, hash, keys)),
      lookAll(target, lookSql(table.target, hash, keys)),
    ]);
    for (const key of keys) {
      const [left, right] = [here.get(key) ?? absent, there.get(key) ?? absent];
      const isSame = left.rows === right.rows && left.content === right.content;
      if (isSame) continue;
      const how = right.rows === 0 ? 'missing on the target' : left.rows === 0 ? 'extra on the target' : 'different';
      const label = `(${(JSON.parse(key) as string[]).join(',')})`;
      differing.push(`${name} key=${shortened(label)}: ${how}`);
    }
  }
  return differing;
}

async function lookAll(client: ClientBase, statement: Statement): Promise<Map<string, Seen>> {
  const seen = new Map<string, Seen>();
  for (const [id, content, version, rows] of await rowsOf(client, statement)) {
    const other = seen.get(id ?? '') ?? absent;
    seen.set(id ?? '', {
      rows: other.rows + Number(rows),
      content: [other.content, content].filter(Boolean).sort().join(' '),
      version: version ?? '',
    });
  }
  return seen;
}

async function rowsOf(client: ClientBase, { text, values }: Statement): Promise<(string | null)[][]> {
  const { rows } = await client.query<(string | null)[]>({ text, values, rowMode: 'array' });
  return rows;
}
