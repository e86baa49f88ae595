// The last look before the switch: the tables written most, and the keys that validation left open, compared while nobody writes.
// Both sides are digested at once. What could not be read counts as different: "could not verify" is never a pass.
import type { Client } from 'pg';
import type { ValidationRecord } from '../../../journal/types';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import { withHeartbeat } from '../../heartbeat';
import { valueSettings } from '../copy/copy-format';
import { findDifferences } from '../digest/bisect';
import { unreadable } from '../digest/read-pieces';
import { identityOf, listRelations, nameOf, type Relation } from '../digest/relations';
import { digestSql, quickSumSql, usableHash } from '../digest/row-digest';
import { comparePending, readPending } from '../moving/pending';
import type { PostgresScope } from '../scope';
import { withBothSides, type BothSides } from './both-sides';
import { hottestTables } from './hottest';
import { writingSide, type Leg, type WritingSide } from './names';
import { Parts, type Part } from './parts';

export interface HotInput {
  scope: PostgresScope;
  leg: Leg;
  /** Of tables that are digested, heap and TOAST on the writing side. */
  budgetBytes: number;
  /** Keys that validation could not decide while they moved. */
  pending?: ArtifactReference;
}

export interface ComparedUnderFence {
  records: ValidationRecord[];
  /** Tables that differ or could not be compared. */
  unequal: number;
  parts: Part[];
}

/** Unequal tables taken apart down to keys; of the others only the counts are told. */
const tablesTakenApart = 5;
const settings = { ...valueSettings, lock_timeout: '5s' };

type Found = { rows: string; digest: string } | { reason: string };

const unread: Found = { reason: 'it was not looked at' };

type Looked = { relation: Relation; contents: Record<WritingSide, Found> };

export function createHotActivities({ connections, artifacts }: PostgresDependencies) {
  return {
    /**
     * Compares, under the fence of both sides and after the drain, what was written most and what is still undecided. Differences are in
     * the records; that is a result, not an error. @throws SourceUnavailable, TargetUnavailable (retryable)
     */
    async compareUnderFence({ scope, leg, budgetBytes, pending }: HotInput): Promise<ComparedUnderFence> {
      const started = Date.now();
      const parts = new Parts();
      const undecided = pending && readPending(artifacts, pending);
      // Awaited below; until then nobody listens.
      undecided?.catch(() => undefined);
      return withHeartbeat({}, ({ signal }) => {
        const doing = 'Comparing under the fence';
        const options = { doing, purpose: 'compare under the fence', signal, settings, parts };
        return withBothSides(connections, { scope, leg }, options, async (sides) => {
          const looked = await parts.time('hot tables', () => digestHottest(sides, { scope, leg, budgetBytes }));
          const records = [hotRecord(looked, Date.now() - started)];
          const apart = looked.filter(differs).slice(0, tablesTakenApart);
          const keyed = apart.length === 0 ? [] : await listRelations(sides.writing, scope);
          for (const { relation, contents } of apart) {
            const whole = keyed.find((other) => identityOf(other) === identityOf(relation)) ?? relation;
            records.push(await tableRecord(bySide(sides, leg), whole, contents, started));
          }
          const unequal = looked.filter((table) => verdictOn(table) !== 'pass').length;
          if (!undecided) return { records, unequal, parts: parts.all };
          const { source, target } = bySide(sides, leg);
          const decided = await parts.time('undecided keys', async () =>
            comparePending(source, target, await undecided),
          );
          return {
            records: [...records, ...decided.records],
            unequal: unequal + decided.unequal,
            parts: parts.all,
          };
        });
      });
    },
  };
}

export type HotActivities = ReturnType<typeof createHotActivities>;

function bySide({ writing, following }: BothSides, leg: Leg): Record<WritingSide, Client> {
  return writingSide(leg) === 'source'
    ? { source: writing, target: following }
    : { source: following, target: writing };
}

async function digestHottest(both: BothSides, { scope, leg, budgetBytes }: HotInput): Promise<Looked[]> {
  const { source, target } = bySide(both, leg);
  const [relations, ...hashes] = await Promise.all([
    hottestTables(both.writing, scope, budgetBytes),
    usableHash(source),
    usableHash(target),
  ]);
  const hash = hashes.includes('sha256') ? 'sha256' : 'md5';
  const contentsOf = async (tables: Relation[], sqlOf: (relation: Relation) => string): Promise<Looked[]> => {
    const [here, there] = await Promise.all([readAll(source, tables, sqlOf), readAll(target, tables, sqlOf)]);
    return tables.map((relation, index) => ({
      relation,
      contents: { source: here[index] ?? unread, target: there[index] ?? unread },
    }));
  };
  const quick = await contentsOf(relations, (relation) => quickSumSql(relation, hash));
  // Two servers need not hash alike: only the digest says that rows differ.
  const doubtful = quick.filter((table) => verdictOn(table) === 'fail').map(({ relation }) => relation);
  const digested = await contentsOf(doubtful, (relation) => digestSql(relation, {}, hash));
  return quick.map((table) => digested.find(({ relation }) => relation === table.relation) ?? table);
}

/** In one round trip; table by table where that fails, so that it is known which one cannot be read. */
async function readAll(client: Client, relations: Relation[], sqlOf: (relation: Relation) => string): Promise<Found[]> {
  if (relations.length === 0) return [];
  const statements = relations.map((relation, index) => `select ${index} as table, t.* from (${sqlOf(relation)}) t`);
  const read = async (sql: string): Promise<Found[]> => {
    const { rows } = await client.query<Record<string, string | null>>(sql);
    const found: Found[] = [];
    for (const { table, ...content } of rows) {
      found[Number(table)] = { rows: content.rows ?? '0', digest: JSON.stringify(content) };
    }
    return found;
  };
  try {
    return await read(statements.join(' union all '));
  } catch (error) {
    if (unreadable(error).reason === undefined) throw error;
  }
  const contents: Found[] = [];
  for (const [index, statement] of statements.entries()) {
    try {
      contents.push((await read(statement))[index] ?? unread);
    } catch (error) {
      const { reason } = unreadable(error);
      if (reason === undefined) throw error;
      contents.push({ reason });
    }
  }
  return contents;
}

function verdictOn({ contents: { source, target } }: Looked): ValidationRecord['outcome'] {
  if ('reason' in source || 'reason' in target) return 'unverifiable';
  return source.digest === target.digest ? 'pass' : 'fail';
}

function differs(looked: Looked): boolean {
  return verdictOn(looked) === 'fail';
}

function hotRecord(looked: Looked[], durationMs: number): ValidationRecord {
  const name = 'hottest tables, under the fence';
  if (looked.length === 0) {
    return {
      name,
      outcome: 'skipped',
      durationMs,
      differences: ['no table that was written since the statistics began fits cdc.freezeDigestMegabytes'],
    };
  }
  const shown = (side: WritingSide): string => {
    const rows = looked.reduce((sum, { contents }) => {
      const content = contents[side];
      return 'reason' in content ? sum : sum + BigInt(content.rows);
    }, 0n);
    return `${looked.length} tables, ${rows} rows`;
  };
  const lines = looked.flatMap((table) => lineOf(table));
  const outcome = looked.some(differs) ? 'fail' : lines.length > 0 ? 'unverifiable' : 'pass';
  return {
    name,
    source: shown('source'),
    target: shown('target'),
    outcome,
    durationMs,
    ...(lines.length > 0 && { differences: lines.slice(0, 20) }),
  };
}

function lineOf(looked: Looked): string[] {
  const { source, target } = looked.contents;
  const table = nameOf(looked.relation);
  if ('reason' in source) return [`${table} could not be read on the source: ${source.reason}`];
  if ('reason' in target) return [`${table} could not be read on the target: ${target.reason}`];
  if (source.digest === target.digest) return [];
  return source.rows === target.rows
    ? [`${table}: ${source.rows} rows on both sides, with other content`]
    : [`${table}: source ${source.rows} rows, target ${target.rows} rows`];
}

async function tableRecord(
  { source, target }: Record<WritingSide, Client>,
  relation: Relation,
  contents: Looked['contents'],
  started: number,
): Promise<ValidationRecord> {
  const rowsOf = (side: WritingSide): string => {
    const content = contents[side];
    return 'reason' in content ? 'not read' : content.rows;
  };
  const rows = Math.max(Number(rowsOf('source')), Number(rowsOf('target')));
  const hash = (await usableHash(source)) === 'md5' ? await usableHash(target) : 'sha256';
  return {
    name: `rows of ${nameOf(relation)}, under the fence`,
    source: `${rowsOf('source')} rows`,
    target: `${rowsOf('target')} rows`,
    outcome: 'fail',
    durationMs: Date.now() - started,
    differences: await findDifferences(source, target, relation, rows, hash),
  };
}
